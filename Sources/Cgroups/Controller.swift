/// A cgroup controller, under the name that cgroup v1 and the OCI runtime specification give it.
///
/// On cgroup v2 `cpuacct` is part of `cpu`, `blkio` is called `io`, `freezer` belongs to every cgroup and `devices` is a
/// BPF program attached to the folder.
public enum Controller: String, Sendable, CaseIterable, Hashable {
  case memory
  case cpu
  case cpuacct
  case cpuset
  case pids
  case devices
  case freezer
  case blkio
  case hugetlb
  case networkClass = "net_cls"
  case networkPriority = "net_prio"
  case rdma
  /// The hierarchy without a controller in which systemd keeps track of services on cgroup v1.
  case systemd = "name=systemd"

  /// The name in `cgroup.controllers` and `cgroup.subtree_control` of cgroup v2; nil where v2 has no such controller.
  var unifiedName: String? {
    switch self {
    case .memory, .cpu, .cpuset, .pids, .hugetlb, .rdma: rawValue
    case .blkio: "io"
    case .cpuacct, .devices, .freezer, .networkClass, .networkPriority, .systemd: nil
    }
  }

  /// The controllers that every container has where the kernel offers them: without them there are no statistics, no
  /// pause and no device denial. The others are made when a limit of theirs is asked for.
  static let always: Set<Controller> = [.memory, .cpu, .cpuacct, .pids, .devices, .freezer, .blkio, .systemd]
}

/// The two interfaces of the kernel for cgroups.
public enum CgroupVersion: Int, Sendable {
  /// One tree a controller (`cgroups(7)`, "Cgroups version 1").
  case v1 = 1
  /// One tree for all controllers (Documentation/admin-guide/cgroup-v2.rst).
  case v2 = 2
}
