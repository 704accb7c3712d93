internal import Synchronization

/// Lets one piece of work on a thing happen at a time, first come first served; things are told apart by their names.
final class Turns: Sendable {
  private let waiting = Mutex<[String: [CheckedContinuation<Void, Never>]]>([:])

  /// Runs `body` when everyone who came before for `name` is done.
  func take<Result: Sendable>(_ name: String, _ body: () async throws -> Result) async throws -> Result {
    await withCheckedContinuation { continuation in
      let isFree = waiting.withLock { waiting in
        guard waiting[name] != nil else {
          waiting[name] = []
          return true
        }
        waiting[name]?.append(continuation)
        return false
      }
      if isFree { continuation.resume() }
    }
    defer { leave(name) }
    return try await body()
  }

  private func leave(_ name: String) {
    let next = waiting.withLock { waiting -> CheckedContinuation<Void, Never>? in
      guard let queue = waiting[name], !queue.isEmpty else {
        waiting[name] = nil
        return nil
      }
      return waiting[name]?.removeFirst()
    }
    next?.resume()
  }
}
