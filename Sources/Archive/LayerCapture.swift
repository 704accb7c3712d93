internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
public import OCI
internal import SystemPackage
internal import Tar

/// A layer that was copied from what a container changed.
public struct CapturedLayer: Sendable, Equatable {
  /// sha256 of the tar archive that the layer stands for.
  public var diffID: Digest
  /// The archive's length in bytes.
  public var size: Int64
  /// Bytes of file content copied.
  public var bytes: Int64
  /// Files, folders, links and nodes made.
  public var inodes: Int64
}

/// Copies the upper folder of an overlay into a layer's folder and computes the digest of the layer's tar archive in the same
/// pass. The archive is not made: a recipe is, by which its bytes can be (`RebuiltLayer`).
///
/// The source may be a running container's, and change meanwhile: every name is opened relative to its folder without
/// following a link, what vanishes is left out, and a file that gets shorter ends with zeros. Two folders are open at a time,
/// however deep the tree is.
public final class LayerCapture {
  /// Where an upper folder is, and what is not the container's own work in it.
  public struct Source {
    /// The upper folder, open.
    public var folder: Int32
    /// The layers below it, for `mountPoints`.
    public var below: LayerStack?
    /// Places of mounts: what is empty there, and not below, was made for the mount.
    public var mountPoints: [String]

    /// Takes them.
    public init(folder: Int32, below: LayerStack?, mountPoints: [String]) {
      self.folder = folder
      self.below = below
      self.mountPoints = mountPoints
    }
  }

  /// A folder whose content is still to be copied.
  struct Folder {
    var path: [UInt8]
    var status: FileStatus
    var attributes: [ArchiveEntry.Attribute]
    var isOpaque: Bool
  }

  struct Inode: Hashable {
    var device: DeviceNumber
    var number: UInt64
  }

  /// How many files with several names are remembered. Beyond it, each name gets a copy.
  static let linkLimit = 1 << 20

  let source: Source
  let target: Int32
  let output: Output
  let isCancelled: () -> Bool
  var linked: [Inode: [UInt8]] = [:]
  var waiting: [Folder] = []
  var bytes: Int64 = 0
  var inodes: Int64 = 0
  /// Whether the file system makes copies that share their blocks; found out by the first file.
  var clones = true

  private init(_ source: Source, target: Int32, recipe: Int32, isCancelled: @escaping () -> Bool) throws {
    self.source = source
    self.target = target
    self.isCancelled = isCancelled
    output = try Output(recipe)
  }

  /// Copies `source` into the open, empty folder `target` and writes the recipe to the open file `recipe`.
  ///
  /// - Returns: what was copied; nil when the container changed nothing.
  /// - Throws: `unsupported` for what layers cannot express, `noSpace`, `limitExceeded`, `cancelled`.
  public static func capture(
    _ source: Source, target: Int32, recipe: Int32, isCancelled: @escaping () -> Bool = { false }
  ) throws -> CapturedLayer? {
    if try CaptureScope(source).isEmpty { return nil }
    let capture = try LayerCapture(source, target: target, recipe: recipe, isCancelled: isCancelled)
    return try capture.run()
  }

  private func run() throws -> CapturedLayer {
    let scope = try CaptureScope(source)
    let root: FileStatus
    do throws(Errno) { root = try FileStatus(of: source.folder) } catch { throw Self.unreadable([dot], error) }
    let attributes = try attributes(of: source.folder, [dot])
    try output.header(
      entry([dot, slash], .folder, root, attributes.carried, root.modified))
    waiting = [Folder(path: [], status: root, attributes: attributes.carried, isOpaque: false)]
    while let folder = waiting.popLast() {
      if isCancelled() { throw Fault(.cancelled, "the commit was taken back") }
      try copyContent(folder, scope)
    }
    let (diffID, size) = try output.finish()
    return CapturedLayer(diffID: diffID, size: size, bytes: bytes, inodes: inodes)
  }

