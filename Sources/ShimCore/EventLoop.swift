internal import CLinux
internal import Glibc

/// The shim's one loop: what to do when a descriptor is ready or a moment has come. One thread, no queue, no locks.
///
/// Level-triggered epoll; a handler is called with the ready bits until it is changed or forgotten. Handlers may watch,
/// change and forget any descriptor, their own too: an event of a descriptor that was forgotten in the same round is not
/// delivered, not even to a new owner of the same number.
final class EventLoop {
  /// What a descriptor can be ready for.
  struct Interest: OptionSet {
    let rawValue: UInt32
    static let read = Interest(rawValue: 0x001)
    static let write = Interest(rawValue: 0x004)
    static let priority = Interest(rawValue: 0x002)
    /// Always reported: an error, or the other side gone.
    static let hungUp = Interest(rawValue: 0x010 | 0x008)
  }

  typealias Handler = (Interest) -> Void

  private struct Watch {
    var generation: UInt32
    var handler: Handler
    var interest: Interest
  }

  private struct Timer {
    var id: Int
    var due: Int
    var action: () -> Void
  }

  private static let batch = 32
  private static let add: Int32 = 1
  private static let delete: Int32 = 2
  private static let modify: Int32 = 3

  private let epoll: Int32
  private var watches: [Int32: Watch] = [:]
  private var generation: UInt32 = 0
  private var timers: [Timer] = []
  private var nextTimer = 0
  private var running = false

  /// Called after each round of events, before the loop sleeps.
  var onRoundEnd: () -> Void = {}

  init() { epoll = cl_epoll_create() }

  deinit { close(epoll) }

  /// Calls `handler` whenever `fd` is ready for any of `interest`. The caller keeps the descriptor.
  func watch(_ fd: Int32, _ interest: Interest, _ handler: @escaping Handler) {
    generation &+= 1
    let exists = watches[fd] != nil
    watches[fd] = Watch(generation: generation, handler: handler, interest: interest)
    control(exists ? Self.modify : Self.add, fd, interest, generation)
  }

  /// Changes what a watched descriptor's handler is called for; nothing but `hungUp` when empty.
  func change(_ fd: Int32, _ interest: Interest) {
    guard var watch = watches[fd], watch.interest != interest else { return }
    watch.interest = interest
    watches[fd] = watch
    control(Self.modify, fd, interest, watch.generation)
  }

  /// Takes a descriptor out of the loop; call it before closing.
  func forget(_ fd: Int32) {
    guard watches.removeValue(forKey: fd) != nil else { return }
    _ = cl_epoll_ctl(epoll, Self.delete, fd, 0, 0)
  }

  /// Calls `action` once, `milliseconds` from now. The number cancels it.
  @discardableResult
  func after(milliseconds: Int, _ action: @escaping () -> Void) -> Int {
    nextTimer += 1
    timers.append(Timer(id: nextTimer, due: Self.now() + milliseconds, action: action))
    return nextTimer
  }

  /// Takes a timer back; without effect when it has been called.
  func cancel(_ timer: Int) { timers.removeAll { $0.id == timer } }

  /// Makes `run` return after the present round.
  func stop() { running = false }

  /// Waits and calls handlers until `stop`.
  func run() {
    running = true
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.batch) { keys in
      withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Self.batch) { events in
        while running {
          runTimers()
          onRoundEnd()
          guard running else { return }
          let count = cl_epoll_wait(epoll, events.baseAddress, keys.baseAddress, Int32(Self.batch), timeout())
          if count < 0 && count != -EINTR { return }
          for index in 0..<max(0, Int(count)) {
            let fd = Int32(truncatingIfNeeded: keys[index])
            guard let watch = watches[fd], watch.generation == UInt32(keys[index] >> 32) else { continue }
            watch.handler(Interest(rawValue: events[index]))
          }
        }
      }
    }
  }

  /// Milliseconds of the clock that never jumps.
  static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }

  private func control(_ operation: Int32, _ fd: Int32, _ interest: Interest, _ generation: UInt32) {
    let key = UInt64(generation) << 32 | UInt64(UInt32(bitPattern: fd))
    _ = cl_epoll_ctl(epoll, operation, fd, interest.rawValue, key)
  }

  private func runTimers() {
    guard !timers.isEmpty else { return }
    let now = Self.now()
    while let index = timers.firstIndex(where: { $0.due <= now }) {
      timers.remove(at: index).action()
    }
  }

  private func timeout() -> Int32 {
    guard let due = timers.map(\.due).min() else { return -1 }
    return Int32(clamping: max(0, due - Self.now()))
  }
}
