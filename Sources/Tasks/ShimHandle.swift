internal import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import Linux
internal import Protocol
internal import ShimCore
internal import Synchronization

/// taskd's side of one connection to a shim: calls, their answers, and what the shim says unasked.
///
/// Everything that comes from the shim is taken on the monitor's thread in the order in which it was said: `then` of a call
/// runs before the next event is looked at, so that an exec is known before its exit is.
final class ShimHandle: Sendable {
  private struct State {
    var next: Int64 = 1
    var pending: [Int64: Call] = [:]
    var ready: (@Sendable (Result<ShimReady, Fault>) -> Void)?
    var ended = false
  }

  /// A call that waits for its answer.
  private struct Call {
    var answer: @Sendable (Result<Data, Fault>) -> Void
    var timer: Task<Void, Never>?
  }

  /// No shim needs longer for one call than this; a container's creation is one.
  private static let mostSeconds = 60

  private let id: String
  private let state = Mutex(State())
  private let onEvent: @Sendable (ShimAPI.ShimEvent) -> Void
  private let onEnd: @Sendable () -> Void
  private let link = Mutex<ShimLink?>(nil)

  /// Takes over the connected `socket`. `onReady` is given for a new shim, whose first line is no JSON-RPC.
  init(
    id: String, socket: consuming OwnedDescriptor, monitor: ShimMonitor,
    onReady: (@Sendable (Result<ShimReady, Fault>) -> Void)? = nil,
    onEvent: @escaping @Sendable (ShimAPI.ShimEvent) -> Void, onEnd: @escaping @Sendable () -> Void
  ) throws(Fault) {
    self.id = id
    self.onEvent = onEvent
    self.onEnd = onEnd
    state.withLock { $0.ready = onReady }
    let new = ShimLink(
      socket, monitor: monitor, onLine: { [weak self] in self?.take($0) }, onEnd: { [weak self] in self?.ended() })
    link.withLock { $0 = new }
    try new.begin()
  }

  /// Calls the shim. `then` runs on the monitor's thread before anything later from the shim.
  @discardableResult
  func call<Params, Result>(
    _ method: RPCMethod<Params, Result>, _ params: Params, then: @escaping @Sendable (Result) -> Void = { _ in }
  ) async throws(Fault) -> Result {
    let text = try RPCCoding.encode(params)
    let outcome: Swift.Result<Result, Fault> = await withCheckedContinuation { continuation in
      send(method.name, text) { answer in
        let result = answer.flatMap { data in
          Swift.Result { () throws(Fault) -> Result in try RPCCoding.decode(data) }
        }
        if case .success(let value) = result { then(value) }
        continuation.resume(returning: result)
      }
    }
    return try outcome.get()
  }

  /// Reads what the shim still had to say; called when its process has ended.
  func drain() { link.withLock { $0 }?.drain() }

  /// Ends the connection; every call that waits fails.
  func close() {
    link.withLock { $0 }?.close()
    failAll(Fault(.unavailable, "the shim of container \(id) has ended"))
  }

  private func send(_ method: String, _ params: Data, _ answer: @escaping @Sendable (Result<Data, Fault>) -> Void) {
    let number: Int64? = state.withLock { state in
      guard !state.ended else { return nil }
      let number = state.next
      state.next += 1
      state.pending[number] = Call(answer: answer)
      return number
    }
    guard let number else {
      return answer(.failure(Fault(.unavailable, "the shim of container \(id) has ended")))
    }
    let line = try? MessageCodec.request(id: .number(number), method: method, params: params)
    guard let line, link.withLock({ $0 })?.send(Array(line)) == true else {
      return finish(number, .failure(Fault(.unavailable, "the shim of container \(id) does not listen")))
    }
    let timer = Task { [weak self] in
      guard (try? await Task.sleep(for: .seconds(Self.mostSeconds))) != nil else { return }
      self?.finish(number, .failure(Fault(.deadlineExceeded, "the shim does not answer to \(method)")))
    }
    let waits = state.withLock { state in
      state.pending[number]?.timer = timer
      return state.pending[number] != nil
    }
    if !waits { timer.cancel() }
  }

  private func finish(_ number: Int64, _ result: Result<Data, Fault>) {
    guard let call = state.withLock({ $0.pending.removeValue(forKey: number) }) else { return }
    call.timer?.cancel()
    call.answer(result)
  }

  private func take(_ line: [UInt8]) {
    if let ready = state.withLock({ $0.ready.take() }) {
      do throws(Fault) {
        ready(.success(try RPCCoding.decode(Data(line))))
      } catch {
        ready(.failure(Fault(.internal, "the first word of a shim cannot be understood", cause: [error.message])))
      }
      return
    }
    switch try? MessageCodec.parse(Data(line)) {
    case .result(.number(let number), let result): finish(number, .success(result))
    case .failure(.number(let number), let fault): finish(number, .failure(fault))
    case .notification(ShimAPI.Notification.event.name, let params):
      if let event: ShimAPI.ShimEvent = try? RPCCoding.decode(params) { onEvent(event) }
    default: break
    }
  }

  private func ended() {
    failAll(Fault(.unavailable, "the shim of container \(id) has ended"))
    onEnd()
  }

  private func failAll(_ fault: Fault) {
    let (ready, pending) = state.withLock { state in
      state.ended = true
      defer { state.pending = [:] }
      return (state.ready.take(), state.pending)
    }
    ready?(.failure(fault))
    for call in pending.values {
      call.timer?.cancel()
      call.answer(.failure(fault))
    }
  }
}
