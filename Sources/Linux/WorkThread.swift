internal import Glibc

/// A thread of the system for work that blocks: it never takes one of Swift's own threads.
public struct WorkThread: ~Copyable {
  private let thread: pthread_t

  /// Starts `body`; nil when the system has no thread left. The value must be joined or detached.
  public init?(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Work(body))
    let result = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() }
        return nil
      }, box.toOpaque())
    if result != 0 {
      box.release()
      return nil
    }
    self.thread = thread
  }

  /// Waits for the end of the work.
  public consuming func join() { pthread_join(thread, nil) }

  /// Lets the work go on by itself.
  public consuming func detach() { pthread_detach(thread) }

  private final class Work {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
