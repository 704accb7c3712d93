internal import CLinux
package import Faults
internal import Glibc
package import Linux
package import SystemPackage

/// What has a name in a folder.
package struct EntryStatus {
  package var kind: FileStatus.Kind?
  package var inode: UInt64
  /// A character device 0:0, which hides what the layers below have under the name.
  package var isWhiteout: Bool

  /// Nil when nothing has the name.
  package init?(_ parent: Int32, _ name: [UInt8]) throws(Fault) {
    var status = cl_stat()
    let result = name.withTerminated { cl_statx(parent, $0, Int32(CL_AT_SYMLINK_NOFOLLOW), &status) }
    if result == -ENOENT { return nil }
    if result < 0 { throw Fault(unpacking: name, Errno(rawValue: -result)) }
    self.init(status)
  }

  /// The status of an open file.
  package init(_ descriptor: Int32) throws(Errno) {
    var status = cl_stat()
    try check(cl_statx(descriptor, "", Int32(CL_AT_EMPTY_PATH), &status))
    self.init(status)
  }

  private init(_ status: cl_stat) {
    kind = FileStatus.Kind(rawValue: status.mode & 0o170000)
    inode = status.inode
    isWhiteout = kind == .characterDevice && status.special_major == 0 && status.special_minor == 0
  }
}

extension Fault {
  /// What it means that a system call failed with `error` for the archive's entry `path`.
  package init(unpacking path: [UInt8], _ error: Errno) {
    let name = ArchiveEntry.text(path)
    switch error {
    case .noSpace, .diskQuotaExceeded:
      self.init(.noSpace, "no space is left on the disk to unpack \(name)", cause: ["\(error)"])
    case .readOnlyFileSystem:
      self.init(.readOnly, "\(name) cannot be unpacked: the file system is read-only", cause: ["\(error)"])
    case .fileNameTooLong, .fileTooLarge, .tooManyLinks, .argListTooLong:
      self.init(.limitExceeded, "\(name) is more than this file system can hold", cause: ["\(error)"])
    case .permissionDenied, .notPermitted:
      self.init(.permissionDenied, "\(name) cannot be unpacked: that is not allowed here", cause: ["\(error)"])
    case .noSuchFileOrDirectory, .notDirectory, .isDirectory, .fileExists, .tooManySymbolicLinkLevels, .invalidArgument:
      self.init(.corrupt, "the archive's entry \(name) cannot be made", cause: ["\(error)"])
    default:
      self.init(.internal, "\(name) cannot be unpacked", cause: ["\(error)"])
    }
  }
}
