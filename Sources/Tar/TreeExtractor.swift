internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Writes the entries of a tar archive into one folder of an untrusted tree, as `docker cp` does.
///
/// Neither the archive nor the tree is trusted, and the tree may change meanwhile: folders are opened by the kernel inside
/// the root alone, the last part of a path is never followed, and nothing is changed by its path once it is held.
public final class TreeExtractor {
  /// What the extraction does with what is there, and with owners.
  public struct Options: Sendable {
    /// Who owns what is written.
    public enum Owner: Sendable, Equatable {
      /// Whom the archive says.
      case archive
      /// One user.
      case fixed(uid: UInt32, gid: UInt32)
      /// Whoever runs this process.
      case own
    }
    /// Refuse to put a folder in the place of a file, and the other way round.
    public var keepsKind = false
    public var owner = Owner.archive

    /// The archive's owners, and what is in the way is replaced.
    public init() {}
  }

  /// Bytes of file content written.
  public private(set) var bytes: Int64 = 0

  /// The bytes of a plain archive of what was extracted, as `TarWriter.plainBytes`.
  public private(set) var archiveBytes: Int64 = 1024

  private let folders: TreeFolders
  private let options: Options
  private let descriptorPrefix: String
  private let name: String
  private var times: TreeFolderTimes

  /// Writes below `folders`.
  ///
  /// - Parameters:
  ///   - name: the folder's path, for messages.
  ///   - descriptorPrefix: how the process reaches its own descriptors as paths.
  init(_ folders: TreeFolders, name: String, options: Options, descriptorPrefix: String) {
    self.folders = folders
    self.options = options
    self.descriptorPrefix = descriptorPrefix
    self.name = name
    times = TreeFolderTimes()
  }

  /// Extracts into the folder that is open as `folder`, never leaving it: links in it are not followed.
  public convenience init(
    beneath folder: Int32, name: String, options: Options, descriptorPrefix: String = "/proc/self/fd/"
  ) {
    self.init(
      TreeFolders(root: folder, prefix: [], followsLinks: false), name: name, options: options,
      descriptorPrefix: descriptorPrefix)
  }

  /// Extracts into the folder `path` of the tree `root`: links are followed inside the tree.
  package convenience init(
    root: borrowing TreeRoot, path: TreeRoot.Path, options: Options, descriptorPrefix: String
  ) {
    self.init(
      TreeFolders(root: root.descriptor.rawValue, prefix: path.clean, followsLinks: true),
      name: "/" + ArchiveEntry.text(path.clean), options: options, descriptorPrefix: descriptorPrefix)
  }

  /// Extracts everything that `reader` brings. `rename` may change a path, or leave an entry out with nil.
  public func extract(_ reader: ArchiveReader, rename: (([UInt8]) throws -> [UInt8]?)? = nil) throws {
    while var entry = try reader.next() {
      archiveBytes += 512 + (entry.kind == .file ? (entry.size + 511) / 512 * 512 : 0)
      if let rename {
        guard let path = try rename(entry.path) else { continue }
        entry.path = path
        if case .hardLink(let target) = entry.kind, let target = try rename(target) { entry.kind = .hardLink(target) }
      }
      try write(entry, reader)
    }
    times.apply(folders)
  }

  private func write(_ entry: ArchiveEntry, _ reader: ArchiveReader) throws {
    let path = EntryPath(entry.path)
    if path.name.isEmpty {
      // The folder itself keeps what it is; an archive of it says `./`.
      guard entry.kind == .folder else {
        throw Fault(.invalidArgument, "the archive has an entry \(entry.pathText), which names no file")
      }
      return
    }
    let parent = try folders.folder(path.parent)
    let existing = try EntryStatus(parent, path.name)
    if let existing, entry.kind != .folder || existing.kind != .directory {
      try refuseOtherKind(existing, entry)
      if case .hardLink(let target) = entry.kind, try isSame(existing, EntryPath(target)) { return }
      do throws(Errno) { try RemoveTree.remove(at: parent, path.name) } catch {
        throw Fault(unpacking: entry.path, error)
      }
      if existing.kind == .directory || existing.kind == .symbolicLink { folders.forget() }
    }
    switch entry.kind {
    case .folder: try writeFolder(path, entry, isNew: existing?.kind != .directory)
    case .file: try writeFile(path, entry, reader)
    case .symbolicLink(let target):
      try make(path, entry) { parent, name in
        target.withTerminated { symlinkat($0, parent, name) == 0 ? 0 : -errno }
      }
    case .hardLink(let target): try writeHardLink(path, EntryPath(target), entry)
    case .characterDevice(let major, let minor): try writeNode(path, .characterDevice, major, minor, entry)
    case .blockDevice(let major, let minor): try writeNode(path, .blockDevice, major, minor, entry)
    case .fifo: try writeNode(path, .fifo, 0, 0, entry)
    case .other:
      throw Fault(.corrupt, "the archive's entry \(entry.pathText) is of a kind that file systems do not have")
    }
  }

