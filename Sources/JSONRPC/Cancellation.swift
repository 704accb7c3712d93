internal import Glibc
internal import Synchronization

/// A flag that is set once: nobody waits for the result any more.
public final class Cancellation: Sendable {
  private let flag = Atomic<Bool>(false)

  /// Not set.
  public init() {}

  /// Whether it is set.
  public var isCancelled: Bool { flag.load(ordering: .acquiring) }

  /// Sets it.
  public func cancel() { flag.store(true, ordering: .releasing) }
}

/// A point in time on the monotonic clock.
public struct Deadline: Sendable, Hashable, Comparable {
  /// CLOCK_MONOTONIC.
  public let nanoseconds: UInt64

  /// Takes a time of CLOCK_MONOTONIC.
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// That many milliseconds from now; none below 0 and at most a hundred years.
  public static func after(milliseconds: Int) -> Deadline {
    let bounded = UInt64(min(max(milliseconds, 0), 3_155_760_000_000))
    return Deadline(nanoseconds: now.nanoseconds + bounded * 1_000_000)
  }

  /// That many seconds from now.
  public static func after(seconds: Int) -> Deadline {
    after(milliseconds: min(max(seconds, 0), 3_155_760_000) * 1000)
  }

  /// This moment.
  public static var now: Deadline {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Deadline(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  /// Milliseconds until then, 0 when it has passed, rounded up.
  public var millisecondsLeft: Int {
    let now = Deadline.now.nanoseconds
    return nanoseconds <= now ? 0 : Int((nanoseconds - now + 999_999) / 1_000_000)
  }

  /// Whether it is over.
  public var hasPassed: Bool { nanoseconds <= Deadline.now.nanoseconds }

  /// The earlier one is less.
  public static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }
}
