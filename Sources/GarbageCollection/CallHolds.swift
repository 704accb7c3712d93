internal import Synchronization

/// What running calls of a service count on. It ends with the call or the process, so it needs no expiry; work that spans
/// calls takes a lease (`LeaseRows`).
public final class CallHolds: Sendable {
  private let counts = Mutex<[String: Int]>([:])

  /// Nothing held.
  public init() {}

  /// Holds `names` until `release` was called as often.
  public func hold(_ names: [String]) {
    counts.withLock { counts in
      for name in names { counts[name, default: 0] += 1 }
    }
  }

  /// Takes one hold of each of `names` back.
  public func release(_ names: [String]) {
    counts.withLock { counts in
      for name in names {
        let count = counts[name, default: 0] - 1
        counts[name] = count > 0 ? count : nil
      }
    }
  }

  /// What is held now.
  public var held: Set<String> { counts.withLock { Set($0.keys) } }
}
