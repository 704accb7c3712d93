import Faults

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

  /// Deletes a folder of ours with all it holds, following no link and leaving no mount.
  static func removeTree(_ path: String) throws {
    guard let folder = opendir(path) else {
      if errno == ENOENT { return }
      throw SmallFile.failure("open", path)
    }
    defer { closedir(folder) }
    try removeContent(dirfd(folder), folder, path)
    if rmdir(path) != 0, errno != ENOENT { throw SmallFile.failure("remove", path) }
  }

  private static func removeContent(_ descriptor: Int32, _ folder: OpaquePointer, _ path: String) throws {
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name == "." || name == ".." { continue }
      if unlinkat(descriptor, name, 0) == 0 || errno == ENOENT { continue }
      guard errno == EISDIR || errno == EPERM || errno == ENOTEMPTY else {
        throw SmallFile.failure("remove", path + "/" + name)
      }
      let child = openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard child >= 0, let stream = fdopendir(child) else {
        if child >= 0 { close(child) }
        throw SmallFile.failure("open", path + "/" + name)
      }
      defer { closedir(stream) }
      try removeContent(child, stream, path + "/" + name)
      if unlinkat(descriptor, name, Int32(AT_REMOVEDIR)) != 0, errno != ENOENT {
        throw SmallFile.failure("remove", path + "/" + name)
      }
    }
  }
}
