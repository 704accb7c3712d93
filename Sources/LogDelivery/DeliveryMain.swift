internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import LogFormat
internal import Protocol
internal import SystemPackage

/// The whole life of `gantry-logger deliver`: descriptors as Sources/ShimCore/LogDeliveryLink.swift gives them.
public enum DeliveryMain {
  /// The part of task.json that a delivery needs.
  private struct Task: Decodable {
    var log: LogOptions
  }

  private static let (control, newest, options, mark): (Int32, Int32, Int32, Int32) = (3, 4, 5, 6)

  /// Delivers the log at `path` until its container has ended. Returns the exit code.
  public static func run(path: String) -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGHUP, SIGINT, SIGTERM, SIGQUIT] { signal(number, SIG_IGN) }
    guard fcntl(mark, F_GETFD) >= 0, let task = readOptions(), let delivery = task.log.delivery else {
      say("started by gantry-shim with the descriptors of one log; nothing for people to call")
      return 2
    }
    do throws(Errno) {
      // It reads what a container wrote: it keeps the right to connect, and no other.
      try Privileges.dropCapabilities(keeping: [])
    } catch {
      say("its rights cannot be given up: \(error)")
      return 1
    }
    let name = String(delivery.source.id.prefix(12))
    // One that still delivers for the container's last run goes first.
    while flock(mark, LOCK_EX) != 0 && errno == EINTR {}
    var position: UInt64 = 0
    if pread(mark, &position, 8, 0) != 8 { position = 0 }
    let spool = Spool(path: path, open: newest, position: UInt64(littleEndian: position))
    let destination: any Destination
    do throws(DeliveryFailure) {
      destination = try DeliveryOptions(delivery: delivery, attributes: task.log.labels ?? [:]).destination()
    } catch {
      say("container \(name): \(error.words)")
      return 1
    }
    Courier(
      spool: spool, destination: destination, blocking: delivery.blocking,
      maxBuffer: UInt64(max(0, delivery.maxBuffer)),
      control: control, mark: mark, say: { say("container \(name): \($0)") }
    ).run()
    return 0
  }

  private static func readOptions() -> Task? {
    var status = stat()
    guard fstat(options, &status) == 0, status.st_size > 0, status.st_size < 16 << 20 else { return nil }
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
      count = max(0, pread(options, buffer.baseAddress, buffer.count, 0))
    }
    return try? JSONDecoder().decode(Task.self, from: Data(bytes))
  }

  /// One line on standard error, which the task service's log receives.
  public static func say(_ text: String) {
    let line = Array("gantry-logger: \(text)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  }
}
