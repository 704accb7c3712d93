public import Faults
public import FoundationEssentials
public import Linux
internal import Synchronization

/// A service and its client in one process, for tests: every message goes through the codec as it would on a socket.
public final class InMemoryChannel: RPCChannel {
  private let table: RPCTable
  /// The connection that handlers see: notifications that they send are kept there.
  public let connection: InMemoryConnection

  /// Calls go to `table`; handlers see `peer` as the caller.
  public init(_ table: RPCTable, peer: PeerCredentials? = nil) {
    self.table = table
    connection = InMemoryConnection(peer: peer)
  }

  /// Writes the request, reads it, calls the method, and takes its answer the same way back.
  public func call(method: String, params: Data, context: CallContext) async throws(Fault) -> Data {
    let meta = RequestMeta(
      deadlineMilliseconds: context.deadline?.millisecondsLeft,
      progressToken: context.wantsProgress ? Data("1".utf8) : nil, traceparent: context.traceparent)
    let line = try MessageCodec.request(id: .number(1), method: method, params: params, meta: meta)
    guard case .request(let id, let name, let bytes, let meta) = try MessageCodec.parse(line) else {
      throw Fault(.invalidRequest, "the message is no request")
    }
    let inner = CallContext(
      deadline: meta.deadlineMilliseconds.map { .after(milliseconds: $0) }, peer: connection.peer,
      connection: connection, traceparent: meta.traceparent, cancellation: context.cancellation,
      progress: context.progressHandler)
    let answer: Data
    do throws(Fault) {
      answer = try MessageCodec.result(id: id, try await table.call(name, bytes, inner))
    } catch {
      answer = try MessageCodec.failure(id: id, error)
    }
    switch try MessageCodec.parse(answer) {
    case .result(_, let result): return result
    case .failure(_, let fault): throw fault
    default: throw Fault(.internal, "the message is no answer")
    }
  }
}

/// The server's side of a connection in memory.
public final class InMemoryConnection: RPCConnection {
  private struct State {
    var lines: [Data] = []
    var actions: [@Sendable () -> Void] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  /// Who is at the other end.
  public let peer: PeerCredentials?

  /// An open connection.
  public init(peer: PeerCredentials? = nil) { self.peer = peer }

  /// Everything that was sent so far.
  public var lines: [Data] { state.withLock { $0.lines } }

  /// Keeps the line.
  @discardableResult
  public func send(line: Data) -> Bool {
    state.withLock { state in
      if !state.isClosed { state.lines.append(line) }
      return !state.isClosed
    }
  }

  /// Runs `action` when `close` is called.
  public func onClose(_ action: @escaping @Sendable () -> Void) {
    let isClosed = state.withLock { state in
      if !state.isClosed { state.actions.append(action) }
      return state.isClosed
    }
    if isClosed { action() }
  }

  /// Ends the connection.
  public func close() {
    let actions = state.withLock { state in
      state.isClosed = true
      return exchange(&state.actions, with: [])
    }
    for action in actions { action() }
  }

  private func exchange<T>(_ value: inout T, with new: T) -> T {
    let old = value
    value = new
    return old
  }
}
