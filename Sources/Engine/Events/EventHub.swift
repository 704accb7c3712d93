import Faults
import Synchronization

/// Hands events to those who subscribed, in one order for all, and keeps them in the journal for those who come later.
final class EventHub: Sendable {
  private struct State {
    /// The time of the last event; what the journal holds of earlier engines is older.
    var last = Timestamp.now()
    var subscribers: [Int: EventSubscription] = [:]
    var nextSubscriber = 0
  }
  private let state = Mutex(State())
  private let journal: EventJournal

  init(journal: EventJournal) { self.journal = journal }

  /// Records `event` and tells it to the subscribers. Its time is later than that of every event before it.
  func publish(_ event: Event) {
    state.withLock { state in
      var event = event
      event.time = Timestamp(nanoseconds: max(event.time.nanoseconds, state.last.nanoseconds + 1))
      state.last = event.time
      journal.append(event)
      for subscriber in state.subscribers.values { subscriber.offer(event) }
    }
  }

  /// The kept events from `since` (none when nil) before `until` that `filter` lets through, oldest first, and those that
  /// come after. End the subscription when it is not read any more.
  func subscribe(
    _ filter: EventFilter, since: Timestamp?, until: Timestamp?
  ) -> (past: [Event], future: EventSubscription) {
    let subscription = state.withLock { state in
      let key = state.nextSubscriber
      state.nextSubscriber += 1
      let subscription = EventSubscription(filter, after: state.last) { [weak self] in
        self?.state.withLock { $0.subscribers[key] = nil }
      }
      state.subscribers[key] = subscription
      return subscription
    }
    guard since != nil || until != nil else { return ([], subscription) }
    let past = journal.events().filter { event in
      event.time <= subscription.begin && (since.map { event.time >= $0 } ?? true)
        && (until.map { event.time <= $0 } ?? true) && filter.matches(event)
    }
    return (past, subscription)
  }

  /// How many listen now.
  var subscriberCount: Int { state.withLock { $0.subscribers.count } }

  /// Writes down what has not been.
  func close() async { journal.flush() }
}

/// The events that one subscriber has not taken yet. A slow one loses the newest, and finds their number in their place.
final class EventSubscription: Sendable {
  /// How many events may wait.
  static let most = 4096

  enum Item: Sendable, Equatable {
    case event(Event)
    /// So many were lost here, the last at that time.
    case lost(Int, Timestamp)
  }

  private struct State {
    var items: [Item] = []
    var head = 0
    var waiter: CheckedContinuation<Item?, Never>?
    var isEnded = false

    var count: Int { items.count - head }

    mutating func take() -> Item? {
      guard head < items.count else { return nil }
      defer {
        head += 1
        if head == items.count {
          items.removeAll(keepingCapacity: false)
          head = 0
        } else if head == 1024 {
          items.removeFirst(head)
          head = 0
        }
      }
      return items[head]
    }
  }

  /// The time of the last event before it.
  let begin: Timestamp
  private let filter: EventFilter
  private let state = Mutex(State())
  private let onEnd: @Sendable () -> Void

  init(_ filter: EventFilter, after begin: Timestamp, onEnd: @escaping @Sendable () -> Void) {
    self.filter = filter
    self.begin = begin
    self.onEnd = onEnd
  }

  func offer(_ event: Event) {
    guard filter.matches(event) else { return }
    let waiter = state.withLock { state -> CheckedContinuation<Item?, Never>? in
      guard !state.isEnded else { return nil }
      if let waiter = state.waiter.take() { return waiter }
      if state.count < Self.most {
        state.items.append(.event(event))
      } else if case .lost(let count, _)? = state.items.last {
        state.items[state.items.count - 1] = .lost(count + 1, event.time)
      } else {
        state.items.append(.lost(1, event.time))
      }
      return nil
    }
    waiter?.resume(returning: .event(event))
  }

  /// The next one; nil at the end, or when the caller's task is cancelled. One caller at a time.
  func next() async -> Item? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now = state.withLock { state -> Item?? in
          if state.isEnded || Task.isCancelled { return .some(nil) }
          if let item = state.take() { return .some(item) }
          state.waiter = continuation
          return .none
        }
        if let now { continuation.resume(returning: now) }
      }
    } onCancel: {
      state.withLock { $0.waiter.take() }?.resume(returning: nil)
    }
  }

  /// Nobody reads it any more.
  func end() {
    let waiter = state.withLock { state in
      state.isEnded = true
      state.items = []
      state.head = 0
      return state.waiter.take()
    }
    waiter?.resume(returning: nil)
    onEnd()
  }
}
