internal import Glibc

/// One JSON-RPC peer of the shim: lines in, lines out. Requests are answered in order, one at a time.
///
/// A peer that does not read its answers is disconnected above 4 MiB; a line longer than 16 MiB ends the connection too.
final class ControlConnection {
  static let longestLine = 16 << 20
  private static let mostUnread = 4 << 20

  let fd: Int32
  private unowned let loop: EventLoop
  private var received: [UInt8] = []
  private var scanned = 0
  private var queue = ByteQueue()
  private var closed = false

  /// Called with each line, without its newline.
  var onLine: (ControlConnection, ArraySlice<UInt8>) -> Void = { _, _ in }
  var onClosed: (ControlConnection) -> Void = { _ in }

  /// Takes over the connected socket `fd`.
  init(fd: Int32, loop: EventLoop) {
    self.fd = fd
    self.loop = loop
    _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)
  }

  func begin() { loop.watch(fd, .read) { [self] ready in handle(ready) } }

  /// Whether everything that was sent has left.
  var isDrained: Bool { closed || queue.isEmpty }

  /// Sends one line; `line` has no newline.
  func send(_ line: [UInt8]) {
    guard !closed else { return }
    var line = line
    line.append(10)
    line.withUnsafeBytes { queue.append($0) }
    flush()
    if queue.count > Self.mostUnread { close() }
  }

  func close() {
    guard !closed else { return }
    closed = true
    loop.forget(fd)
    Glibc.close(fd)
    onClosed(self)
  }

  private func handle(_ ready: EventLoop.Interest) {
    if ready.contains(.write) { flush() }
    if closed { return }
    if ready.contains(.read) { receive() } else if !ready.isDisjoint(with: .hungUp) { close() }
  }

  private func flush() {
    guard queue.drain(to: fd) == 0 else { return close() }
    loop.change(fd, queue.isEmpty ? .read : [.read, .write])
  }

  private func receive() {
    let count = withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 16) { buffer in
      let count = read(fd, buffer.baseAddress, buffer.count)
      if count > 0 { received.append(contentsOf: buffer[..<count]) }
      return count
    }
    if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
    guard count > 0, received.count <= Self.longestLine else { return close() }
    var start = 0
    while !closed, let newline = received[scanned...].firstIndex(of: 10) {
      onLine(self, received[start..<newline])
      start = newline + 1
      scanned = start
    }
    if start == received.count { received = [] } else { received.removeSubrange(..<start) }
    scanned = received.count
  }
}
