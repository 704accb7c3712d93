internal import CLinux
internal import Glibc
public import SystemPackage

/// Giving up rights that a service does not need, before it reads what others send.
public enum Privileges {
  /// Takes every capability but `kept` from all five sets of this thread, and sets no_new_privs: exec gives none back.
  ///
  /// To be called before there is a second thread: threads inherit from the one that starts them, and are not changed
  /// afterwards.
  public static func dropCapabilities(keeping kept: CapabilitySet = []) throws(Errno) {
    try dropBounding(keeping: kept)
    let bits = kept.rawValue & Capabilities.permitted.rawValue
    try check(cl_capset(bits, bits, 0))
    try setNoNewPrivileges()
  }

  /// Takes every capability but `kept` from the bounding set: no program that this thread executes can get them.
  public static func dropBounding(keeping kept: CapabilitySet = []) throws(Errno) {
    for number in Capabilities.names.indices where kept.rawValue & (1 << UInt64(number)) == 0 {
      let result = cl_prctl(Int32(CL_PR_CAPBSET_DROP), UInt(number), 0, 0, 0)
      // A kernel that does not know the capability says EINVAL; a process without CAP_SETPCAP has none to hand on anyway.
      if result < 0, -result != EINVAL, -result != EPERM { throw Errno(rawValue: -result) }
    }
  }

  /// prctl(PR_SET_NO_NEW_PRIVS).
  public static func setNoNewPrivileges() throws(Errno) {
    try check(cl_prctl(Int32(CL_PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0))
  }

  /// Replaces this process's supplementary groups. Needs CAP_SETGID; this thread's only.
  public static func setGroups(_ groups: [UInt32]) throws(Errno) {
    try check(cl_setgroups(groups.count, groups))
  }

  /// Becomes another user for good, with all ids; its capabilities go with root's. Needs CAP_SETUID and CAP_SETGID; this
  /// thread's only.
  public static func become(uid: UInt32, gid: UInt32, groups: [UInt32] = []) throws(Errno) {
    try setGroups(groups)
    try check(cl_setresgid(gid))
    try check(cl_setresuid(uid))
  }
}

/// An account of the machine (getpwnam(3)).
public struct UserAccount: Sendable, Equatable {
  /// The user's number.
  public var uid: UInt32
  /// The number of the user's own group.
  public var gid: UInt32

  /// The account called `name`, or with the number `name`; nil when there is none.
  public init?(named name: String) {
    let size = 16 << 10
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    let known = withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer -> (UInt32, UInt32)? in
      let result =
        if let uid = UInt32(name) {
          getpwuid_r(uid, &entry, buffer.baseAddress!, size, &found)
        } else {
          getpwnam_r(name, &entry, buffer.baseAddress!, size, &found)
        }
      guard result == 0, found != nil else { return nil }
      return (entry.pw_uid, entry.pw_gid)
    }
    guard let known else { return nil }
    (uid, gid) = known
  }
}
