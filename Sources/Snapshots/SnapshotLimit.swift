internal import Faults
internal import Linux
internal import SystemPackage

/// The most bytes that a writable snapshot may hold: a quota of a project, which is the snapshot's folder.
enum SnapshotLimit {
  /// Projects of snapshots are numbered from here on, by the number of their folder: far from those that people choose.
  private static let base: UInt32 = 0x4700_0000

  /// Bounds the new, empty `folder` to `bytes`. Where the file system cannot do that, nothing is set.
  static func set(_ bytes: Int64, on folder: FilePath) throws(Fault) {
    guard bytes > 0 else {
      throw Fault(.invalidArgument, "limit: \(bytes) is no number of bytes above 0")
    }
    let number = UInt32(truncatingIfNeeded: Int64(folder.lastComponent?.string ?? "") ?? 0)
    do throws(Errno) {
      let opened = try openat2(nil, folder.string, [.readOnly, .directory, .noFollow])
      guard ProjectQuota.isEnforced(at: opened.rawValue) else { throw Errno.notSupported }
      try ProjectQuota.bound(opened.rawValue, project: base + number % 0x0100_0000, bytes: UInt64(bytes))
    } catch {
      throw Fault(
        .unsupported,
        "a size limit (--storage-opt size=) needs a file system with quotas of projects, and that of \(folder) has none: "
          + "use xfs, or ext4 made with -O quota,project, mounted with prjquota", cause: [error.description])
    }
  }

  /// Takes the limit of a snapshot that goes away; without one, nothing happens.
  static func release(_ folder: FilePath) {
    guard let opened = try? openat2(nil, folder.string, [.readOnly, .directory, .noFollow]) else { return }
    let project = ProjectQuota.project(of: opened.rawValue)
    guard project >= base, project - base < 0x0100_0000 else { return }
    try? ProjectQuota.release(at: opened.rawValue, project: project)
  }
}
