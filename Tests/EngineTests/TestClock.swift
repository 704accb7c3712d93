import Synchronization

/// A clock that stands still until a test moves it.
final class TestClock: Clock, Sendable {
  struct Instant: InstantProtocol {
    var offset = Duration.zero
    func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
    func duration(to other: Instant) -> Duration { other.offset - offset }
    static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
  }

  private struct State {
    var now = Instant()
    var next = 0
    var sleepers: [(key: Int, until: Instant, continuation: CheckedContinuation<Void, any Error>)] = []
    var observers: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  var now: Instant { state.withLock { $0.now } }
  var minimumResolution: Duration { .nanoseconds(1) }
  /// How many sleep now.
  var sleepers: Int { state.withLock { $0.sleepers.count } }

  func sleep(until deadline: Instant, tolerance: Duration?) async throws {
    let key = state.withLock { state in
      state.next += 1
      return state.next
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let observers = state.withLock { state -> [CheckedContinuation<Void, Never>]? in
          if Task.isCancelled || deadline <= state.now { return nil }
          state.sleepers.append((key, deadline, continuation))
          defer { state.observers = [] }
          return state.observers
        }
        guard let observers else {
          return Task.isCancelled ? continuation.resume(throwing: CancellationError()) : continuation.resume()
        }
        for observer in observers { observer.resume() }
      }
    } onCancel: {
      let sleeper = state.withLock { state -> CheckedContinuation<Void, any Error>? in
        guard let index = state.sleepers.firstIndex(where: { $0.key == key }) else { return nil }
        return state.sleepers.remove(at: index).continuation
      }
      sleeper?.resume(throwing: CancellationError())
    }
  }

  /// Waits until somebody sleeps, and says how long the first of them has left.
  func asked() async -> Duration {
    while true {
      if let left = state.withLock({ state in state.sleepers.map { state.now.duration(to: $0.until) }.min() }) {
        return left
      }
      await withCheckedContinuation { continuation in
        let isAsleep = state.withLock { state in
          if !state.sleepers.isEmpty { return true }
          state.observers.append(continuation)
          return false
        }
        if isAsleep { continuation.resume() }
      }
    }
  }

  /// Lets time pass.
  func advance(by duration: Duration) {
    let due = state.withLock { state in
      state.now = state.now.advanced(by: duration)
      let now = state.now
      let due = state.sleepers.filter { $0.until <= now }
      state.sleepers.removeAll { $0.until <= now }
      return due
    }
    for sleeper in due { sleeper.continuation.resume() }
  }
}
