internal import Glibc
internal import Linux
internal import Synchronization
internal import SystemPackage

/// The one thread of taskd that waits for its shims: their connections and their ends.
///
/// Handlers run on the thread, must not block, and are called until they say they are done or are removed.
final class ShimMonitor: Sendable {
  /// Called with what the descriptor is ready for.
  typealias Handler = @Sendable (EpollEvents) -> Void

  private let epoll: Epoll
  private let handlers = Mutex<(next: UInt64, table: [UInt64: Handler])>((1, [:]))

  /// Starts the thread.
  init() throws(Errno) {
    epoll = try Epoll()
    let thread = Thread { [self] in run() }
    try thread.start()
  }

  /// Watches `descriptor`, which stays the caller's, and returns the number to change or remove it with.
  func watch(_ descriptor: Int32, _ events: EpollEvents, _ handler: @escaping Handler) throws(Errno) -> UInt64 {
    let token = handlers.withLock { handlers in
      let token = handlers.next
      handlers.next += 1
      handlers.table[token] = handler
      return token
    }
    do throws(Errno) {
      try epoll.add(descriptor, events, token: token)
    } catch {
      handlers.withLock { $0.table[token] = nil }
      throw error
    }
    return token
  }

  /// Changes what `descriptor` is watched for.
  func change(_ descriptor: Int32, _ events: EpollEvents, token: UInt64) {
    try? epoll.change(descriptor, events, token: token)
  }

  /// Stops watching. The handler may still be running on the monitor's thread, unless that is the caller's.
  func remove(_ descriptor: Int32, token: UInt64) {
    try? epoll.remove(descriptor)
    handlers.withLock { $0.table[token] = nil }
  }

  private func run() {
    while true {
      _ = try? epoll.wait { ready in
        let handler = handlers.withLock { $0.table[ready.token] }
        handler?(ready.events)
      }
    }
  }
}

/// A detached POSIX thread with a Swift closure.
struct Thread {
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  /// Starts it; it ends with its closure.
  func start() throws(Errno) {
    final class Box: Sendable {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    guard result == 0 else {
      box.release()
      throw Errno(rawValue: result)
    }
    pthread_detach(thread)
  }

  /// Runs a blocking piece of work on a thread of its own, so that it holds none of Swift's few threads.
  static func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
      do {
        try Thread { continuation.resume(returning: work()) }.start()
      } catch {
        continuation.resume(returning: work())  // no thread to be had: better slow than not at all
      }
    }
  }
}
