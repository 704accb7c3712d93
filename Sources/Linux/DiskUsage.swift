internal import CLinux
internal import Glibc

/// What a tree takes on disk.
public struct DiskUsage: Sendable, Equatable {
  /// Blocks in use, in bytes; a file with several names counts once.
  public var bytes: Int64 = 0
  /// Files, folders, links and nodes.
  public var inodes: Int64 = 0
  /// Lengths of the plain files, in bytes; likewise.
  public var content: Int64 = 0

  /// Measures everything in the open folder `root`, which may be changed by others meanwhile: what vanishes is not counted.
  /// Folders whose path is longer than the kernel takes are counted themselves, without their content.
  public init(of root: Int32) {
    var waiting: [[UInt8]] = [[UInt8(ascii: ".")]]
    var linked: Set<UInt64> = []
    while let path = waiting.popLast() {
      let descriptor = path.withTerminated {
        cl_openat2(
          root, $0, UInt64(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0,
          UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS))
      }
      if descriptor < 0 { continue }
      let folder = OwnedDescriptor(descriptor)
      try? RemoveTree.forEachName(folder.rawValue) { name in
        var status = cl_stat()
        let result = name.withTerminated { cl_statx(folder.rawValue, $0, Int32(CL_AT_SYMLINK_NOFOLLOW), &status) }
        if result < 0 { return true }
        let isFolder = status.mode & 0o170000 == FileStatus.Kind.directory.rawValue
        if !isFolder, status.nlink > 1, !linked.insert(status.inode).inserted { return true }
        bytes += Int64(status.blocks) * 512
        inodes += 1
        if status.mode & 0o170000 == FileStatus.Kind.regular.rawValue { content += Int64(clamping: status.size) }
        if isFolder { waiting.append(path + [UInt8(ascii: "/")] + name) }
        return true
      }
    }
  }
}
