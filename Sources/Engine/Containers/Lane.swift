import Synchronization

/// Lets one piece of work (or as many as it is wide) happen at a time, first come first served. An actor alone does not do
/// that: it lets others in at every `await`.
final class Lane: Sendable {
  private struct State {
    var busy = 0
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())
  private let width: Int

  init(width: Int = 1) { self.width = width }

  /// Runs `body` when everyone who came before is done.
  func run<Result: Sendable>(_ body: () async throws -> Result) async rethrows -> Result {
    await enter()
    defer { leave() }
    return try await body()
  }

  private func enter() async {
    await withCheckedContinuation { continuation in
      let free = state.withLock { state in
        if state.busy == width {
          state.waiting.append(continuation)
          return false
        }
        state.busy += 1
        return true
      }
      if free { continuation.resume() }
    }
  }

  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      if state.waiting.isEmpty {
        state.busy -= 1
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.resume()
  }
}