  /// Copies what is in a folder; its own folders wait for their turn. Then the folder gets its owner, mode and times.
  private func copyContent(_ folder: Folder, _ scope: CaptureScope) throws {
    let to = try Self.open(target, folder.path, O_RDONLY | O_DIRECTORY)
    let from: OwnedDescriptor
    do throws(Fault) {
      from = try Self.open(source.folder, folder.path, O_RDONLY | O_DIRECTORY)
    } catch {
      // Removed meanwhile: its content is left out.
      guard error.code == .notFound else { throw error }
      return try finish(to.rawValue, folder.path, folder.status, folder.attributes)
    }
    var names: [[UInt8]] = []
    var reader = FolderNames()
    while true {
      let part: [[UInt8]]
      do throws(Errno) { part = try reader.next(from.rawValue) } catch { throw Self.unreadable(folder.path, error) }
      if part.isEmpty { break }
      names += part
      guard names.count <= 10_000_000 else {
        throw Fault(.limitExceeded, "the folder /\(ArchiveEntry.text(folder.path)) has more than 10 million entries")
      }
    }
    names.sort { $0.lexicographicallyPrecedes($1) }
    var below: [Folder] = []
    for name in names {
      let path = folder.path.isEmpty ? name : folder.path + [slash] + name
      let node: TreeNode?
      do throws(Errno) { node = try TreeNode(from.rawValue, name) } catch { throw Self.unreadable(path, error) }
      guard let node else { continue }
      if try scope.isLeftOut(path, node.status, from.rawValue, name) { continue }
      if let inner = try copy(node, name, path, to.rawValue) { below.append(inner) }
    }
    if folder.isOpaque { try mark(to.rawValue, folder.path) }
    try finish(to.rawValue, folder.path, folder.status, folder.attributes)
    waiting += below.reversed()
  }

  private func mark(_ folder: Int32, _ path: [UInt8]) throws { try OverlayMarks.makeOpaque(folder, path) }

  /// Owner, mode, attributes and times of an open copy: in this order, because a change of owner takes set-id bits and
  /// capabilities away.
  func finish(
    _ copy: Int32, _ path: [UInt8], _ status: FileStatus, _ attributes: [ArchiveEntry.Attribute]
  ) throws {
    if fchown(copy, status.uid, status.gid) != 0 || fchmod(copy, status.permissions) != 0 {
      throw Self.unwritable(path, Errno(rawValue: errno))
    }
    for attribute in attributes {
      let result = attribute.value.withUnsafeBytes { value in
        attribute.name.withTerminated { cl_fsetxattr(copy, $0, value.baseAddress, value.count, 0) }
      }
      if result != 0 { throw Self.unwritable(path, Errno(rawValue: -result)) }
    }
    var times = FileTimes.both(status.modified.seconds, Int64(status.modified.nanoseconds))
    if futimens(copy, &times) != 0 { throw Self.unwritable(path, Errno(rawValue: errno)) }
  }

  /// What an archive says of a file.
  func entry(
    _ path: [UInt8], _ kind: ArchiveEntry.Kind, _ status: FileStatus, _ attributes: [ArchiveEntry.Attribute],
    _ modified: FileStatus.Time
  ) -> ArchiveEntry {
    ArchiveEntry(
      path: path, kind: kind, permissions: status.permissions, uid: Int64(status.uid), gid: Int64(status.gid),
      size: kind == .file ? Int64(clamping: status.size) : 0, modifiedSeconds: modified.seconds,
      modifiedNanoseconds: Int64(modified.nanoseconds), attributes: attributes)
  }

  static func open(_ root: Int32, _ path: [UInt8], _ flags: Int32) throws(Fault) -> OwnedDescriptor {
    let result = (path.isEmpty ? [dot] : path).withTerminated {
      cl_openat2(
        root, $0, UInt64(flags | O_NOFOLLOW | O_CLOEXEC), 0,
        UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS))
    }
    if result >= 0 { return OwnedDescriptor(result) }
    switch Errno(rawValue: -result) {
    case .noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels:
      throw Fault(.notFound, "/\(ArchiveEntry.text(path)) is gone")
    case .fileNameTooLong:
      throw Fault(.limitExceeded, "/\(ArchiveEntry.text(path)) is nested too deep for a layer")
    case let error: throw unreadable(path, error)
    }
  }

  static func unreadable(_ path: [UInt8], _ error: Errno) -> Fault {
    Fault(.internal, "/\(ArchiveEntry.text(path)) cannot be read", cause: ["\(error)"])
  }

  static func unwritable(_ path: [UInt8], _ error: Errno) -> Fault {
    switch error {
    case .noSpace, .diskQuotaExceeded:
      Fault(.noSpace, "no space is left on the disk to copy /\(ArchiveEntry.text(path))", cause: ["\(error)"])
    default: Fault(.internal, "/\(ArchiveEntry.text(path)) cannot be copied", cause: ["\(error)"])
    }
  }
}
