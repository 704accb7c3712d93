internal import CLinux
public import SystemPackage

/// Landlock (kernel 5.13): a process takes rights to files from itself, for good.
public enum Landlock {
  /// The kernel's version of the interface; 0 when it has none.
  public static var version: Int { max(0, Int(cl_landlock_version())) }

  /// From now on this thread, and those that it starts, can change files only beneath `folders`, and execute none at all.
  /// Reading stays as it was. Needs `no_new_privs` or CAP_SYS_ADMIN.
  ///
  /// To be called before there is a second thread: the restriction is the thread's.
  ///
  /// - Returns: false when the kernel's version is below 2 (kernel 5.19), which could not rename between folders.
  public static func allowWriting(onlyBeneath folders: [FilePath]) throws(Errno) -> Bool {
    guard version >= 2 else { return false }
    let access = version >= 3 ? changes | truncate : changes
    let ruleset = OwnedDescriptor(try check(cl_landlock_create(access | execute)))
    for path in folders {
      let folder = try openat2(nil, path.string, [.path, .directory])
      try check(cl_landlock_allow(ruleset.rawValue, folder.rawValue, access))
    }
    try check(cl_landlock_restrict(ruleset.rawValue))
    return true
  }

  /// LANDLOCK_ACCESS_FS_EXECUTE.
  private static let execute: UInt64 = 1 << 0
  /// WRITE_FILE, then REMOVE_DIR to MAKE_SYM, then REFER (version 2).
  private static let changes: UInt64 = 1 << 1 | (0b1_1111_1111 << 4) | 1 << 13
  /// TRUNCATE (version 3).
  private static let truncate: UInt64 = 1 << 14
}
