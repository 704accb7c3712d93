internal import Faults
internal import Glibc
package import Linux
internal import SystemPackage

/// Writes files of an untrusted tree into a tar archive, with owners, modes, times, extended attributes, hard links, holes
/// and devices; sockets are left out, as they mean nothing elsewhere.
///
/// The tree may change meanwhile, also by somebody's bad intention: every file is held before it is looked at, no link is
/// ever followed, and what vanishes is left out.
public final class TreeArchiver {
  /// Names for files in the archive.
  public struct Naming: Sendable {
    /// The name of what is archived; empty for none: then the folder's content has names of its own, and the folder no entry.
    public var top: [UInt8]
    /// Takes it.
    public init(top: [UInt8]) { self.top = top }
  }

  /// How many levels of folders are followed: more cannot be named by a path.
  private static let depthLimit = 2048
  /// How many files with several names are remembered. Beyond it, each name gets a copy.
  private static let linkLimit = 1 << 20

  private struct FileKey: Hashable {
    var device: DeviceNumber
    var inode: UInt64
  }
  private struct Linked {
    var path: [UInt8]
    var namesLeft: UInt32
  }

  private let writer: TarWriter
  private let descriptorPrefix: String
  private var linked: [FileKey: Linked] = [:]

  /// Writes with `writer`.
  ///
  /// - Parameter descriptorPrefix: how the process reaches its own descriptors as paths: `/proc/self/fd/`, or nothing where
  ///   that is the working folder.
  public init(_ writer: TarWriter, descriptorPrefix: String = "/proc/self/fd/") {
    self.writer = writer
    self.descriptorPrefix = descriptorPrefix
  }

  /// Adds a file, or a folder with everything in it.
  package func add(_ node: consuming TreeNode, _ naming: Naming) throws {
    if naming.top.isEmpty, node.status.kind == .directory {
      return try addContent(of: node, path: [], depth: 0)
    }
    try add(node, path: naming.top, depth: 0)
  }

  private func add(_ node: consuming TreeNode, path: [UInt8], depth: Int) throws {
    let status = node.status
    var entry = ArchiveEntry(
      path: path, kind: .file, permissions: status.permissions, uid: Int64(status.uid), gid: Int64(status.gid), size: 0,
      modifiedSeconds: status.modified.seconds, modifiedNanoseconds: Int64(status.modified.nanoseconds), attributes: [])
    do throws(Errno) {
      switch status.kind {
      case .directory: entry.kind = .folder
      case .symbolicLink: entry.kind = .symbolicLink(try node.link())
      case .characterDevice: entry.kind = .characterDevice(major: status.special.major, minor: status.special.minor)
      case .blockDevice: entry.kind = .blockDevice(major: status.special.major, minor: status.special.minor)
      case .fifo: entry.kind = .fifo
      case .regular: entry.size = Int64(clamping: status.size)
      case .socket, nil: return
      }
      entry.attributes = try node.attributes(descriptorPrefix)
    } catch {
      throw Self.unreadable(path, error)
    }
    if status.kind != .directory, status.links > 1, let first = remember(status, path) {
      entry.kind = .hardLink(first)
      entry.attributes = []
      return try writer.write(entry)
    }
    switch status.kind {
    case .directory:
      entry.path = path.last == slash ? path : path + [slash]
      try writer.write(entry)
      try addContent(of: node, path: entry.path, depth: depth)
    case .regular:
      let file: OwnedDescriptor
      do throws(Errno) { file = try node.open(descriptorPrefix) } catch { throw Self.unreadable(path, error) }
      try writer.write(entry, content: file.rawValue, blocks: status.blocks)
    default: try writer.write(entry)
    }
  }

  /// - Parameter path: empty, or with a slash at its end.
  private func addContent(of node: consuming TreeNode, path: [UInt8], depth: Int) throws {
    guard depth < Self.depthLimit, path.count < 4096 else {
      throw Fault(.limitExceeded, "the folder \(ArchiveEntry.text(path)) is nested too deep for an archive")
    }
    let folder: OwnedDescriptor
    do throws(Errno) { folder = try node.open(descriptorPrefix) } catch { throw Self.unreadable(path, error) }
    // The handle is not needed any more, and levels of folders may be many.
    _ = consume node
    var names = FolderNames()
    while true {
      let part: [[UInt8]]
      do throws(Errno) { part = try names.next(folder.rawValue) } catch { throw Self.unreadable(path, error) }
      if part.isEmpty { return }
      for name in part {
        let below = path + name
        let found: TreeNode?
        do throws(Errno) { found = try TreeNode(folder.rawValue, name) } catch { throw Self.unreadable(below, error) }
        if let found { try add(found, path: below, depth: depth + 1) }
      }
    }
  }

  /// The name under which a file with several names is in the archive already.
  private func remember(_ status: FileStatus, _ path: [UInt8]) -> [UInt8]? {
    let key = FileKey(device: status.device, inode: status.inode)
    if var known = linked[key] {
      known.namesLeft -= 1
      linked[key] = known.namesLeft > 0 ? known : nil
      return known.path
    }
    if linked.count < Self.linkLimit { linked[key] = Linked(path: path, namesLeft: status.links - 1) }
    return nil
  }

  private static func unreadable(_ path: [UInt8], _ error: Errno) -> Fault {
    let code: FaultCode =
      switch error {
      case .permissionDenied, .notPermitted: .permissionDenied
      case .tooManyOpenFiles, .tooManyOpenFilesInSystem: .limitExceeded
      default: .internal
      }
    return Fault(code, "\(ArchiveEntry.text(path)) cannot be read", cause: ["\(error)"])
  }
}
