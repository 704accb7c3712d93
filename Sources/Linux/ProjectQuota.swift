internal import CLinux
public import SystemPackage

/// Quotas of projects: how many bytes a folder with everything below it may hold (XFS, ext4 mounted with prjquota).
public enum ProjectQuota {
  /// Whether the file system of the open folder enforces them.
  public static func isEnforced(at folder: Int32) -> Bool { cl_project_enforced(folder) == 1 }

  /// Makes the open, empty folder and what will be made below it the project `number`, bounded to `bytes`.
  public static func bound(_ folder: Int32, project number: UInt32, bytes: UInt64) throws(Errno) {
    try check(cl_project_limit(folder, number, bytes))
    try check(cl_project_set(folder, number))
  }

  /// The project of an open file or folder; 0 where it has none.
  public static func project(of file: Int32) -> UInt32 {
    var number: UInt32 = 0
    return cl_project_get(file, &number) == 0 ? number : 0
  }

  /// Takes the limit of a project away, so that the file system forgets it with its last file.
  public static func release(at folder: Int32, project number: UInt32) throws(Errno) {
    try check(cl_project_limit(folder, number, 0))
  }
}
