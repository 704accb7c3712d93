internal import Synchronization

/// The memory of all transfers together: buffers of one size, a few of each transfer's own and the rest for whoever comes.
///
/// The own ones are for what is written next, so that every transfer always moves on; what comes ahead of its turn takes only
/// from the common ones and pauses when there are none.
final class TransferMemory: Sendable {
  static let bufferSize = 1 << 20
  /// What O_DIRECT asks for.
  static let alignment = 4096
  /// Buffers that each transfer has for itself.
  static let own = 2

  /// Unchecked: whoever holds a buffer is the only one to touch it.
  struct Buffer: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
  }

  private struct State {
    var free: [Buffer] = []
    var taken = 0
    var waiting: [@Sendable () -> Void] = []
  }

  private let limit: Int
  private let state = Mutex(State())

  /// - Parameter common: how many buffers the transfers share.
  init(common: Int) { limit = common }

  /// A buffer beyond the common ones: for a transfer's own.
  static func make() -> Buffer {
    Buffer(bytes: .allocate(byteCount: bufferSize, alignment: alignment))
  }

  /// A common buffer; nil when all are taken, and then `retry` is called once when one is free.
  func take(retry: @escaping @Sendable () -> Void) -> Buffer? {
    state.withLock { state in
      guard state.taken < limit else {
        state.waiting.append(retry)
        return nil
      }
      state.taken += 1
      return state.free.popLast() ?? Self.make()
    }
  }

  /// Gives a common buffer back.
  func giveBack(_ buffer: Buffer) {
    let waiting = state.withLock { state in
      state.taken -= 1
      state.free.append(buffer)
      // Nothing is kept for transfers that may never come.
      if state.taken == 0 {
        for buffer in state.free { buffer.bytes.deallocate() }
        state.free = []
      }
      defer { state.waiting = [] }
      return state.waiting
    }
    for retry in waiting { retry() }
  }
}
