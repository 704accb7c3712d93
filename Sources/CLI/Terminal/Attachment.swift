internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// A container's or an exec's stream joined with this process's standard streams: raw mode, window size, signals, the keys
/// to detach.
struct Attachment {
  /// What is attached to: signals and sizes go there.
  enum Target {
    case container(String)
    case exec(String, container: String)
  }

  /// How to attach.
  struct Options: Sendable {
    var input = false
    var output = true
    var errors = true
    /// Whether it has a terminal.
    var terminal = false
    var detachKeys = DetachKeys.standard
    /// Whether signals go to the process inside; without it they end this command.
    var proxiesSignals = true
  }

  /// Signals as events from before the container starts, so that none is lost.
  struct Signals: ~Copyable {
    let descriptor: SignalFD

    /// Takes the signals that would end or resize.
    init() throws { descriptor = try SignalFD(SignalNumbers.watched) }

    /// Waits for the only answer that is outstanding on `connection`; a signal that comes first ends the command.
    @inline(__always)
    borrowing func finish<Result: Decodable>(_ call: HotCall<Result>, on connection: BlockingConnection) throws
      -> Result
    {
      try waitReadable(connection)
      return try connection.finish(call)
    }

    private borrowing func waitReadable(_ connection: BlockingConnection) throws {
      while true {
        var fds = [
          pollfd(fd: connection.descriptor, events: Int16(POLLIN), revents: 0),
          pollfd(fd: descriptor.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
        ]
        poll(&fds, 2, -1)
        while let (number, _) = try descriptor.next() {
          if number != SIGWINCH, number != SIGCONT { throw CommandFailure("", code: 128 + number) }
        }
        if fds[0].revents != 0 { return }
      }
    }

    /// Waits for an answer; a signal that comes first ends the command, as it would without us.
    borrowing func wait<Result>(_ call: PendingCall<Result>, on connection: BlockingConnection) throws -> Result {
      while true {
        if let result = try connection.answer(call) { return result }
        try waitReadable(connection)
        try connection.receiveAvailable()
      }
    }
  }

  let session: Session
  let target: Target
  let options: Options

  /// Joins the streams until the other side ends, the keys to detach are typed, or a signal ends this command.
  ///
  /// - Returns: how it ended; and for a signal, its number.
  func run(_ stream: consuming OwnedDescriptor, _ signals: borrowing Signals) throws -> (StreamPump.End, Int32) {
    var pumpOptions = StreamPump.Options()
    pumpOptions.input = options.input
    pumpOptions.terminal = options.terminal
    pumpOptions.detachKeys = options.detachKeys
    pumpOptions.showsOutput = options.output
    pumpOptions.showsErrors = options.errors
    let pump = StreamPump(stream, signals: signals.descriptor.descriptor.rawValue, pumpOptions)
    var side: BlockingConnection?
    func sideConnection() throws -> BlockingConnection {
      if let side { return side }
      let connection = try session.newConnection()
      side = connection
      return connection
    }
    if options.terminal {
      if options.input { pump.type(RawTerminal.enter()) }
      try? resize(sideConnection())
    }
    defer { RawTerminal.leave() }
    var ending: Int32 = 0
    let end = try pump.run {
      while let (number, _) = try signals.descriptor.next() {
        if number == SIGWINCH {
          if options.terminal { try? resize(sideConnection()) }
        } else if options.proxiesSignals, !options.terminal {
          do {
            try forward(number, sideConnection())
          } catch let fault as Fault where fault.code == .unavailable || fault.code == .deadlineExceeded {
            // Nobody takes the signal any more: it ends this command, as if it were not passed on.
            ending = number
            return .stop
          } catch {
            // The process inside has just ended; its end comes on the stream.
          }
        } else if number != SIGCONT {
          ending = number
          return .stop
        }
      }
      return .goOn
    }
    // Before the stream closes: an exec whose client just goes away is ended.
    if case .detached = end { try withExtendedLifetime(pump) { try tellDetached(sideConnection()) } }
    return (end, ending)
  }

  /// Lets the engine know that this client has let go: its events tell it, and an exec goes on without its client.
  private func tellDetached(_ connection: BlockingConnection) throws {
    switch target {
    case .container(let id):
      // A container goes on whether its event is told or not.
      _ = try? connection.call(GatewayAPI.Method.containerDetach, .init(container: id), deadline: .after(seconds: 2))
    case .exec(let id, _):
      _ = try connection.call(GatewayAPI.Method.execDetach, .init(exec: id), deadline: .after(seconds: 10))
    }
  }

  private func resize(_ connection: BlockingConnection) throws {
    let descriptor = Terminal.isTerminal(STDOUT_FILENO) ? STDOUT_FILENO : STDIN_FILENO
    let size = try Terminal.size(descriptor)
    guard size.rows > 0, size.columns > 0 else { return }
    switch target {
    case .container(let id):
      _ = try connection.call(
        GatewayAPI.Method.containerResize,
        .init(container: id, width: Int64(size.columns), height: Int64(size.rows)), deadline: .after(seconds: 10))
    case .exec(let id, _):
      _ = try connection.call(
        GatewayAPI.Method.execResize, .init(exec: id, width: Int64(size.columns), height: Int64(size.rows)),
        deadline: .after(seconds: 10))
    }
  }

  private func forward(_ number: Int32, _ connection: BlockingConnection) throws {
    let name = SignalNumbers.name(number)
    switch target {
    case .container(let id):
      _ = try connection.call(
        GatewayAPI.Method.containerKill, .init(container: id, signal: name), deadline: .after(seconds: 10))
    case .exec(let id, _):
      _ = try connection.call(
        GatewayAPI.Method.execSignal, .init(exec: id, signal: name), deadline: .after(seconds: 10))
    }
  }
}
