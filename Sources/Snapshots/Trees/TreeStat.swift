internal import CLinux
internal import Faults
internal import FoundationEssentials
internal import Linux
internal import Protocol
internal import SystemPackage
internal import Tar

/// Files of a tree as Docker tells of them.
enum TreeStat {
  /// A file, held, and what is told of it.
  struct Found: ~Copyable {
    let node: TreeNode
    let stat: PathStat
  }

  /// What `text` means in the tree.
  static func find(_ root: borrowing TreeRoot, _ text: String, _ name: String) throws(Fault) -> Found {
    let bytes = Array(text.utf8)
    let path = TreeRoot.Path(bytes)
    do throws(Errno) {
      let node = try root.find(path)
      let status = node.status
      let target = status.kind == .symbolicLink ? try root.target(of: path) : []
      let stat = PathStat(
        name: String(decoding: path.name(bytes), as: UTF8.self), size: Int64(clamping: status.size),
        mode: goMode(status.mode), mtime: time(status.modified), linkTarget: String(decoding: target, as: UTF8.self))
      return Found(node: node, stat: stat)
    } catch {
      throw unreachable(text, name, error)
    }
  }

  static func stat(_ root: borrowing TreeRoot, _ path: String, _ name: String) throws(Fault) -> PathStat {
    try find(root, path, name).stat
  }

  /// Checks that an archive may be extracted at `path`: an existing folder that can be written to.
  static func checkExtractionPoint(
    _ root: borrowing TreeRoot, _ path: TreeRoot.Path, _ text: String, _ name: String
  ) throws(Fault) {
    let isRoot: Bool
    do throws(Errno) {
      let folder = try root.folder(path)
      guard cl_is_read_only(folder.rawValue) == 1 else { return }
      isRoot = try FileStatus(of: folder.rawValue).mountID == FileStatus(of: root.descriptor.rawValue).mountID
    } catch {
      if error == .notDirectory { throw Fault(.invalidArgument, "extraction point is not a directory: \(text)") }
      throw unreachable(text, name, error)
    }
    throw Fault(.readOnly, isRoot ? "container rootfs is marked read-only" : "mounted volume is marked read-only")
  }

  private static func unreachable(_ path: String, _ name: String, _ error: Errno) -> Fault {
    switch error {
    case .noSuchFileOrDirectory, .notDirectory: Fault(.notFound, "Could not find the file \(path) in \(name)")
    case .fileNameTooLong: Fault(.invalidArgument, "the path \(path.prefix(200)) is too long")
    case .tooManySymbolicLinkLevels: Fault(.invalidArgument, "\(path) leads through a loop of symbolic links")
    default: Fault(.internal, "\(path) cannot be reached", cause: ["\(error)"])
    }
  }

  /// Go's `os.FileMode` of a file's mode.
  static func goMode(_ mode: UInt32) -> Int64 {
    var result = Int64(mode & 0o777)
    switch FileStatus.Kind(rawValue: mode & 0o170000) {
    case .directory: result |= 1 << 31
    case .symbolicLink: result |= 1 << 27
    case .blockDevice: result |= 1 << 26
    case .characterDevice: result |= 1 << 26 | 1 << 21
    case .fifo: result |= 1 << 25
    case .socket: result |= 1 << 24
    case .regular: break
    case nil: result |= 1 << 19
    }
    if mode & 0o4000 != 0 { result |= 1 << 23 }
    if mode & 0o2000 != 0 { result |= 1 << 22 }
    if mode & 0o1000 != 0 { result |= 1 << 20 }
    return result
  }

  /// RFC 3339 with as many digits of a fraction as are needed.
  static func time(_ time: FileStatus.Time) -> String {
    let seconds = Date(timeIntervalSince1970: Double(time.seconds)).formatted(Date.ISO8601FormatStyle())
    if time.nanoseconds == 0 { return seconds }
    var digits = String(UInt64(time.nanoseconds) + 1_000_000_000).dropFirst()
    while digits.last == "0" { digits.removeLast() }
    return seconds.dropLast() + "." + digits + "Z"
  }
}
