import Faults
import Protocol
import Synchronization

/// One exec: a further process in a running container.
struct ExecRecord: Sendable {
  let id: String
  let container: String
  let config: GatewayAPI.ExecConfig
  /// Its process on the host; nil until it is known to run.
  var pid: Int?
  var exit: Int?
  /// An end that was told before it was known to run.
  var earlyExit: Int?

  var isRunning: Bool { exit == nil }

  /// Bytes that its request takes.
  var weight: Int {
    (config.cmd + (config.env ?? [])).reduce(256) { $0 + $1.utf8.count }
  }
}

/// The execs of all containers. Those that ended are kept for a while, so that their exit code can be asked for.
final class ExecDirectory: Sendable {
  /// Ended execs that are remembered, over all containers, and the bytes that their requests may take: a caller that
  /// leaves execs with large requests behind fills no memory.
  static let kept = 1024
  static let keptBytes = 4 << 20

  private struct State {
    var records: [String: ExecRecord] = [:]
    var ended: [String] = []
    var endedBytes = 0
    var waiters: [String: [(key: Int, continuation: CheckedContinuation<Int, any Error>)]] = [:]
    var nextWaiter = 0
  }
  private let state = Mutex(State())

  func insert(_ record: ExecRecord) { state.withLock { $0.records[record.id] = record } }

  /// Takes in an exec that an earlier engine started.
  func adopt(_ exec: ExecState, container: String) {
    state.withLock { state in
      guard state.records[exec.exec] == nil else { return }
      state.records[exec.exec] = ExecRecord(
        id: exec.exec, container: container, config: .init(cmd: []), pid: Int(exec.pid))
    }
  }

  /// An exec's process runs: `tell` is called before anybody can tell of its end. Returns the code of an end that was heard
  /// of before; call `ended` with it.
  func started(_ id: String, pid: Int, _ tell: () -> Void) -> Int? {
    state.withLock { state in
      state.records[id]?.pid = pid
      tell()
      return state.records[id]?.earlyExit
    }
  }

  /// Takes an exec out that could not be started.
  func remove(_ id: String) { state.withLock { _ = $0.records.removeValue(forKey: id) } }

  /// The exec with that id or a unique beginning of it.
  func find(_ reference: String) throws -> ExecRecord {
    try state.withLock { state in
      if let exact = state.records[reference] { return exact }
      let found = reference.utf8.count >= 4 ? state.records.values.filter { $0.id.hasPrefix(reference) } : []
      guard found.count == 1 else { throw Fault(.notFound, "No such exec instance: \(reference)") }
      return found[0]
    }
  }

  func running(in container: String) -> [String] {
    state.withLock { state in
      state.records.values.filter { $0.container == container && $0.isRunning }.map(\.id).sorted()
    }
  }

  /// Notes how an exec ended, tells it, and answers who waits. Nothing is done when that is known, the exec is not ours, or
  /// it is not known to run yet: then the end is kept for `started`.
  func ended(_ id: String, code: Int, _ tell: () -> Void) {
    end(id, code) { state in
      guard state.records[id]?.pid != nil else {
        state.records[id]?.earlyExit = code
        return false
      }
      tell()
      return true
    }
  }

  /// Notes that an exec could not be started, with the exit code that says so.
  func failed(_ id: String, code: Int) { end(id, code) { _ in true } }

  private func end(_ id: String, _ code: Int, _ isDue: (inout State) -> Bool) {
    let waiters = state.withLock { state -> [CheckedContinuation<Int, any Error>] in
      guard let record = state.records[id], record.exit == nil, isDue(&state) else { return [] }
      state.records[id]?.exit = code
      state.ended.append(id)
      state.endedBytes += record.weight
      var oldest = 0
      while state.ended.count - oldest > ExecDirectory.kept || state.endedBytes > ExecDirectory.keptBytes,
        oldest < state.ended.count - 1
      {
        if let gone = state.records.removeValue(forKey: state.ended[oldest]) { state.endedBytes -= gone.weight }
        oldest += 1
      }
      state.ended.removeFirst(oldest)
      return (state.waiters.removeValue(forKey: id) ?? []).map(\.continuation)
    }
    for waiter in waiters { waiter.resume(returning: code) }
  }

  /// Ends everything that still runs in a container that ended, and tells it: its processes are gone.
  func containerEnded(_ container: String, _ tell: (_ id: String) -> Void) {
    for id in running(in: container) { ended(id, code: 137) { tell(id) } }
  }

  func containerRemoved(_ container: String) {
    state.withLock { state in
      let gone = state.records.values.filter { $0.container == container }
      for record in gone {
        state.records[record.id] = nil
        if !record.isRunning { state.endedBytes -= record.weight }
      }
      let set = Set(gone.map(\.id))
      state.ended.removeAll(where: set.contains)
    }
  }

  /// The exit code of an exec, once it has one.
  func wait(_ reference: String) async throws -> Int {
    let record = try find(reference)
    let key = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let answer = state.withLock { state -> Int?? in
          if Task.isCancelled { return .some(nil) }
          guard let current = state.records[record.id] else { return .some(record.exit ?? 137) }
          if let exit = current.exit { return .some(exit) }
          state.waiters[record.id, default: []].append((key, continuation))
          return .none
        }
        switch answer {
        case .none: break
        case .some(.none): continuation.resume(throwing: Fault(.cancelled, "the wait was taken back"))
        case .some(.some(let code)): continuation.resume(returning: code)
        }
      }
    } onCancel: {
      let waiter = state.withLock { state -> CheckedContinuation<Int, any Error>? in
        guard let index = state.waiters[record.id]?.firstIndex(where: { $0.key == key }) else { return nil }
        return state.waiters[record.id]?.remove(at: index).continuation
      }
      waiter?.resume(throwing: Fault(.cancelled, "the wait was taken back"))
    }
  }
}
