internal import Synchronization

/// Some threads for work that blocks, started when there is work and gone when there is none.
public final class WorkPool: Sendable {
  private struct State {
    var waiting: [@Sendable () -> Void] = []
    var threads = 0
  }

  private let limit: Int
  private let state = Mutex(State())

  /// At most `limit` pieces of work run at once, the others wait in order.
  public init(limit: Int) { self.limit = limit }

  /// Queues `work`.
  public func start(_ work: @escaping @Sendable () -> Void) {
    let needsThread = state.withLock { state in
      state.waiting.append(work)
      if state.threads >= limit { return false }
      state.threads += 1
      return true
    }
    guard needsThread else { return }
    if let thread = WorkThread({ self.runAll() }) {
      thread.detach()
    } else {
      // No thread left: the caller's own does it, late but not never.
      runAll()
    }
  }

  /// Runs `work` on a thread of the pool and gives its result.
  public func run<Success: Sendable>(_ work: @escaping @Sendable () throws -> Success) async throws -> Success {
    try await withCheckedThrowingContinuation { continuation in
      start { continuation.resume(with: Result { try work() }) }
    }
  }

  private func runAll() {
    while let work = next() { work() }
  }

  private func next() -> (@Sendable () -> Void)? {
    state.withLock { state in
      if state.waiting.isEmpty {
        state.threads -= 1
        return nil
      }
      return state.waiting.removeFirst()
    }
  }
}
