public import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// What the signal handler adds to. Unsafe but right: written once, before the handler is installed.
nonisolated(unsafe) private var childEvent: Int32 = -1

extension TaskManager {
  /// From now on waits for every child that ends: a shim leaves its log's delivery behind, which becomes ours. For a process
  /// that is nothing but a task service: ends of shims are seen by their pidfds, whoever takes their status.
  public func reapOrphans() throws(Fault) {
    do throws(Errno) {
      let event = try EventFD()
      childEvent = try event.descriptor.duplicate().take()
      let reader = childEvent
      _ = try monitor.watch(reader, .readable) { [weak self] _ in
        var count: UInt64 = 0
        _ = read(reader, &count, 8)
        self?.reapNow()
      }
    } catch {
      throw Fault(.internal, "the ends of children cannot be watched", cause: ["\(error)"])
    }
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in
      var one: UInt64 = 1
      let saved = errno
      _ = write(childEvent, &one, 8)
      errno = saved
    }
    action.sa_flags = Int32(SA_RESTART) | Int32(SA_NOCLDSTOP)
    sigaction(SIGCHLD, &action, nil)
  }

  /// Takes the ends that are there, unless a call waits for a child of its own: then that call asks again.
  func reapNow() {
    guard ownChildren.withLock({ $0 == 0 }) else { return }
    while ((try? Children.wait(noHang: true)) ?? nil) != nil {}
  }
}
