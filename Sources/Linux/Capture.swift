internal import CLinux
internal import Glibc
public import SystemPackage

/// What a program printed and how it ended.
public struct CapturedRun: Sendable {
  /// Standard output, at most as much as was allowed.
  public var output: [UInt8]
  /// The beginning of standard error.
  public var errors: [UInt8]
  /// How it ended.
  public var exit: ProcessExit
  /// Whether it was killed because it printed too much or took too long.
  public var wasCut: Bool

  /// Whether it ended by itself with 0.
  public var succeeded: Bool { if case .exited(0) = exit { !wasCut } else { false } }
}

extension SpawnRequest {
  /// Errors beyond this are dropped.
  private static let mostErrors = 64 << 10

  /// Runs the program to its end and returns what it printed, whatever `descriptors` says of 1 and 2. Blocks: call it on a
  /// thread for that.
  ///
  /// - Parameters:
  ///   - limit: bytes of standard output; a program that prints more is killed.
  ///   - milliseconds: a program that takes longer is killed; nil waits for ever.
  public func capture(limit: Int, milliseconds: Int32?) throws(Errno) -> CapturedRun {
    let output = try Descriptors.pipe()
    let errors = try Descriptors.pipe()
    var request = self
    while request.descriptors.count < 3 { request.descriptors.append(nil) }
    request.descriptors[1] = output.write.rawValue
    request.descriptors[2] = errors.write.rawValue
    let process = try request.spawn()
    Descriptors.close(output.write.take())
    Descriptors.close(errors.write.take())
    var result = CapturedRun(output: [], errors: [], exit: .exited(0), wasCut: false)
    let deadline = milliseconds.map { Self.now() + Int64($0) }
    var open: [Int32] = [output.read.rawValue, errors.read.rawValue]
    while !open.isEmpty {
      var polled = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      let left = deadline.map { max(0, $0 - Self.now()) }
      let ready = poll(&polled, UInt(polled.count), left.map { Int32(clamping: $0) } ?? -1)
      if ready < 0 && errno != EINTR { throw Errno(rawValue: errno) }
      if ready == 0 || result.output.count > limit {
        result.wasCut = true
        break
      }
      for entry in polled where entry.revents != 0 {
        let isOutput = entry.fd == output.read.rawValue
        let bytes = Self.readSome(entry.fd)
        if bytes.isEmpty { open.removeAll { $0 == entry.fd } }
        if isOutput {
          result.output += bytes
        } else {
          result.errors += bytes.prefix(Self.mostErrors - result.errors.count)
        }
      }
    }
    if result.wasCut { try? process.pidFD.signal(SIGKILL) }
    result.exit = try process.pidFD.wait() ?? .exited(0)
    result.output.removeLast(max(0, result.output.count - limit))
    return result
  }

  /// What is there to read; empty at the end.
  private static func readSome(_ descriptor: Int32) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
      repeat { count = read(descriptor, buffer.baseAddress, 65536) } while count < 0 && errno == EINTR
      count = max(0, count)
    }
  }

  private static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
