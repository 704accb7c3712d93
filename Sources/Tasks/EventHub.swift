internal import Synchronization

/// Hands every event of every task to every subscriber, numbered in one order.
///
/// A subscriber is a closure that must not block; it is dropped when it returns false. The number lets a subscriber that
/// was away notice that it missed something: then `task.list` is the truth.
public final class EventHub<Event: Sendable>: Sendable {
  private struct State {
    var sequence: Int64 = 0
    var next = 0
    var subscribers: [Int: @Sendable (Event) -> Bool] = [:]
  }

  private let state = Mutex(State())

  /// No subscribers, and the next event is number 1.
  public init() {}

  /// Adds a subscriber; the number removes it.
  @discardableResult
  public func subscribe(_ deliver: @escaping @Sendable (Event) -> Bool) -> Int {
    state.withLock { state in
      state.next += 1
      state.subscribers[state.next] = deliver
      return state.next
    }
  }

  /// Removes a subscriber.
  public func unsubscribe(_ subscriber: Int) { state.withLock { $0.subscribers[subscriber] = nil } }

  /// Makes the event with its number and delivers it. Deliveries happen under the lock, so that all see one order.
  public func publish(_ make: (Int64) -> Event) {
    state.withLock { state in
      state.sequence += 1
      let event = make(state.sequence)
      for (number, deliver) in state.subscribers where !deliver(event) { state.subscribers[number] = nil }
    }
  }
}
