import Faults
import Glibc

/// Stopping and continuing every process of a cgroup at once, unseen by them.
enum Freezer {
  /// Freezes `folder` and waits until the kernel says that all are, at most `milliseconds`. On a time-out it thaws again.
  static func freeze(_ folder: ControllerFolder, within milliseconds: Int32) throws(Fault) {
    try set(true, in: folder)
    let deadline = KernelFile.now() + UInt64(max(milliseconds, 0)) * 1_000_000
    var wait: UInt32 = 50
    while !isFrozen(folder) {
      if KernelFile.now() >= deadline {
        try set(false, in: folder)
        throw Fault(
          .deadlineExceeded,
          "freezer: not all processes in \(folder.path) stopped within \(milliseconds) ms (one waits for a disk or a "
            + "debugger); they go on running, try again")
      }
      switch folder.version {
      case .v1:
        // v1 has no notification. Writing FROZEN again lets the kernel look at processes born meanwhile.
        KernelFile.pause(microseconds: wait)
        wait = min(wait * 2, 5_000)
        try set(true, in: folder)
      case .v2:
        Events.wait(folder.path + "/cgroup.events", milliseconds: 20) { $0.contains("frozen 1") }
      }
    }
  }

  /// Lets the processes go on.
  static func thaw(_ folder: ControllerFolder) throws(Fault) { try set(false, in: folder) }

  /// Whether all processes are stopped by this folder's own setting.
  static func isFrozen(_ folder: ControllerFolder) -> Bool {
    switch folder.version {
    case .v1: folder.read("freezer.state") == "FROZEN"
    case .v2: folder.read("cgroup.events")?.contains("frozen 1") == true
    }
  }

  private static func set(_ frozen: Bool, in folder: ControllerFolder) throws(Fault) {
    switch folder.version {
    case .v1: try folder.write("freezer.state", frozen ? "FROZEN" : "THAWED")
    case .v2: try folder.write("cgroup.freeze", frozen ? "1" : "0")
    }
  }
}

/// Waiting for a change of a cgroup v2 file that the kernel announces with POLLPRI.
enum Events {
  /// Waits until the text of the file at `path` satisfies `condition`, it can no longer be read, or the time is over.
  ///
  /// - Returns: whether the condition holds.
  @discardableResult
  static func wait(_ path: String, milliseconds: Int32, until condition: (String) -> Bool) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let deadline = KernelFile.now() + UInt64(max(milliseconds, 0)) * 1_000_000
    while true {
      lseek(descriptor, 0, SEEK_SET)
      guard let text = KernelFile.text(of: descriptor) else { return false }
      if condition(text) { return true }
      let now = KernelFile.now()
      if now >= deadline { return false }
      var entry = pollfd(fd: descriptor, events: Int16(POLLPRI), revents: 0)
      _ = poll(&entry, 1, Int32((deadline - now) / 1_000_000) + 1)
    }
  }
}
