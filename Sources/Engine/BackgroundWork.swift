import Synchronization

/// Work that nobody waits for, so that a shutdown can.
final class BackgroundWork: Sendable {
  private struct State {
    var count = 0
    var isClosing = false
    var drained: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  /// Runs `body` beside the caller.
  @discardableResult
  func run(_ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
    state.withLock { $0.count += 1 }
    return Task {
      await body()
      self.finish()
    }
  }

  private func finish() {
    let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      state.count -= 1
      guard state.count == 0 else { return [] }
      defer { state.drained = [] }
      return state.drained
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Whether what waits for another service should give up: the next start finds what is left.
  var isClosing: Bool { state.withLock { $0.isClosing } }

  /// Lets what waits give up, and returns when nothing runs.
  func close() async {
    state.withLock { $0.isClosing = true }
    await drain()
  }

  /// Returns when nothing runs.
  func drain() async {
    await withCheckedContinuation { continuation in
      let idle = state.withLock { state in
        if state.count == 0 { return true }
        state.drained.append(continuation)
        return false
      }
      if idle { continuation.resume() }
    }
  }
}

/// Work that waits, one piece for each name: restarts in their back-off, stops of unhealthy containers. At a shutdown it is
/// given up: the next start finds in the database and at the task service that it is still to be done.
final class PendingWork: Sendable {
  private struct State {
    var tasks: [String: (number: Int, task: Task<Void, Never>)] = [:]
    var next = 0
    var isClosed = false
  }
  private let state = Mutex(State())

  /// Runs `body` as `name`, in place of what ran under that name.
  func run(_ name: String, _ body: @escaping @Sendable () async -> Void) {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.next += 1
      let number = state.next
      state.tasks[name]?.task.cancel()
      let task = Task {
        await body()
        self.finish(name, number)
      }
      state.tasks[name] = (number, task)
    }
  }

  /// Gives up what runs as `name`.
  func cancel(_ name: String) { state.withLock { $0.tasks.removeValue(forKey: name)?.task.cancel() } }

  /// Gives up everything, and takes nothing more.
  func close() {
    state.withLock { state in
      state.isClosed = true
      for entry in state.tasks.values { entry.task.cancel() }
      state.tasks = [:]
    }
  }

  private func finish(_ name: String, _ number: Int) {
    state.withLock { if $0.tasks[name]?.number == number { $0.tasks[name] = nil } }
  }
}

/// How containers ended that are gone: who asks a moment later (`run --rm` asks for the exit code) still gets an answer.
final class Tombstones: Sendable {
  /// How many are remembered.
  static let kept = 2048

  private struct State {
    var results: [String: WaitResult] = [:]
    var order: [String] = []
    var head = 0
  }
  private let state = Mutex(State())

  /// Remembers how `id` ended.
  func add(_ id: String, _ result: WaitResult) {
    state.withLock { state in
      if state.order.count < Tombstones.kept {
        state.order.append(id)
      } else {
        state.results[state.order[state.head]] = nil
        state.order[state.head] = id
        state.head = (state.head + 1) % Tombstones.kept
      }
      state.results[id] = result
    }
  }

  /// The end of the container with that whole id.
  subscript(id: String) -> WaitResult? { state.withLock { $0.results[id] } }
}
