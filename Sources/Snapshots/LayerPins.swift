internal import Synchronization

/// The layers that running calls count on, by chainID and diffID: they stay, whoever prunes meanwhile.
final class LayerPins: Sendable {
  private let counts = Mutex<[String: Int]>([:])

  func pin(_ names: [String]) {
    counts.withLock { counts in
      for name in names { counts[name, default: 0] += 1 }
    }
  }

  func unpin(_ names: [String]) {
    counts.withLock { counts in
      for name in names {
        let count = counts[name, default: 0] - 1
        counts[name] = count > 0 ? count : nil
      }
    }
  }

  var pinned: Set<String> { counts.withLock { Set($0.keys) } }
}
