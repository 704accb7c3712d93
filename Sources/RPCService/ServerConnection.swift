internal import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import Linux
internal import Logging
internal import NIOCore
internal import Synchronization

/// The server's side of one connection: requests start at once, each in a task of its own, and are answered as they finish.
final class ServerConnection: RPCConnection, Sendable {
  /// One request that has not been answered.
  private struct Request {
    let cancellation: Cancellation
    /// Bytes of its params.
    let size: Int
    /// It may take for ever: nothing waits for its end.
    let isUnbounded: Bool
    var task: Task<Void, Never>?
    var timer: Scheduled<Void>?
  }

  private struct State {
    var requests: [RPCID: Request] = [:]
    /// Bytes of the params of `requests`.
    var size = 0
    var lines: LineChannel?
    var inputEnded = false
    var isClosed = false
    var closeActions: [@Sendable () -> Void] = []

    /// Takes a request out; `resumes` says that reading was held for its size, `closes` that it was the last one.
    mutating func remove(_ id: RPCID) -> (request: Request, resumes: Bool, closes: Bool)? {
      guard let request = requests.removeValue(forKey: id) else { return nil }
      let wasBusy = size > ServerConnection.sizeLimit
      size -= request.size
      return (request, wasBusy && size <= ServerConnection.sizeLimit, inputEnded && requests.isEmpty)
    }
  }

  /// Bytes of params that may be worked on at once; nothing more is read before they are fewer.
  private static let sizeLimit = 32 << 20

  let peer: PeerCredentials?
  private let server: ServerCore
  private let loop: any EventLoop
  private let state = Mutex(State())

  init(server: ServerCore, peer: PeerCredentials, loop: any EventLoop) {
    self.server = server
    self.peer = peer
    self.loop = loop
  }

  /// The handler for the channel's pipeline.
  func handler(for channel: any Channel) -> LineChannel {
    let lines = LineChannel(
      channel, lineLimit: server.options.lineLimit,
      events: .init(
        line: { [self] in take($0) }, inputEnded: { [self] in inputEnded() }, broken: { [self] in broken($0) },
        ended: { [self] in ended() }, isBusy: { [self] in state.withLock { $0.size > Self.sizeLimit } }))
    state.withLock { $0.lines = lines }
    return lines
  }

  // MARK: RPCConnection

  @discardableResult
  func send(line: Data) -> Bool {
    guard let lines = state.withLock({ $0.lines }) else { return false }
    return lines.send(line)
  }

  func drained() async { await state.withLock { $0.lines }?.drained() }

  func onClose(_ action: @escaping @Sendable () -> Void) {
    let isClosed = state.withLock { state in
      if !state.isClosed { state.closeActions.append(action) }
      return state.isClosed
    }
    if isClosed { action() }
  }

  /// Lets running requests finish, then closes; nothing new is taken. Unbounded ones (`x-unbounded`: waits) are taken back.
  func finish() {
    let (isIdle, unbounded) = state.withLock { state in
      state.inputEnded = true
      return (state.requests.isEmpty, state.requests.filter(\.value.isUnbounded).map(\.key))
    }
    for id in unbounded { abandon(id, Fault(.unavailable, "the service is stopping: try again")) }
    if isIdle { state.withLock { $0.lines }?.closeAfterOutput() }
  }

  /// Closes at once.
  func close() { state.withLock { $0.lines }?.close() }

  // MARK: Input

  private func take(_ line: Data) {
    do throws(Fault) {
      switch try MessageCodec.parse(line) {
      case .request(let id, let method, let params, let meta): start(id, method, params, meta)
      case .notification(WireMethod.cancel, let params):
        if let id = MessageCodec.cancelledID(params) {
          abandon(id, Fault(.cancelled, "the caller took the call back"))
        }
      case .notification, .result, .failure: return
      case .invalid(let id, let fault): answer(id, .failure(fault))
      }
    } catch {
      state.withLock { $0.lines }?.fail(error)
    }
  }

