public import Faults
public import FoundationEssentials
public import JSONRPC
public import Linux
internal import NIOCore
internal import NIOPosix
internal import Synchronization
public import SystemPackage

/// Calls a service on a Unix socket: connects when it is first used, and again after a connection has ended.
///
/// Calls are pipelined on one connection. A call whose connection ends fails with `.unavailable`; it is not made again,
/// because it may have been carried out.
public final class RPCClient: RPCChannel {
  private enum Link {
    case idle
    case connecting([CheckedContinuation<Result<ClientConnection, Fault>, Never>])
    case connected(ClientConnection)
    /// No connection is made any more.
    case closed
  }

  private struct Subscriber {
    let name: String
    let deliver: @Sendable (Data) -> Bool
    let finish: @Sendable () -> Void
  }

  private struct State {
    var link = Link.idle
    var subscribers: [Int: Subscriber] = [:]
    var nextSubscriber = 0
  }

  /// Notifications that a slow reader of a stream may leave waiting; one more ends its stream.
  private static let notificationLimit = 65_536

  private let path: FilePath?
  private let name: String
  private let state = Mutex(State())

  /// Calls the service that listens on `path`.
  public init(path: FilePath) {
    self.path = path
    name = path.string
  }

  /// Adopts a connected stream socket; there is no second connection after it.
  public init(descriptor: consuming OwnedDescriptor, name: String) async throws(Fault) {
    path = nil
    self.name = name
    let socket = descriptor.take()
    try? Descriptors.setNonBlocking(socket, true)
    let connection = try await adopt(socket)
    state.withLock { $0.link = .connected(connection) }
  }

  /// Ends the connection; calls that wait fail, and later ones too.
  public func close() {
    let link = state.withLock { state in
      let link = state.link
      state.link = .closed
      return link
    }
    if case .connected(let connection) = link { connection.close() }
  }

  /// Sends a request and waits for its answer. Cancelling the task sends `$/cancel`.
  public func call(method: String, params: Data, context: CallContext) async throws(Fault) -> Data {
    try await connection().call(method: method, params: params, context: context)
  }

  /// Every notification of that kind from now on. The stream ends with the connection that is or comes next:
  /// ask for the stream, subscribe, read; when it ends, begin anew.
  public func notifications<Params>(_ notification: RPCNotification<Params>) -> AsyncStream<Params> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: Params.self, bufferingPolicy: .bufferingOldest(Self.notificationLimit))
    let subscriber = Subscriber(
      name: notification.name,
      deliver: { params in
        guard let value: Params = try? RPCCoding.decode(params) else { return true }
        if case .enqueued = continuation.yield(value) { return true }
        continuation.finish()
        return false
      }, finish: { continuation.finish() })
    let key = state.withLock { state in
      defer { state.nextSubscriber += 1 }
      state.subscribers[state.nextSubscriber] = subscriber
      return state.nextSubscriber
    }
    continuation.onTermination = { [weak self] _ in
      _ = self?.state.withLock { $0.subscribers.removeValue(forKey: key) }
    }
    return stream
  }

  // MARK: Connecting

  private func connection() async throws(Fault) -> ClientConnection {
    enum Next { case have(ClientConnection), wait, connect, refuse }
    let next = state.withLock { state -> Next in
      switch state.link {
      case .connected(let connection): return .have(connection)
      case .connecting: return .wait
      case .closed: return .refuse
      case .idle:
        if path == nil { return .refuse }
        state.link = .connecting([])
        return .connect
      }
    }
    switch next {
    case .have(let connection): return connection
    case .refuse: throw Fault(.unavailable, "the connection to \(name) has ended")
    case .wait: return try await waitForConnection()
    case .connect: return try await connect()
    }
  }

  private func waitForConnection() async throws(Fault) -> ClientConnection {
    let outcome = await withCheckedContinuation { continuation in
      let known = state.withLock { state -> Result<ClientConnection, Fault>? in
        switch state.link {
        case .connecting(let waiting):
          state.link = .connecting(waiting + [continuation])
          return nil
        case .connected(let connection): return .success(connection)
        case .idle, .closed: return .failure(Fault(.unavailable, "the connection to \(name) has ended"))
        }
      }
      if let known { continuation.resume(returning: known) }
    }
    return try outcome.get()
  }

  private func connect() async throws(Fault) -> ClientConnection {
    var outcome: Result<ClientConnection, Fault>
    do throws(Fault) {
      outcome = .success(try await open())
    } catch {
      outcome = .failure(error)
    }
    let waiting = state.withLock { state -> [CheckedContinuation<Result<ClientConnection, Fault>, Never>] in
      guard case .connecting(let waiting) = state.link else {
        // Closed meanwhile.
        if case .success(let connection) = outcome { connection.close() }
        outcome = .failure(Fault(.unavailable, "the connection to \(name) has ended"))
        return []
      }
      if case .success(let connection) = outcome, !connection.isClosed {
        state.link = .connected(connection)
      } else {
        state.link = .idle
      }
      return waiting
    }
    for continuation in waiting { continuation.resume(returning: outcome) }
    return try outcome.get()
  }

  private func open() async throws(Fault) -> ClientConnection {
    guard let path else { throw Fault(.unavailable, "the connection to \(name) has ended") }
    let descriptor: Int32
    do throws(Errno) {
      descriptor = try UnixSocket.connect(path: path, nonBlocking: true).take()
    } catch {
      throw Fault(.unavailable, "nothing answers on \(path): is the service running?", cause: ["connect: \(error)"])
    }
    return try await adopt(descriptor)
  }

  private func adopt(_ descriptor: Int32) async throws(Fault) -> ClientConnection {
    let loop = RPCLoop.shared.next()
    let connection = ClientConnection(
      name: name, loop: loop,
      onNotification: { [weak self] name, params in self?.deliver(name, params) },
      onEnd: { [weak self] in self?.ended($0) })
    do {
      _ = try await ClientBootstrap(group: loop)
        .channelOption(.autoRead, value: false)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(connection.handler(for: channel))
          }
        }
        .withConnectedSocket(descriptor)
        .get()
      return connection
    } catch {
      throw Fault(.unavailable, "the connection to \(name) cannot be used", cause: ["\(error)"])
    }
  }

  // MARK: Events of the connection

  private func deliver(_ name: String, _ params: Data) {
    let subscribers = state.withLock { $0.subscribers.filter { $0.value.name == name } }
    for (key, subscriber) in subscribers where !subscriber.deliver(params) {
      _ = state.withLock { $0.subscribers.removeValue(forKey: key) }
    }
  }

  private func ended(_ connection: ClientConnection) {
    let subscribers = state.withLock { state -> [Subscriber] in
      if case .connected(let current) = state.link, current === connection {
        state.link = path == nil ? .closed : .idle
      }
      let subscribers = Array(state.subscribers.values)
      state.subscribers = [:]
      return subscribers
    }
    for subscriber in subscribers { subscriber.finish() }
  }
}
