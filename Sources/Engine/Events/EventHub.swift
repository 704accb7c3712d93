import Faults
import Synchronization

/// Keeps the latest events and hands new ones to those who subscribed.
///
/// A subscriber that does not keep up loses its subscription (it is told), never memory of ours.
final class EventHub: Sendable {
  /// How many events are kept for `since`.
  static let kept = 1024
  /// How many a subscriber may lag behind.
  static let lag = 4096

  private struct State {
    var ring: [Event] = []
    var head = 0
    var subscribers: [Int: AsyncStream<Event>.Continuation] = [:]
    var nextSubscriber = 0
  }
  private let state = Mutex(State())

  /// Records `event` and tells it to the subscribers, in one order for all.
  func publish(_ event: Event) {
    let lagging = state.withLock { state -> [AsyncStream<Event>.Continuation] in
      if state.ring.count < EventHub.kept {
        state.ring.append(event)
      } else {
        state.ring[state.head] = event
        state.head = (state.head + 1) % EventHub.kept
      }
      var lagging: [AsyncStream<Event>.Continuation] = []
      for (key, continuation) in state.subscribers {
        switch continuation.yield(event) {
        case .enqueued: break
        case .dropped:
          lagging.append(continuation)
          state.subscribers[key] = nil
        default: state.subscribers[key] = nil
        }
      }
      return lagging
    }
    for continuation in lagging { continuation.finish() }
  }

  /// The kept events from `since` (none when nil) before `until`, oldest first, and a stream of those that come after.
  func subscribe(since: Timestamp?, until: Timestamp?) -> (past: [Event], future: AsyncStream<Event>) {
    let (stream, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingOldest(EventHub.lag))
    let past = state.withLock { state -> [Event] in
      let key = state.nextSubscriber
      state.nextSubscriber += 1
      state.subscribers[key] = continuation
      continuation.onTermination = { [weak self] _ in
        self?.remove(key)
      }
      return EventHub.past(state.ring, state.head, since, until)
    }
    return (past, stream)
  }

  /// The kept events of that time, without a subscription.
  func past(since: Timestamp?, until: Timestamp?) -> [Event] {
    state.withLock { EventHub.past($0.ring, $0.head, since, until) }
  }

  private static func past(_ ring: [Event], _ head: Int, _ since: Timestamp?, _ until: Timestamp?) -> [Event] {
    guard since != nil || until != nil else { return [] }
    let ordered = ring[head...] + ring[..<head]
    return ordered.filter { event in
      (since.map { event.time >= $0 } ?? true) && (until.map { event.time <= $0 } ?? true)
    }
  }

  /// How many listen now.
  var subscriberCount: Int { state.withLock { $0.subscribers.count } }

  private func remove(_ key: Int) {
    state.withLock { $0.subscribers[key] = nil }
  }
}
