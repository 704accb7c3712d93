internal import Faults
internal import Synchronization

/// When layers were last made, asked for, or released by a lease, in counted moments.
///
/// Who prunes gathers the layers to keep from elsewhere, which takes time; what comes meanwhile is not in that list. So the
/// pruner asks for a mark first, and nothing goes that was touched after it.
final class LayerMarks: Sendable {
  private struct State {
    var clock: UInt64 = 0
    var touched: [String: UInt64] = [:]
  }

  /// Tells this run of the service from others, whose marks mean nothing here.
  private let run = String(UInt64.random(in: 0...UInt64.max), radix: 16)
  private let state = Mutex(State())

  /// A new moment.
  func mark() -> String {
    "\(run)-\(state.withLock { state in state.clock += 1; return state.clock })"
  }

  /// Notes that `names` are of use now.
  func touch(_ names: [String]) {
    state.withLock { state in
      for name in names { state.touched[name] = state.clock }
    }
  }

  /// Forgets layers that are gone.
  func forget(_ names: [String]) {
    state.withLock { state in
      for name in names { state.touched[name] = nil }
    }
  }

  /// What was touched since `mark`; throws `conflict` for a mark of an earlier run.
  func touched(since mark: String) throws(Fault) -> Set<String> {
    let parts = mark.split(separator: "-")
    guard parts.count == 2, let moment = UInt64(parts[1]) else {
      throw Fault(.invalidArgument, "\"\(mark.prefix(80))\" is no mark of snapshot.mark")
    }
    guard parts[0] == run else {
      throw Fault(.conflict, "the service was restarted since the mark was given; ask for a new one and gather again")
    }
    return state.withLock { state in Set(state.touched.lazy.filter { $0.value >= moment }.map(\.key)) }
  }
}
