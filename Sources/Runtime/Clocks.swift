internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// A time namespace with its offsets.
///
/// The kernel takes offsets only before the first process is in the namespace, so the parent makes it for its children,
/// writes them, has the child born in it, and takes its own namespace again for children to come.
struct ClockPlan {
  /// Lines for `timens_offsets`.
  let offsets: String

  /// What `offsets` asks for; nil without a time namespace of the container's own.
  init?(_ offsets: [String: RuntimeSpec.TimeOffset]?, isNew: Bool) throws(Fault) {
    guard isNew else {
      guard offsets?.isEmpty ?? true else {
        throw Fault(.invalidArgument, "timeOffsets are given without a time namespace of the container's own")
      }
      return nil
    }
    var lines = ""
    for (clock, offset) in (offsets ?? [:]).sorted(by: { $0.key < $1.key }) {
      guard clock == "monotonic" || clock == "boottime" else {
        throw Fault(.invalidArgument, "timeOffsets names the clock \"\(clock)\": monotonic and boottime can be set")
      }
      guard (offset.nanosecs ?? 0) < 1_000_000_000 else {
        throw Fault(.invalidArgument, "timeOffsets.\(clock) has \(offset.nanosecs ?? 0) nanoseconds: at most 999999999")
      }
      lines += "\(clock) \(offset.secs ?? 0) \(offset.nanosecs ?? 0)\n"
    }
    self.offsets = lines
  }

  /// Parent, before the clone.
  func enter() throws(Fault) {
    try step("make a time namespace", code: .unsupported) { () throws(Errno) in try NamespaceKinds.unshare(.time) }
    guard !offsets.isEmpty else { return }
    do throws(Fault) {
      try step("set the offsets of the container's clocks", code: .invalidArgument) { () throws(Errno) in
        try Files.write("/proc/self/timens_offsets", offsets)
      }
    } catch {
      try leave()
      throw error
    }
  }

  /// Parent, after the clone.
  func leave() throws(Fault) {
    try step("return to our own time namespace") { () throws(Errno) in
      let own = try openat2(nil, "/proc/self/ns/time", .readOnly)
      try NamespaceKinds.join(own.rawValue, .time)
    }
  }
}

/// On which NUMA nodes the container's memory lies (`linux.memoryPolicy`, set_mempolicy(2)).
struct MemoryPolicyPlan {
  private let mode: Int32
  private let nodes: [UInt64]

  private static let modes: [String: Int32] = [
    "MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6,
  ]
  private static let flags: [String: Int32] = [
    "MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_STATIC_NODES": 1 << 15,
  ]

  init?(_ policy: RuntimeSpec.MemoryPolicy?) throws(Fault) {
    guard let policy else { return nil }
    guard let name = policy.mode, var mode = Self.modes[name] else {
      throw Fault(.invalidArgument, "\"\(policy.mode ?? "")\" is no memory policy such as MPOL_BIND")
    }
    for name in policy.flags ?? [] {
      guard let flag = Self.flags[name] else { throw Fault(.invalidArgument, "\(name) is no flag of memory policies") }
      mode |= flag
    }
    if let list = policy.nodes, !list.isEmpty {
      guard let mask = Scheduling.mask(list) else {
        throw Fault(.invalidArgument, "\"\(list)\" is no list of memory nodes such as 0-1")
      }
      nodes = mask
    } else {
      nodes = []
    }
    self.mode = mode
  }

  /// In the child; its program and all that it starts inherit it.
  func apply() throws(Fault) {
    let words = nodes.map { UInt($0) }
    let result = cl_set_mempolicy(mode, words, UInt(words.isEmpty ? 0 : words.count * 64 + 1))
    try step(
      "set the memory policy (does this kernel have NUMA, and these nodes?)",
      code: result == -ENOSYS ? .unsupported : .invalidArgument
    ) { () throws(Errno) in try check(result) }
  }
}
