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

  /// Whether a folder holds nothing; also when it cannot be read, as when it is none.
  static func isEmpty(_ path: String) -> Bool {
    guard let folder = try? openat2(nil, path, [.readOnly, .directory]) else { return false }
    var isEmpty = true
    let whole: Void? = try? RemoveTree.forEachName(folder.rawValue) { _ in
      isEmpty = false
      return false
    }
    return whole != nil && isEmpty
  }

  /// Deletes what a folder of ours holds.
  static func empty(_ path: String) throws {
    do throws(Errno) {
      let folder = try openat2(nil, path, [.readOnly, .directory])
      try RemoveTree.empty(folder.rawValue)
    } catch {
      throw Fault(.internal, "\(path) cannot be emptied", cause: ["\(error)"])
    }
  }

  /// Bytes of the plain files below a folder; 0 when it is not there.
  static func contentSize(_ path: String) -> Int64 {
    guard let folder = try? openat2(nil, path, [.readOnly, .directory]) else { return 0 }
    return DiskUsage(of: folder.rawValue).content
  }

  /// Makes an empty file that says that something is under way; on the disk when it returns, if `durable`.
  static func mark(_ path: String, durable: Bool) throws {
    do throws(Errno) {
      _ = try openat2(nil, path, [.writeOnly, .create, .noFollow], mode: 0o600)
      if durable { try DurableFile.syncFolder(FilePath(path).removingLastComponent()) }
    } catch {
      throw Fault(error == .noSpace ? .noSpace : .internal, "\(path) cannot be made", cause: ["\(error)"])
    }
  }

  /// Takes it away.
  static func unmark(_ path: String) throws {
    do throws(Errno) { try Files.unlink(path) } catch {
      throw Fault(.internal, "\(path) cannot be removed", cause: ["\(error)"])
    }
  }
}