  private func start(_ id: RPCID, _ method: String, _ params: Data, _ meta: RequestMeta) {
    let received = Deadline.now
    if method == WireMethod.discover {
      return answer(id, .success(Data(server.table.document.utf8)))
    }
    guard let traits = server.table.methods[method] else {
      return answer(id, .failure(RPCCoding.unknownMethod(method)))
    }
    let cancellation = Cancellation()
    let refusal = state.withLock { state -> Fault? in
      if state.inputEnded { return Fault(.unavailable, "the service is stopping: try again") }
      if state.requests[id] != nil { return Fault(.invalidRequest, "a request with this id is not answered yet") }
      if state.requests.count >= server.options.requestLimit {
        return Fault(
          .limitExceeded,
          "more than \(server.options.requestLimit) requests of one connection wait for their answers")
      }
      state.requests[id] = Request(
        cancellation: cancellation, size: params.count,
        isUnbounded: traits.isUnbounded && meta.deadlineMilliseconds == nil)
      state.size += params.count
      return nil
    }
    if let refusal { return answer(id, .failure(refusal)) }

    let limit =
      meta.deadlineMilliseconds ?? traits.deadlineMilliseconds
      ?? (traits.isUnbounded ? nil : server.options.deadlineMilliseconds)
    let deadline = limit.map { Deadline.after(milliseconds: $0) }
    let timer = deadline.map { deadline in
      loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) { [self] in
        abandon(id, Fault(.deadlineExceeded, "\(method) was not finished within \(limit ?? 0) ms"))
      }
    }
    var progress: (@Sendable (Data) -> Void)?
    if let token = meta.progressToken {
      progress = { [self] value in
        if let line = try? MessageCodec.progress(token: token, value: value) { send(line: line) }
      }
    }
    let context = CallContext(
      deadline: deadline, peer: peer, connection: self, traceparent: meta.traceparent, cancellation: cancellation,
      progress: progress)
    let task = Task { [self] in
      let outcome: Result<Data, Fault>
      do throws(Fault) {
        outcome = .success(try await server.table.call(method, params, context))
      } catch {
        outcome = .failure(error)
      }
      finished(id, cancellation, outcome)
      server.record(method, traits, peer, since: received, outcome)
    }
    let isAbandoned = state.withLock { state -> Bool in
      guard let request = state.requests[id], request.cancellation === cancellation else { return true }
      state.requests[id]?.task = task
      state.requests[id]?.timer = timer
      return false
    }
    if isAbandoned {
      // It is finished already, or was taken back before its task was known.
      timer?.cancel()
      if cancellation.isCancelled { task.cancel() }
    }
  }

  // MARK: The end of requests

  private func finished(_ id: RPCID, _ cancellation: Cancellation, _ outcome: Result<Data, Fault>) {
    let removed = state.withLock { $0.requests[id]?.cancellation === cancellation ? $0.remove(id) : nil }
    guard let removed else { return }
    settle(id, removed, outcome)
  }

  /// Answers a request before its handler has finished, and tells the handler.
  private func abandon(_ id: RPCID, _ fault: Fault) {
    guard let removed = state.withLock({ $0.remove(id) }) else { return }
    removed.request.cancellation.cancel()
    removed.request.task?.cancel()
    settle(id, removed, .failure(fault))
  }

  private func settle(
    _ id: RPCID, _ removed: (request: Request, resumes: Bool, closes: Bool), _ outcome: Result<Data, Fault>
  ) {
    removed.request.timer?.cancel()
    answer(id, outcome)
    guard removed.resumes || removed.closes, let lines = state.withLock({ $0.lines }) else { return }
    if removed.closes { lines.closeAfterOutput() } else { lines.resume() }
  }

  private func answer(_ id: RPCID?, _ outcome: Result<Data, Fault>) {
    let line: Data?
    switch outcome {
    case .success(let result):
      if result.count > WireLimit.line - 1024 {
        line = try? MessageCodec.failure(
          id: id, Fault(.limitExceeded, "the answer is longer than a line may be: ask for less"))
      } else {
        line = id.flatMap { try? MessageCodec.result(id: $0, result) }
      }
    case .failure(let fault): line = try? MessageCodec.failure(id: id, fault)
    }
    if let line { send(line: line) }
  }

  // MARK: The end of the connection

  private func inputEnded() {
    let isIdle = state.withLock { state in
      state.inputEnded = true
      return state.requests.isEmpty && state.closeActions.isEmpty
    }
    if isIdle { state.withLock { $0.lines }?.closeAfterOutput() }
  }

  private func broken(_ fault: Fault) {
    server.logger.notice("a message cannot be read", metadata: ["fault": "\(fault)", "uid": "\(peer?.uid ?? 0)"])
    answer(nil, .failure(fault))
    state.withLock { $0.lines }?.closeAfterOutput()
  }

  private func ended() {
    let (requests, actions) = state.withLock { state in
      let requests = state.requests
      let actions = state.closeActions
      state.requests = [:]
      state.size = 0
      state.closeActions = []
      state.isClosed = true
      state.lines = nil
      return (requests, actions)
    }
    for request in requests.values {
      request.cancellation.cancel()
      request.task?.cancel()
      request.timer?.cancel()
    }
    for action in actions { action() }
    server.ended(self)
  }
}