  private func refuseOtherKind(_ existing: EntryStatus, _ entry: ArchiveEntry) throws(Fault) {
    guard options.keepsKind else { return }
    let path = (name == "/" ? "/" : name + "/") + EntryPath(entry.path).bytes.text
    if existing.kind == .directory {
      throw Fault(.invalidArgument, "cannot overwrite directory \"\(path)\" with non-directory \"\(name)\"")
    }
    if entry.kind == .folder {
      throw Fault(.invalidArgument, "cannot overwrite non-directory \"\(path)\" with directory \"\(name)\"")
    }
  }

  private func isSame(_ existing: EntryStatus, _ target: EntryPath) throws -> Bool {
    guard !target.name.isEmpty, let parent = folders.existing(target.parent) else { return false }
    return try EntryStatus(parent, target.name)?.inode == existing.inode
  }
}

// MARK: - Kinds of entries

extension TreeExtractor {
  private func writeFolder(_ path: EntryPath, _ entry: ArchiveEntry, isNew: Bool) throws {
    let parent = try folders.folder(path.parent)
    if isNew, let failure = path.name.failure({ mkdirat(parent, $0, 0o700) }) {
      throw Fault(unpacking: entry.path, failure)
    }
    let result = path.name.withTerminated { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    if result < 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
    let folder = OwnedDescriptor(result)
    try finish(folder.rawValue, entry)
    times.add(
      path.bytes, inode: try EntryStatus(folder.rawValue).inode, seconds: entry.modifiedSeconds,
      nanoseconds: entry.modifiedNanoseconds, folders)
  }

  private func writeFile(_ path: EntryPath, _ entry: ArchiveEntry, _ reader: ArchiveReader) throws {
    let parent = try folders.folder(path.parent)
    let result = path.name.withTerminated {
      openat(parent, $0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
    if result < 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
    let file = OwnedDescriptor(result)
    bytes += try reader.writeContent(of: entry, to: file.rawValue)
    try finish(file.rawValue, entry)
    var times = FileTimes.both(entry.modifiedSeconds, entry.modifiedNanoseconds)
    if futimens(file.rawValue, &times) != 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
  }

  private func writeNode(
    _ path: EntryPath, _ kind: FileStatus.Kind, _ major: UInt32, _ minor: UInt32, _ entry: ArchiveEntry
  ) throws {
    try make(path, entry) { parent, name in cl_mknodat(parent, name, kind.rawValue | 0o600, major, minor) }
  }

  /// A second name, without the entry's own owner and mode: a link cannot change what it links to.
  private func writeHardLink(_ path: EntryPath, _ target: EntryPath, _ entry: ArchiveEntry) throws {
    guard !target.name.isEmpty, let source = folders.existing(target.parent) else {
      throw Self.noTarget(entry, target)
    }
    // Held on its own: the next folder may take this one's place in the cache.
    let held = OwnedDescriptor(cl_dup_from(source, 3))
    let parent = try folders.folder(path.parent)
    let failure = target.name.withTerminated { from in
      path.name.failure { linkat(held.rawValue, from, parent, $0, 0) }
    }
    if failure == .noSuchFileOrDirectory { throw Self.noTarget(entry, target) }
    if let failure { throw Fault(unpacking: entry.path, failure) }
  }

  private static func noTarget(_ entry: ArchiveEntry, _ target: EntryPath) -> Fault {
    Fault(
      .corrupt,
      "the archive's hard link \(entry.pathText) is to \(ArchiveEntry.text(target.bytes)), which does not exist")
  }

  /// Makes a link or node with `body` and gives it its owner, mode and time, by a handle of it.
  private func make(
    _ path: EntryPath, _ entry: ArchiveEntry, _ body: (Int32, UnsafePointer<CChar>) -> Int32
  ) throws {
    let parent = try folders.folder(path.parent)
    let result = path.name.withTerminated { body(parent, $0) }
    if result < 0 { throw Fault(unpacking: entry.path, Errno(rawValue: -result)) }
    let handle = path.name.withTerminated { openat(parent, $0, Int32(CL_O_PATH) | O_NOFOLLOW | O_CLOEXEC) }
    if handle < 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
    let node = OwnedDescriptor(handle)
    do throws(Errno) {
      // Exchanged since it was made: then it is not ours to change.
      let status = try FileStatus(of: node.rawValue)
      guard (status.kind == .symbolicLink) == entry.isSymbolicLink, status.kind != .directory else { return }
      let (uid, gid) = try owner(entry)
      if fchownat(node.rawValue, "", uid, gid, Int32(CL_AT_EMPTY_PATH)) != 0 { throw Errno(rawValue: errno) }
      let place = descriptorPrefix + String(node.rawValue)
      if !entry.isSymbolicLink, chmod(place, entry.permissions) != 0 { throw Errno(rawValue: errno) }
      try set(entry.attributes) { name, value in cl_setxattr(place, name, value.baseAddress, value.count, 0) }
      var times = FileTimes.both(entry.modifiedSeconds, entry.modifiedNanoseconds)
      if utimensat(node.rawValue, "", &times, Int32(CL_AT_EMPTY_PATH)) != 0 { throw Errno(rawValue: errno) }
    } catch {
      throw Fault(unpacking: entry.path, error)
    }
  }

  /// Owner (which clears set-id bits and capabilities), mode, attributes of an open file or folder.
  private func finish(_ descriptor: Int32, _ entry: ArchiveEntry) throws {
    do throws(Errno) {
      let (uid, gid) = try owner(entry)
      if fchown(descriptor, uid, gid) != 0 || fchmod(descriptor, entry.permissions) != 0 {
        throw Errno(rawValue: errno)
      }
      try set(entry.attributes) { name, value in cl_fsetxattr(descriptor, name, value.baseAddress, value.count, 0) }
    } catch {
      throw Fault(unpacking: entry.path, error)
    }
  }

  private func owner(_ entry: ArchiveEntry) throws(Errno) -> (UInt32, UInt32) {
    switch options.owner {
    case .fixed(let uid, let gid): return (uid, gid)
    case .own: return (.max, .max)  // chown(2): leave it
    case .archive:
      guard let uid = UInt32(exactly: entry.uid), let gid = UInt32(exactly: entry.gid), uid != .max, gid != .max else {
        throw Errno.invalidArgument
      }
      return (uid, gid)
    }
  }

  private func set(
    _ attributes: [ArchiveEntry.Attribute], _ body: (UnsafePointer<CChar>, UnsafeRawBufferPointer) -> Int32
  ) throws(Errno) {
    for attribute in attributes where ArchiveEntry.Attribute.isCarried(attribute.name) {
      let result = attribute.value.withUnsafeBytes { value in attribute.name.withTerminated { body($0, value) } }
      // As Docker and tar: left out where the file system or the kind of file has none, or this user may not set it.
      if result == -EOPNOTSUPP || result == -EPERM { continue }
      try check(result)
    }
  }
}

extension ArchiveEntry {
  fileprivate var isSymbolicLink: Bool { if case .symbolicLink = kind { true } else { false } }
}

extension [UInt8] {
  /// The bytes as text for a message.
  var text: String { ArchiveEntry.text(self) }

  /// Calls with the name; why it failed.
  fileprivate func failure(_ body: (UnsafePointer<CChar>) -> Int32) -> Errno? {
    withTerminated { body($0) == 0 ? nil : Errno(rawValue: errno) }
  }
}

extension UnsafeRawBufferPointer {
  /// Writes all of it to a file at `offset`.
  package func write(to file: Int32, at offset: Int64, _ path: [UInt8]) throws {
    var rest = self
    var position = offset
    while !rest.isEmpty {
      let count = pwrite(file, rest.baseAddress, rest.count, Int(position))
      if count < 0 {
        if errno == EINTR { continue }
        throw Fault(unpacking: path, Errno(rawValue: errno))
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      position += Int64(count)
    }
  }
}
