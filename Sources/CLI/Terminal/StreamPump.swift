internal import Glibc
internal import Linux
internal import SystemPackage

/// Joins this process's standard streams with a container's stream until that ends, the keys to detach are typed, or a
/// signal ends it.
final class StreamPump {
  /// What to join.
  struct Options: Sendable {
    /// Whether standard input goes to the container.
    var input = false
    /// Whether the container has a terminal: its output comes raw, without frames.
    var terminal = false
    /// The keys to detach, watched for only with a terminal.
    var detachKeys = DetachKeys.standard
    /// Which of the container's streams are shown.
    var showsOutput = true
    var showsErrors = true
  }

  /// How it ended.
  enum End: Equatable {
    /// The container closed its side.
    case closed
    /// The keys to detach were typed.
    case detached
    /// A signal said so.
    case interrupted
  }

  /// What the owner wants after a signal.
  enum AfterSignal { case goOn, stop }

  private static let outputSize = 256 << 10
  private static let inputSize = 64 << 10

  private let socket: Int32
  private let signals: Int32
  private let options: Options
  private let buffer: UnsafeMutableRawBufferPointer
  private var frames = FrameDemultiplexer()
  private var filter: DetachFilter
  private var pending: [UInt8] = []
  private var pendingStart = 0
  private var inputOpen: Bool
  private var detached = false

  /// Takes the connected socket of a stream, its token already sent, and the descriptor of a `SignalFD`.
  init(_ socket: consuming OwnedDescriptor, signals: Int32, _ options: Options) {
    self.socket = socket.take()
    self.signals = signals
    self.options = options
    inputOpen = options.input
    filter = DetachFilter(options.terminal ? options.detachKeys : .none)
    buffer = .allocate(byteCount: Self.outputSize, alignment: 16)
  }

  deinit {
    buffer.deallocate()
    Descriptors.close(socket)
  }

  /// Takes what was typed before the pump works.
  func type(_ bytes: [UInt8]) {
    let typed = bytes.withUnsafeBytes { filter.feed($0) }
    pending = typed.pass
    pendingStart = 0
    detached = typed.detached
  }

  /// Works until the end; `onSignal` is called when the signal descriptor is readable.
  func run(onSignal: () throws -> AfterSignal) throws -> End {
    try Descriptors.setNonBlocking(socket, true)
    if !options.input { UnixSocket.shutdownWriting(socket) }
    if detached { return .detached }
    let readable = Int16(POLLIN)
    let writable = Int16(POLLOUT)
    while true {
      let idle = pending.isEmpty
      var fds: [pollfd] = [
        pollfd(fd: socket, events: idle ? readable : readable | writable, revents: 0),
        pollfd(fd: signals, events: readable, revents: 0),
        pollfd(fd: inputOpen && idle ? STDIN_FILENO : -1, events: readable, revents: 0),
      ]
      if poll(&fds, 3, -1) < 0 {
        if errno == EINTR { continue }
        throw Errno(rawValue: errno)
      }
      if fds[1].revents != 0, try onSignal() == .stop { return .interrupted }
      if fds[0].revents & writable != 0 { sendPending() }
      if fds[0].revents & ~writable != 0, try !receive() { return .closed }
      if fds[2].revents != 0 {
        try readInput()
        if detached { return .detached }
      }
    }
  }

  /// Shows what has come; false at the end of the stream.
  private func receive() throws -> Bool {
    let count: Int
    do throws(Errno) {
      count = try Descriptors.read(socket, into: buffer)
    } catch {
      if error == .wouldBlock { return true }
      if error == .connectionReset { return false }
      throw error
    }
    if count == 0 { return false }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    if options.terminal {
      if options.showsOutput { try show(STDOUT_FILENO, UnsafeRawBufferPointer(bytes)) }
      return true
    }
    let options = options
    try frames.feed(bytes) { stream, payload in
      if stream == 2 {
        if options.showsErrors { try Self.write(STDERR_FILENO, payload) }
      } else if options.showsOutput {
        try Self.write(STDOUT_FILENO, payload)
      }
    }
    return true
  }

  private func show(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws {
    try Self.write(descriptor, bytes)
  }

  /// Writes everything, also to a descriptor that somebody made non-blocking (a shared terminal often is).
  private static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes
    while !rest.isEmpty {
      do throws(Errno) {
        let count = try Descriptors.write(descriptor, rest)
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      } catch {
        guard error == .wouldBlock else { throw error }
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&ready, 1, -1)
      }
    }
  }

  private func readInput() throws {
    var bytes = [UInt8](repeating: 0, count: Self.inputSize)
    let count: Int
    do {
      count = try bytes.withUnsafeMutableBytes { try Descriptors.read(STDIN_FILENO, into: $0) }
    } catch Errno.wouldBlock {
      return
    } catch {
      // A terminal that went away (EIO) is the end of input.
      count = 0
    }
    if count == 0 {
      inputOpen = false
      UnixSocket.shutdownWriting(socket)
      return
    }
    let typed = bytes.withUnsafeBytes { filter.feed(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    pending = typed.pass
    pendingStart = 0
    detached = typed.detached
    sendPending()
  }

  /// Sends what the socket takes; what it does not stays until it is writable, and no more input is read before.
  private func sendPending() {
    while pendingStart < pending.count {
      do {
        let sent = try pending.withUnsafeBytes { bytes in
          try UnixSocket.send(socket, UnsafeRawBufferPointer(rebasing: bytes[pendingStart...]), nonBlocking: true)
        }
        pendingStart += sent
      } catch Errno.wouldBlock {
        return
      } catch {
        // The container reads no more: its end comes on the other direction.
        inputOpen = false
        break
      }
    }
    pending = []
    pendingStart = 0
  }
}
