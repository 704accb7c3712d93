internal import Faults
internal import Glibc
internal import SystemPackage

/// Makes the folders of a service, and reads its group.
enum ServiceFolders {
  /// Makes `path` and what is missing above it; the last folder gets `mode`, also when it is there already and is ours.
  static func make(_ path: FilePath, mode: mode_t, owner: String) throws(Fault) {
    guard path.isAbsolute else {
      throw Fault(.invalidArgument, "the folder \(path) of \(owner) must be an absolute path")
    }
    var partial = FilePath("/")
    for component in path.components {
      partial.append(component)
      if mkdir(partial.string, partial == path ? mode : 0o755) != 0, errno != EEXIST {
        throw failure(path, owner, errno)
      }
    }
    var status = stat()
    guard stat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw Fault(.invalidArgument, "\(path) is not a folder, but \(owner) needs one there")
    }
    if status.st_uid == geteuid(), status.st_mode & 0o777 != mode, chmod(path.string, mode) != 0 {
      throw failure(path, owner, errno)
    }
    if access(path.string, W_OK) != 0 { throw failure(path, owner, errno) }
  }

  private static func failure(_ path: FilePath, _ owner: String, _ code: Int32) -> Fault {
    switch code {
    case EROFS:
      Fault(.readOnly, "the folder \(path) is on a read-only file system: \(owner) must be able to write there")
    case ENOSPC, EDQUOT: Fault(.noSpace, "no space is left on the disk of \(path)")
    case EACCES, EPERM:
      Fault(.permissionDenied, "\(owner) may not write to \(path): start it as root, or choose another folder")
    default:
      Fault(.internal, "\(owner) cannot use the folder \(path)", cause: ["\(Errno(rawValue: code))"])
    }
  }

  /// The number of a group given by name or number.
  static func group(_ text: String) throws(Fault) -> UInt32 {
    if let number = UInt32(text) { return number }
    var entry = Glibc.group()
    var found: UnsafeMutablePointer<Glibc.group>?
    var buffer = [CChar](repeating: 0, count: 1 << 16)
    guard getgrnam_r(text, &entry, &buffer, buffer.count, &found) == 0, found != nil else {
      throw Fault(.invalidArgument, "there is no group \"\(text)\": make it with groupadd, or leave --group out")
    }
    return entry.gr_gid
  }
}
