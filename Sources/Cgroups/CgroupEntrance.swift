import Faults
import Glibc

/// The open `tasks` files through which a process moves itself into a container's v1 cgroups.
///
/// Open it in the parent with `Cgroup.entrance()`; the child inherits the descriptors and calls `enter()`. The kernel
/// checks permissions against the opener, so the child may already be in a user namespace. Writing `0` to `tasks` moves
/// the calling thread alone, which spares the kernel its global lock and the RCU grace period behind it (Linux 5.5,
/// "cgroup: Optimize single thread migration"); that the caller has one thread is what makes it the whole process.
public struct CgroupEntrance: ~Copyable {
  /// The descriptors, close-on-exec, one for each v1 tree.
  public let descriptors: [Int32]

  init(folders: [ControllerFolder]) throws(Fault) {
    var opened: [Int32] = []
    for folder in folders {
      let descriptor = open(folder.path + "/tasks", O_WRONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        let fault = folder.refusal("tasks", "open", errno, hint: "the cgroup was removed")
        for descriptor in opened { close(descriptor) }
        throw fault
      }
      opened.append(descriptor)
    }
    descriptors = opened
  }

  /// Moves the calling thread into every tree. Allocates nothing: fit for the child of a single-threaded process.
  ///
  /// - Returns: 0, or the errno of the first tree that refused (EAGAIN and ENOSPC when a limit of a parent is reached).
  public borrowing func enter() -> Int32 {
    var zero: UInt8 = UInt8(ascii: "0")
    for descriptor in descriptors {
      while write(descriptor, &zero, 1) < 0 {
        if errno != EINTR { return errno }
      }
    }
    return 0
  }

  deinit {
    for descriptor in descriptors { close(descriptor) }
  }
}
