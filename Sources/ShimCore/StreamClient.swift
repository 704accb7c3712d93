internal import Glibc
internal import Protocol

/// One attached connection: output goes out framed (raw on a terminal), what it sends becomes the process's input.
///
/// Its buffer is bounded. The client that was asked for together with the process (`primary`) loses nothing: above the
/// bound the process's output is not read until it caught up, so the process waits, as a program waits for a slow pipe.
/// Any other client is disconnected above the bound: watching must never hold a container or its log back.
final class StreamClient {
  /// More waiting bytes than this stop the process of a primary client (and one more read of 256 kB may come on top).
  static let primaryBound = 256 << 10
  /// What the socket may hold: two whole reads, so that reading and sending overlap.
  private static let socketBuffer: Int32 = 512 << 10
  /// More waiting bytes than this end any other client.
  static let secondaryBound = 4 << 20
  /// How long a client may take to close after the last byte, in milliseconds: closing before it has would turn its end
  /// of file into a "connection reset" when it is still sending input.
  static let lingerMilliseconds = 1000

  let fd: Int32
  let selection: AttachStreams
  let primary: Bool
  private let raw: Bool
  private unowned let loop: EventLoop
  private var queue = ByteQueue()
  private var wantsInput: Bool
  private var inputOpen: Bool
  /// No more output will come: close once everything has been taken.
  private var ending = false
  private var closed = false
  /// The client is gone, but what it sent before has not been read yet: out of the loop until input is wanted.
  private var parked = false
  private var widened = false

  /// Bytes from the client.
  var onInput: (StreamClient, UnsafeRawBufferPointer) -> Void = { _, _ in }
  /// The client closed its half and still listens. A client that is gone altogether has detached: it ends no input.
  var onInputEnd: (StreamClient) -> Void = { _ in }
  /// The client's buffer has room again.
  var onDrained: (StreamClient) -> Void = { _ in }
  /// The client is gone altogether, though what it sent may not have been read yet.
  var onGone: () -> Void = {}
  /// The connection is closed, by whichever side.
  var onClosed: (StreamClient) -> Void = { _ in }

  /// Takes over the connected, non-blocking socket `fd`.
  init(fd: Int32, selection: AttachStreams, primary: Bool, raw: Bool, loop: EventLoop) {
    self.fd = fd
    self.selection = selection
    self.primary = primary
    self.raw = raw
    self.loop = loop
    inputOpen = true
    wantsInput = true
  }

  var isCongested: Bool { primary && queue.count > Self.primaryBound }

  func begin() { loop.watch(fd, interest) { [self] ready in handle(ready) } }

  /// Makes the socket's buffer larger, above the usual bound where we may.
  private func widen() {
    widened = true
    var size = Self.socketBuffer
    let length = socklen_t(MemoryLayout<Int32>.size)
    if setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, length) != 0 {
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, length)
    }
  }

  /// Sends output of stream 1 (stdout, terminal) or 2 (stderr).
  func send(_ stream: UInt8, _ bytes: UnsafeRawBufferPointer) {
    guard !closed, !ending, stream == 1 ? selection.stdout : selection.stderr else { return }
    var header: (UInt8, UInt8, UInt8, UInt8, UInt32) = (stream, 0, 0, 0, UInt32(bytes.count).bigEndian)
    withUnsafeBytes(of: &header) { header in
      let header = raw ? UnsafeRawBufferPointer(start: nil, count: 0) : header
      var sent = 0
      if queue.isEmpty {
        sent = Self.sendNow(fd, header, bytes)
        if sent < 0 {
          close()
          return
        }
      }
      if sent < header.count { queue.append(UnsafeRawBufferPointer(rebasing: header[sent...])) }
      let taken = max(0, sent - header.count)
      if taken < bytes.count, !widened { widen() }
      if taken < bytes.count { queue.append(UnsafeRawBufferPointer(rebasing: bytes[taken...])) }
    }
    if closed { return }
    if !primary && queue.count > Self.secondaryBound { return close() }
    update()
  }

  /// Ends the connection once the client has taken everything.
  func end() {
    guard !closed, !ending else { return }
    ending = true
    if queue.isEmpty { linger() } else { update() }
  }

  /// Sends the end of file, and closes when the client has closed too or its time is over.
  private func linger() {
    guard inputOpen else { return close() }
    shutdown(fd, Int32(SHUT_WR))
    setInputWanted(true)
    loop.after(milliseconds: Self.lingerMilliseconds) { [self] in close() }
  }

  /// Whether input may be read from the client now.
  func setInputWanted(_ wanted: Bool) {
    wantsInput = wanted
    if closed { return }
    if parked && wanted {
      parked = false
      begin()
    } else {
      update()
    }
  }

  func close() {
    guard !closed else { return }
    closed = true
    loop.forget(fd)
    Glibc.close(fd)
    queue.removeAll()
    onClosed(self)
  }

  private var interest: EventLoop.Interest {
    var interest: EventLoop.Interest = []
    if inputOpen && wantsInput { interest.insert(.read) }
    if !queue.isEmpty { interest.insert(.write) }
    return interest
  }

  private func update() { loop.change(fd, interest) }

  private func handle(_ ready: EventLoop.Interest) {
    if !ready.isDisjoint(with: .hungUp) { onGone() }
    if ready.contains(.write), !flush() { return }
    if !ready.isDisjoint(with: .hungUp), !ready.contains(.read) {
      guard inputOpen, !wantsInput, selection.stdin else { return close() }
      parked = true
      loop.forget(fd)
      return
    }
    if ready.contains(.read) { readInput(hungUp: !ready.isDisjoint(with: .hungUp)) }
  }

  private func flush() -> Bool {
    guard queue.drain(to: fd) == 0 else {
      close()
      return false
    }
    update()
    if queue.isEmpty && ending { linger() }
    if closed { return false }
    if queue.count <= Self.primaryBound { onDrained(self) }
    return true
  }

  private func readInput(hungUp: Bool) {
    withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 16) { buffer in
      let count = read(fd, buffer.baseAddress, buffer.count)
      if count > 0 {
        if selection.stdin && !ending { onInput(self, UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)) }
      } else if count == 0 && !hungUp {
        inputOpen = false
        if ending && queue.isEmpty { return close() }
        update()
        if selection.stdin { onInputEnd(self) }
      } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
        close()
      }
    }
  }

  /// - Returns: how many bytes went out (0 when the socket is full), or -1 when the client is gone.
  private static func sendNow(_ fd: Int32, _ header: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer) -> Int {
    var vectors = (
      iovec(iov_base: UnsafeMutableRawPointer(mutating: header.baseAddress), iov_len: header.count),
      iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    )
    return withUnsafeMutableBytes(of: &vectors) { raw in
      while true {
        let count = writev(fd, raw.assumingMemoryBound(to: iovec.self).baseAddress, 2)
        if count >= 0 { return count }
        if errno == EAGAIN { return 0 }
        if errno != EINTR { return -1 }
      }
    }
  }
}
