internal import Glibc
internal import Linux
internal import LogFormat
internal import Protocol
internal import SystemPackage

/// The shim's side of a log's delivery: it starts gantry-logger, tells it when there is more in the file, and learns how far
/// it came. The file is the queue: whoever is killed, what was not delivered is still in it.
///
/// ```
/// gantry-logger's descriptors   2 our standard error   3 the connection   4 the log   5 task.json   6 PATH.sent
/// logger → shim   'a' position   delivered up to there (8 bytes, little-endian)
///                 'w' position   the same, and it waits for more
/// shim → logger   'm'            there is more
/// end of file     the container has ended: deliver what is left and end
/// ```
final class LogDeliveryLink {
  private static let firstPause = 100
  private static let longestPause = 10_000
  /// A logger that lived that long (milliseconds) was well.
  private static let wellAfter = 60_000
  private static let messageSize = 9

  private let file: RotatingLog
  private let delivery: LogDelivery
  private let folder: TaskFolder
  private let program: LoggerProgram
  private unowned let loop: EventLoop
  private var child: (pid: Int32, since: Int)?
  private var connection: Int32 = -1
  private var delivered: UInt64
  private var waits = false
  private var pause = firstPause
  /// The logger came far enough for a container that was held back.
  var onRoom: () -> Void = {}

  init(file: RotatingLog, delivery: LogDelivery, folder: TaskFolder, program: LoggerProgram, loop: EventLoop) {
    self.file = file
    self.delivery = delivery
    self.folder = folder
    self.program = program
    self.loop = loop
    delivered = Self.mark(file.path) ?? 0
    if delivered > file.position { delivered = 0 }  // the log was taken away: it begins anew
    start()
  }

  /// Whether the container has to wait, while `buffered` bytes are still to be written to the file.
  func isCongested(_ buffered: Int) -> Bool {
    delivery.blocking && undelivered(buffered) > min(Int(clamping: max(delivery.maxBuffer, 0)), file.keptBytes / 2)
  }

  /// How many bytes of output may be read, so that even as lines of one byte they take no part of the log away that was
  /// not delivered. At least half of the log's parts are free while nothing is congested.
  func readable(_ buffered: Int) -> Int {
    guard delivery.blocking else { return .max }
    return max(1, (file.keptBytes - undelivered(buffered)) / (LogRecord.overhead + 1))
  }

  private func undelivered(_ buffered: Int) -> Int {
    Int(clamping: file.position + UInt64(buffered)) - Int(clamping: delivered)
  }

  /// The log has grown.
  func grown() {
    guard waits else { return }
    waits = false
    _ = send(connection, "m", 1, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
  }

  /// Takes the end of a child; false when it is none of ours. A logger that died is started again, after a pause that grows.
  func childEnded(_ pid: Int32) -> Bool {
    guard let child, child.pid == pid else { return false }
    self.child = nil
    disconnect()
    if EventLoop.now() - child.since > Self.wellAfter { pause = Self.firstPause }
    Diagnostics.say("the log delivery of container \(delivery.source.id) ended: it starts again in \(pause) ms")
    startLater()
    return true
  }

  private func startLater() {
    loop.after(milliseconds: pause) { [unowned self] in start() }
    pause = min(pause * 2, Self.longestPause)
  }

  private func start() {
    do throws(Errno) {
      let pair = try UnixSocket.pair()
      let options = try openat2(nil, folder.path(.options).string, [.readOnly])
      let sent = try openat2(nil, file.path + ".sent", [.readWrite, .create, .noFollow], mode: 0o600)
      let started = try SpawnRequest(
        .path(FilePath(program.path)), arguments: ["gantry-logger", "deliver", file.path],
        environment: program.environment,
        descriptors: [nil, 2, 2, pair.second.rawValue, file.fd, options.rawValue, sent.rawValue]
      ).spawn()
      child = (started.pid, EventLoop.now())
      connection = Self.first(of: pair)
      _ = fcntl(connection, F_SETFL, fcntl(connection, F_GETFL) | O_NONBLOCK)
      loop.watch(connection, .read) { [unowned self] _ in receive() }
    } catch {
      Diagnostics.say("the log of container \(delivery.source.id) cannot be delivered: \(program.path): \(error)")
      startLater()
    }
  }

  private func receive() {
    withUnsafeTemporaryAllocation(byteCount: Self.messageSize * 64, alignment: 1) { buffer in
      // The logger sends whole messages, and few of them.
      let count = read(connection, buffer.baseAddress, buffer.count)
      if count == 0 { return disconnect() }
      var start = 0
      while start + Self.messageSize <= count {
        let position = UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: start + 1, as: UInt64.self))
        delivered = max(delivered, position)
        if buffer[start] == UInt8(ascii: "w") { waits = true }
        start += Self.messageSize
      }
      if waits, file.position > delivered { grown() }
      onRoom()
    }
  }

  private func disconnect() {
    guard connection >= 0 else { return }
    loop.forget(connection)
    close(connection)
    connection = -1
    waits = false
  }

  /// The first socket of a pair; the second is closed here.
  private static func first(of pair: consuming Pair) -> Int32 { pair.first.take() }

  /// What was delivered up to now.
  private static func mark(_ path: String) -> UInt64? {
    guard let file = try? openat2(nil, path + ".sent", [.readOnly, .noFollow]) else { return nil }
    var position: UInt64 = 0
    return pread(file.rawValue, &position, 8, 0) == 8 ? UInt64(littleEndian: position) : nil
  }
}
