internal import Cgroups
internal import Faults
internal import Linux

/// How a child gets into the cgroup: by clone3 on v2, by itself on v1.
struct CgroupEntry: ~Copyable {
  private let entrance: CgroupEntrance?
  private let opened: OwnedDescriptor?

  /// The v2 folder for clone3; -1 without one.
  let folder: Int32

  /// Opens what the child needs; nothing when `cgroup` is nil.
  ///
  /// - Parameters:
  ///   - exec: the cgroup below it that an exec is born in.
  ///   - pid: without `exec`, beside that process of the container.
  static func open(
    _ cgroup: Cgroup?, exec: ExecCgroup? = nil, beside pid: Int32? = nil
  ) throws(Fault) -> CgroupEntry {
    guard let cgroup else { return CgroupEntry(entrance: nil, opened: nil, folder: -1) }
    let entrance = if let exec { try cgroup.entrance(exec: exec) } else { try cgroup.entrance() }
    let opened: OwnedDescriptor?
    if let exec {
      opened = try cgroup.folderForClone(exec: exec)
    } else if let pid {
      opened = try cgroup.folderForClone(beside: pid)
    } else {
      opened = try cgroup.folderForClone()
    }
    guard let opened else { return CgroupEntry(entrance: entrance, opened: nil, folder: -1) }
    let folder = opened.rawValue
    return CgroupEntry(entrance: entrance, opened: opened, folder: folder)
  }

  private init(entrance: consuming CgroupEntrance?, opened: consuming OwnedDescriptor?, folder: Int32) {
    self.entrance = entrance
    self.opened = opened
    self.folder = folder
  }

  /// In the child: moves it into the v1 trees. Returns 0 or the errno.
  borrowing func enter() -> Int32 {
    switch entrance {
    case .some(let entrance): entrance.enter()
    case .none: 0
    }
  }
}
