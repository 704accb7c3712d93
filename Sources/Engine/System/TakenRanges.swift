import Synchronization

/// Ids outside that containers have for themselves.
final class TakenRanges: Sendable {
  private let all = Mutex<[String: [ClosedRange<UInt32>]]>([:])

  /// Lets `choose` pick a namespace with what is taken, and reserves it. Nobody chooses at the same time.
  func reserve(
    for container: String, _ choose: ([ClosedRange<UInt32>]) throws -> UserNamespace
  ) rethrows -> UserNamespace {
    try all.withLock { all in
      let namespace = try choose(all.values.flatMap { $0 })
      all[container] = namespace.reserved
      return namespace
    }
  }

  func restore(_ ranges: [ClosedRange<UInt32>], for container: String) {
    all.withLock { $0[container] = ranges }
  }

  func release(_ container: String) {
    all.withLock { _ = $0.removeValue(forKey: container) }
  }

  /// `count` ids of `ranges` that are not in `taken`, the lowest first, in one piece where there is one; nil when there
  /// are fewer.
  static func free(
    in ranges: [ClosedRange<UInt32>], without taken: [ClosedRange<UInt32>], count: UInt32
  ) -> [ClosedRange<UInt32>]? {
    if count == 0 { return [] }
    var gaps: [ClosedRange<UInt32>] = []
    let taken = taken.sorted { $0.lowerBound < $1.lowerBound }
    for range in ranges {
      var next = UInt64(range.lowerBound)
      for other in taken where other.overlaps(range) {
        if UInt64(other.lowerBound) > next { gaps.append(UInt32(next)...(other.lowerBound - 1)) }
        next = max(next, UInt64(other.upperBound) + 1)
      }
      if next <= UInt64(range.upperBound) { gaps.append(UInt32(next)...range.upperBound) }
    }
    if let whole = gaps.first(where: { $0.upperBound - $0.lowerBound >= count - 1 }) {
      return [whole.lowerBound...(whole.lowerBound + count - 1)]
    }
    var chosen: [ClosedRange<UInt32>] = []
    var missing = count
    for gap in gaps where missing > 0 {
      let size = UInt32(min(UInt64(missing), UInt64(gap.upperBound - gap.lowerBound) + 1))
      chosen.append(gap.lowerBound...(gap.lowerBound + size - 1))
      missing -= size
    }
    return missing == 0 ? chosen : nil
  }
}
