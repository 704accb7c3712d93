internal import Faults
internal import Glibc
internal import Linux
internal import Synchronization
internal import SystemPackage

/// Lines to and from one shim over its socket. Sending never blocks: what the shim has not taken yet waits, up to 16 MiB.
///
/// `onLine` and `onEnd` are called on the monitor's thread, in order; `onEnd` once, after the last line.
final class ShimLink: Sendable {
  private static let longestLine = 16 << 20
  private static let sendFlags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)

  private struct State {
    var token: UInt64 = 0
    var received: [UInt8] = []
    var scanned = 0
    var queue: [UInt8] = []
    var awaitsRoom = false
    var closed = false
  }

  private let descriptor: OwnedDescriptor
  private let monitor: ShimMonitor
  private let state = Mutex(State())
  private let onLine: @Sendable ([UInt8]) -> Void
  private let onEnd: @Sendable () -> Void

  /// Takes over a connected socket. Nothing is received before `begin`.
  init(
    _ socket: consuming OwnedDescriptor, monitor: ShimMonitor, onLine: @escaping @Sendable ([UInt8]) -> Void,
    onEnd: @escaping @Sendable () -> Void
  ) {
    descriptor = socket
    self.monitor = monitor
    self.onLine = onLine
    self.onEnd = onEnd
  }

  /// Begins to receive.
  func begin() throws(Fault) {
    do {
      try Descriptors.setNonBlocking(descriptor.rawValue, true)
      try state.withLock { state throws(Errno) in
        state.token = try monitor.watch(descriptor.rawValue, .readable) { [weak self] ready in self?.handle(ready) }
      }
    } catch {
      throw Fault(.internal, "a shim's connection cannot be watched", cause: ["\(error)"])
    }
  }

  /// Sends one line, without its newline; false when the connection has ended or the shim takes nothing.
  func send(_ line: [UInt8]) -> Bool {
    state.withLock { state in
      guard !state.closed, state.queue.count < Self.longestLine else { return false }
      state.queue += line
      state.queue.append(10)
      return flush(&state)
    }
  }

  /// Ends the connection; `onEnd` is not called any more.
  func close() { _ = end() }

  private func handle(_ ready: EpollEvents) {
    if ready.contains(.writable) { _ = state.withLock { flush(&$0) } }
    if ready.contains(.readable) || ready.contains(.hangUp) || ready.contains(.error) { receive() }
  }

  private func receive() {
    let (lines, ended) = state.withLock { state -> ([[UInt8]], Bool) in
      guard !state.closed else { return ([], false) }
      let count = withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
        let count = read(descriptor.rawValue, buffer.baseAddress, buffer.count)
        if count > 0 { state.received.append(contentsOf: buffer[..<count]) }
        return count
      }
      if count < 0 && (errno == EAGAIN || errno == EINTR) { return ([], false) }
      var lines: [[UInt8]] = []
      var start = 0
      while let newline = state.received[state.scanned...].firstIndex(of: 10) {
        lines.append(Array(state.received[start..<newline]))
        start = newline + 1
        state.scanned = start
      }
      if start > 0 { state.received.removeSubrange(..<start) }
      state.scanned = state.received.count
      return (lines, count <= 0 || state.received.count > Self.longestLine)
    }
    for line in lines { onLine(line) }
    if ended && end() { onEnd() }
  }

  /// Receives what is still waiting, when the shim's process has ended.
  func drain() {
    while state.withLock({ !$0.closed }) && bytesWait { receive() }
  }

  private var bytesWait: Bool {
    var events: UInt32 = 0
    return (try? Polling.wait(descriptor.rawValue, for: .readable, milliseconds: 0, events: &events)) == true
  }

  private func end() -> Bool {
    state.withLock { state in
      if state.closed { return false }
      state.closed = true
      monitor.remove(descriptor.rawValue, token: state.token)
      _ = shutdown(descriptor.rawValue, Int32(SHUT_RDWR))
      return true
    }
  }

  private func flush(_ state: inout State) -> Bool {
    while !state.queue.isEmpty && !state.closed {
      let count = state.queue.withUnsafeBytes {
        Glibc.send(descriptor.rawValue, $0.baseAddress, $0.count, Self.sendFlags)
      }
      if count > 0 {
        state.queue.removeFirst(count)
      } else if errno == EAGAIN {
        state.awaitsRoom = true
        monitor.change(descriptor.rawValue, [.readable, .writable], token: state.token)
        return true
      } else if errno != EINTR {
        return false
      }
    }
    if state.awaitsRoom {
      state.awaitsRoom = false
      monitor.change(descriptor.rawValue, .readable, token: state.token)
    }
    return !state.closed
  }
}
