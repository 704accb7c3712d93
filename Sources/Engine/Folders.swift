import Faults
import Linux
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Folders of the host.
enum Folders {
  /// Makes `path` and what is missing above it; an existing folder is left as it is.
  static func make(_ path: String, mode: mode_t) throws {
    var status = stat()
    if stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw Fault(.invalidArgument, "\(path): is no folder")
      }
      return
    }
    guard path != "/", path.hasPrefix("/") else { throw SmallFile.failure("create", path) }
    let parent = path.split(separator: "/").dropLast().joined(separator: "/")
    try make("/" + parent, mode: 0o755)
    if mkdir(path, mode) != 0, errno != EEXIST { throw SmallFile.failure("create", path) }
    chmod(path, mode)  // whatever the umask is
  }

  static func exists(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0
  }

  /// Deletes a folder of ours with all it holds, however deep a container has made it, following no link.
  static func removeTree(_ path: String) throws {
    let full = FilePath(path)
    guard let name = full.lastComponent else { throw Fault(.invalidArgument, "\(path): is no folder of ours") }
    let parent = open(full.removingLastComponent().string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if parent < 0 {
      if errno == ENOENT { return }
      throw SmallFile.failure("open", path)
    }
    defer { close(parent) }
    do throws(Errno) {
      try RemoveTree.remove(at: parent, name.string)
    } catch {
      throw Fault(.internal, "\(path) cannot be deleted: \(error)")
    }
  }
}
