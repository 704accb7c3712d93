import CLinux
public import Faults
import Glibc

/// Tells that the kernel's OOM killer ended a process of a container because the container's memory limit was reached.
///
/// Put `descriptor` into an epoll with `epollEvents`; when it is ready, call `kills()`.
public struct OOMWatch: ~Copyable {
  /// What to poll: an eventfd on v1, the open `memory.events` on v2.
  public let descriptor: Int32
  /// EPOLLIN on v1, EPOLLPRI on v2.
  public let epollEvents: UInt32
  private let folder: ControllerFolder

  init(folder: ControllerFolder) throws(Fault) {
    self.folder = folder
    switch folder.version {
    case .v1:
      epollEvents = 0x001
      descriptor = cl_eventfd(0, O_CLOEXEC | O_NONBLOCK)
      guard descriptor >= 0 else {
        throw Fault(.limitExceeded, "cannot watch for OOM: eventfd: \(KernelFile.words(-descriptor))")
      }
      let control = open(folder.path + "/memory.oom_control", O_RDONLY | O_CLOEXEC)
      defer { if control >= 0 { close(control) } }
      try folder.write("cgroup.event_control", "\(descriptor) \(control)")
    case .v2:
      epollEvents = 0x002
      descriptor = open(folder.path + "/memory.events", O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw folder.refusal("memory.events", "open", errno, hint: nil) }
      // A read arms the next notification.
      _ = KernelFile.text(of: descriptor)
    }
  }

  /// Takes the pending notification and returns how many processes the OOM killer has ended in this cgroup so far.
  ///
  /// v1 notifies of the limit being hit, before the kill, and of the removal of the cgroup too: only a growing number is
  /// an OOM kill, and where the killer is switched off no process dies.
  public borrowing func kills() -> UInt64 {
    if folder.version == .v1 {
      var count: UInt64 = 0
      _ = read(descriptor, &count, 8)
    } else {
      lseek(descriptor, 0, SEEK_SET)
      _ = KernelFile.text(of: descriptor)
    }
    return Cgroup.oomKills(in: folder)
  }

  deinit { close(descriptor) }
}

extension Cgroup {
  /// Watches for OOM kills; nil where the container has no memory controller.
  public func watchOOM() throws(Fault) -> OOMWatch? {
    guard let folder = folders[.memory] else { return nil }
    return try OOMWatch(folder: folder)
  }

  /// How many processes of the container the OOM killer ended because of its memory limit, so far: two reads, no watch
  /// needed. Ask before `remove`.
  public var oomKills: UInt64 { folders[.memory].map(Self.oomKills) ?? 0 }

  static func oomKills(in folder: ControllerFolder) -> UInt64 {
    let file = folder.version == .v1 ? "memory.oom_control" : "memory.events"
    let own = folder.table(file)["oom_kill"] ?? 0
    guard folder.version == .v1 else { return own }
    // v2 sums up the cgroups below; v1 does not.
    return KernelFile.folders(in: folder.path).reduce(own) { sum, name in
      var child = folder
      child.path += "/" + name
      return sum + oomKills(in: child)
    }
  }
}
