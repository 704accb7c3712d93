internal import CLinux
public import SystemPackage

/// The kinds of namespace, as flags of clone3(2), unshare(2) and setns(2).
public struct NamespaceKinds: OptionSet, Sendable {
  /// The kernel's `CLONE_NEW*` bits.
  public let rawValue: UInt64
  /// Takes the kernel's bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Mounts.
  public static let mount = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWNS))
  /// Process ids.
  public static let pid = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWPID))
  /// Network.
  public static let network = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWNET))
  /// Host and domain name.
  public static let uts = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWUTS))
  /// System V IPC and POSIX message queues.
  public static let ipc = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWIPC))
  /// Users, groups and capabilities.
  public static let user = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWUSER))
  /// The view of the cgroup tree.
  public static let cgroup = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWCGROUP))
  /// Offsets of the monotonic and boot clocks.
  public static let time = NamespaceKinds(rawValue: UInt64(CL_CLONE_NEWTIME))

  /// Joins namespaces: all `kinds` of the process of a pidfd (kernel 5.8), or the one of a namespace file.
  public static func join(_ descriptor: Int32, _ kinds: NamespaceKinds) throws(Errno) {
    try check(cl_setns(descriptor, Int32(truncatingIfNeeded: kinds.rawValue)))
  }

  /// Moves the caller into new namespaces of `kinds`.
  public static func unshare(_ kinds: NamespaceKinds) throws(Errno) {
    try check(cl_unshare(Int32(truncatingIfNeeded: kinds.rawValue)))
  }
}
