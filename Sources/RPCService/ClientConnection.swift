internal import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import NIOCore
internal import Synchronization

/// The client's side of one connection: answers find their requests by id, whatever order they come in.
final class ClientConnection: Sendable {
  private struct Request {
    let continuation: CheckedContinuation<Result<Data, Fault>, Never>
    let progress: (@Sendable (Data) -> Void)?
    var timer: Scheduled<Void>?
  }

  private struct State {
    var requests: [Int64: Request] = [:]
    var nextID: Int64 = 1
    var lines: LineChannel?
    var isClosed = false
  }

  private let name: String
  private let loop: any EventLoop
  private let state = Mutex(State())
  private let onNotification: @Sendable (String, Data) -> Void
  private let onEnd: @Sendable (ClientConnection) -> Void

  init(
    name: String, loop: any EventLoop, onNotification: @escaping @Sendable (String, Data) -> Void,
    onEnd: @escaping @Sendable (ClientConnection) -> Void
  ) {
    self.name = name
    self.loop = loop
    self.onNotification = onNotification
    self.onEnd = onEnd
  }

  /// The handler for the channel's pipeline.
  func handler(for channel: any Channel) -> LineChannel {
    let lines = LineChannel(
      channel,
      events: .init(
        line: { [self] in take($0) }, inputEnded: { [self] in close() }, broken: { [self] _ in close() },
        ended: { [self] in ended() }))
    state.withLock { $0.lines = lines }
    return lines
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  func close() { state.withLock { $0.lines }?.close() }

  /// Sends a request and waits for its answer; a cancelled task takes it back.
  func call(method: String, params: Data, context: CallContext) async throws(Fault) -> Data {
    let id = state.withLock { state in
      defer { state.nextID += 1 }
      return state.nextID
    }
    let meta = RequestMeta(
      deadlineMilliseconds: context.deadline?.millisecondsLeft,
      progressToken: context.wantsProgress ? Data(String(id).utf8) : nil, traceparent: context.traceparent)
    let line = try MessageCodec.request(id: .number(id), method: method, params: params, meta: meta)
    if line.count > WireLimit.line {
      throw Fault(.limitExceeded, "the request \(method) is longer than a line may be")
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        begin(id, line, continuation, method: method, context)
      }
    } onCancel: {
      takeBack(id, Fault(.cancelled, "\(method) was taken back"))
    }
    return try outcome.get()
  }

  private func begin(
    _ id: Int64, _ line: Data, _ continuation: CheckedContinuation<Result<Data, Fault>, Never>, method: String,
    _ context: CallContext
  ) {
    // The service answers when the deadline passes; this timer is for a service that does not.
    let timer = context.deadline.map { deadline in
      loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds + 250_000_000)) { [self] in
        takeBack(id, Fault(.deadlineExceeded, "\(name) did not answer \(method) in time"))
      }
    }
    let lines = state.withLock { state -> LineChannel? in
      guard !state.isClosed, let lines = state.lines else { return nil }
      state.requests[id] = Request(continuation: continuation, progress: context.progressHandler, timer: timer)
      return lines
    }
    guard let lines else {
      timer?.cancel()
      continuation.resume(returning: .failure(lost))
      return
    }
    _ = lines.send(line)
    if Task.isCancelled { takeBack(id, Fault(.cancelled, "\(method) was taken back")) }
  }

  private func takeBack(_ id: Int64, _ fault: Fault) {
    guard let request = state.withLock({ $0.requests.removeValue(forKey: id) }) else { return }
    request.timer?.cancel()
    if let line = try? MessageCodec.cancel(id: .number(id)) { _ = state.withLock { $0.lines }?.send(line) }
    request.continuation.resume(returning: .failure(fault))
  }

  private var lost: Fault {
    Fault(.unavailable, "the connection to \(name) ended before the answer: is the service running?")
  }

  private func take(_ line: Data) {
    do throws(Fault) {
      switch try MessageCodec.parse(line) {
      case .result(.number(let id), let result): settle(id, .success(result))
      case .failure(.number(let id)?, let fault): settle(id, .failure(fault))
      case .failure(nil, _): close()
      case .notification(WireMethod.progress, let params):
        guard let parts = MessageCodec.progressParts(params),
          let id = Int64(String(decoding: parts.token, as: UTF8.self))
        else { return }
        state.withLock { $0.requests[id]?.progress }?(parts.value)
      case .notification(let name, let params): onNotification(name, params)
      case .request(let id, let method, _, _):
        let answer = try MessageCodec.failure(id: id, RPCCoding.unknownMethod(method))
        _ = state.withLock { $0.lines }?.send(answer)
      default: return
      }
    } catch {
      close()
    }
  }

  private func settle(_ id: Int64, _ outcome: Result<Data, Fault>) {
    guard let request = state.withLock({ $0.requests.removeValue(forKey: id) }) else { return }
    request.timer?.cancel()
    request.continuation.resume(returning: outcome)
  }

  private func ended() {
    let requests = state.withLock { state in
      let requests = state.requests
      state.requests = [:]
      state.isClosed = true
      state.lines = nil
      return requests
    }
    for request in requests.values {
      request.timer?.cancel()
      request.continuation.resume(returning: .failure(lost))
    }
    onEnd(self)
  }
}
