internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// Writes the entries of one layer below one folder, in overlayfs's form.
///
/// Every call is relative to an open folder and never follows a link in the last part of a path; the parents are
/// `LayerFolders`' business. Order per file: content, owner (which clears set-id bits and capabilities), mode, attributes,
/// times. Times of folders come last of all, because entries below change them.
final class LayerWriter {
  /// Bytes of file content written.
  private(set) var bytes: Int64 = 0
  /// What was made.
  var inodes: Int64 { made + folders.implied }
  /// The top folder has an opaque mark.
  private(set) var isRootOpaque = false
  /// Extended attributes that the file system does not take.
  private(set) var attributesLeftOut = 0

  private let folders: LayerFolders
  private var made: Int64 = 0
  private var times: FolderTimes
  /// Hard links to files that the layer does not have, in the order of the archive; known after `finish`.
  private(set) var outerLinks: [OuterLink] = []
  private var links: [(path: EntryPath, target: EntryPath)] = []
  private var linkBytes = 0

  /// Writes below the open folder `root`, which stays the caller's.
  init(_ root: Int32) throws {
    folders = LayerFolders(root: root)
    times = FolderTimes(root: root)
    if fchmod(root, 0o755) != 0 { throw Fault(unpacking: [dot], Errno(rawValue: errno)) }
  }

  /// Makes `entry`; the content of a file comes from `reader`.
  func write(_ entry: ArchiveEntry, _ reader: ArchiveReader) throws {
    let path = EntryPath(entry.path)
    if path.name.isEmpty {
      guard entry.kind == .folder else {
        throw Fault(.corrupt, "the layer has an entry \(entry.pathText), which names no file")
      }
      return try writeRoot(entry)
    }
    if path.name.starts(with: whiteoutPrefix) { return try writeWhiteout(path) }
    switch entry.kind {
    case .folder: try writeFolder(path, entry)
    case .file: try writeFile(path, entry, reader)
    case .symbolicLink(let target): try writeSymbolicLink(path, target, entry)
    case .hardLink(let target): try writeHardLink(path, EntryPath(target), isLast: false)
    case .characterDevice(let major, let minor): try writeNode(path, .characterDevice, major, minor, entry)
    case .blockDevice(let major, let minor): try writeNode(path, .blockDevice, major, minor, entry)
    case .fifo: try writeNode(path, .fifo, 0, 0, entry)
    case .other: throw Fault(.corrupt, "the layer's entry \(entry.pathText) is of a kind that file systems do not have")
    }
  }

  /// What has to wait for the end: hard links that came before their targets, and the times of folders.
  func finish() throws {
    for link in links { try writeHardLink(link.path, link.target, isLast: true) }
    links = []
    folders.forgetAll()
    times.apply()
  }
}

// MARK: - Kinds of entries

extension LayerWriter {
  private func writeRoot(_ entry: ArchiveEntry) throws {
    let root = openat(folders.root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if root < 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
    let folder = OwnedDescriptor(root)
    try finishFolder(folder.rawValue, EntryPath([]), entry)
  }

  private func writeFolder(_ path: EntryPath, _ entry: ArchiveEntry) throws {
    let parent = try folders.folder(path.parent)
    var isOpaque = false
    if path.name.withTerminated({ mkdirat(parent, $0, 0o700) == 0 ? 0 : errno }) != 0 {
      if let status = try EntryStatus(parent, path.name) {
        if status.kind != .directory {
          isOpaque = status.isWhiteout
          try remove(parent, path, status)
        }
      }
      let failure = path.name.withTerminated { mkdirat(parent, $0, 0o700) == 0 ? 0 : errno }
      if failure != 0 && failure != EEXIST { throw Fault(unpacking: entry.path, Errno(rawValue: failure)) }
      if failure == 0 { made += 1 }
    } else {
      made += 1
    }
    let descriptor = path.name.withTerminated { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    if descriptor < 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
    let folder = OwnedDescriptor(descriptor)
    if isOpaque { try OverlayMarks.makeOpaque(folder.rawValue, entry.path) }
    try finishFolder(folder.rawValue, path, entry)
    folders.remember(path.bytes, folder.take())
  }

  private func finishFolder(_ folder: Int32, _ path: EntryPath, _ entry: ArchiveEntry) throws {
    try setOwnerAndMode(folder, entry)
    try setAttributes(entry) { name, value in cl_fsetxattr(folder, name, value.baseAddress, value.count, 0) }
    times.add(
      path.bytes, inode: try EntryStatus(folder).inode, seconds: entry.modifiedSeconds,
      nanoseconds: entry.modifiedNanoseconds)
  }

  private func writeFile(_ path: EntryPath, _ entry: ArchiveEntry, _ reader: ArchiveReader) throws {
    let file = OwnedDescriptor(
      try create(path) { parent, name in
        let descriptor = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        return descriptor < 0 ? -errno : descriptor
      })
    bytes += try reader.writeContent(of: entry, to: file.rawValue)
    try setOwnerAndMode(file.rawValue, entry)
    try setAttributes(entry) { name, value in cl_fsetxattr(file.rawValue, name, value.baseAddress, value.count, 0) }
    var times = FileTimes.both(entry.modifiedSeconds, entry.modifiedNanoseconds)
    if futimens(file.rawValue, &times) != 0 { throw Fault(unpacking: entry.path, Errno(rawValue: errno)) }
  }

  private func writeSymbolicLink(_ path: EntryPath, _ target: [UInt8], _ entry: ArchiveEntry) throws {
    try create(path) { parent, name in
      target.withTerminated { symlinkat($0, parent, name) == 0 ? 0 : -errno }
    }
    try finishByName(path, entry)
  }

  private func writeNode(
    _ path: EntryPath, _ kind: FileStatus.Kind, _ major: UInt32, _ minor: UInt32, _ entry: ArchiveEntry
  ) throws {
    try create(path) { parent, name in cl_mknodat(parent, name, kind.rawValue | 0o600, major, minor) }
    try finishByName(path, entry)
  }

  /// A second name. The entry's own owner, mode and attributes are those of the target's entry, and not set again: a link
  /// cannot change what it links to.
  private func writeHardLink(_ path: EntryPath, _ target: EntryPath, isLast: Bool) throws {
    guard !target.name.isEmpty, let found = folders.existing(target.parent),
      let status = try EntryStatus(found, target.name), !status.isWhiteout
    else { return try wait(path, target, isLast) }
    let parent = try folders.folder(path.parent)
    if let old = try EntryStatus(parent, path.name) {
      // A late link whose name got another entry meanwhile, or a link to itself: what is there stays.
      if isLast || old.inode == status.inode { return }
      try remove(parent, path, old)
    }
    guard let source = folders.existing(target.parent) else { return try wait(path, target, isLast) }
    let destination = try folders.folder(path.parent)
    let failure = target.name.withTerminated { from in
      path.name.withTerminated { linkat(source, from, destination, $0, 0) == 0 ? 0 : errno }
    }
    if failure != 0 { throw Fault(unpacking: path.bytes, Errno(rawValue: failure)) }
  }

  private func wait(_ path: EntryPath, _ target: EntryPath, _ isLast: Bool) throws {
    guard !isLast else {
      // Whoever knows the layers below finds it there, or refuses it.
      outerLinks.append(OuterLink(path: path.bytes, target: target.bytes))
      return
    }
    links.append((path, target))
    linkBytes += path.bytes.count + target.bytes.count + 64
    guard linkBytes <= 16 << 20 else {
      throw Fault(.limitExceeded, "the layer has too many hard links before their targets")
    }
  }

  /// `.wh.NAME` hides NAME of the layers below; `.wh..wh..opq` hides all that they have in the folder; other names that
  /// begin with `.wh..wh.` are bookkeeping of aufs. A whiteout never hides what its own layer has (OCI layer.md): a folder
  /// of the same name in this layer becomes opaque instead, any other file hides the lower one by being there.
  private func writeWhiteout(_ path: EntryPath) throws {
    let hidden = Array(path.name.dropFirst(whiteoutPrefix.count))
    if hidden.starts(with: whiteoutPrefix) {
      guard path.name == opaqueName else { return }
      if path.parent.isEmpty { isRootOpaque = true }
      let folder = try folders.folder(path.parent)
      return try OverlayMarks.makeOpaque(folder, [dot], path.bytes)
    }
    if hidden.isEmpty || hidden == [dot] || hidden == [dot, dot] {
      throw Fault(.corrupt, "the layer's entry \(ArchiveEntry.text(path.bytes)) hides no file by its name")
    }
    let parent = try folders.folder(path.parent)
    guard let status = try EntryStatus(parent, hidden) else {
      try OverlayMarks.makeWhiteout(parent, hidden, path.bytes)
      made += 1
      return
    }
    if status.kind == .directory { try OverlayMarks.makeOpaque(parent, hidden, path.bytes) }
  }
}

// MARK: - Steps

extension LayerWriter {
  /// Makes something new with `make` (its result, or the negative errno); what has the name already is removed: of entries
  /// with the same name the last counts.
  @discardableResult
  private func create(_ path: EntryPath, _ make: (Int32, UnsafePointer<CChar>) -> Int32) throws -> Int32 {
    var parent = try folders.folder(path.parent)
    var result = path.name.withTerminated { make(parent, $0) }
    if result == -EEXIST {
      if let status = try EntryStatus(parent, path.name) { try remove(parent, path, status) }
      parent = try folders.folder(path.parent)
      result = path.name.withTerminated { make(parent, $0) }
    }
    if result < 0 { throw Fault(unpacking: path.bytes, Errno(rawValue: -result)) }
    made += 1
    return result
  }

  private func remove(_ parent: Int32, _ path: EntryPath, _ status: EntryStatus) throws {
    do throws(Errno) { try RemoveTree.remove(at: parent, path.name) } catch {
      throw Fault(unpacking: path.bytes, error)
    }
    if status.kind == .directory || status.kind == .symbolicLink { folders.forgetAll() }
  }

  private func setOwnerAndMode(_ descriptor: Int32, _ entry: ArchiveEntry) throws {
    let (uid, gid) = try owner(entry)
    // Always: a parent's set-group-id bit or the process's mask may have had a say before.
    if fchown(descriptor, uid, gid) != 0 || fchmod(descriptor, entry.permissions) != 0 {
      throw Fault(unpacking: entry.path, Errno(rawValue: errno))
    }
  }

  private func owner(_ entry: ArchiveEntry) throws -> (UInt32, UInt32) {
    // -1 means "leave as it is" to chown, so the highest id is not one.
    guard let uid = UInt32(exactly: entry.uid), let gid = UInt32(exactly: entry.gid), uid != .max, gid != .max else {
      throw Fault(
        .corrupt, "the layer's entry \(entry.pathText) has the owner \(entry.uid):\(entry.gid), which is no user id")
    }
    return (uid, gid)
  }

  /// Owner, mode, attributes and time of what cannot be opened: links and nodes.
  private func finishByName(_ path: EntryPath, _ entry: ArchiveEntry) throws {
    let parent = try folders.folder(path.parent)
    let (uid, gid) = try owner(entry)
    let isLink = if case .symbolicLink = entry.kind { true } else { false }
    var times = FileTimes.both(entry.modifiedSeconds, entry.modifiedNanoseconds)
    let failure = path.name.withTerminated { name in
      if fchownat(parent, name, uid, gid, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0 { return errno }
      return isLink ? 0 : Self.changeMode(parent, name, entry.permissions)
    }
    if failure != 0 { throw Fault(unpacking: entry.path, Errno(rawValue: failure)) }
    let place = Array("/proc/self/fd/\(parent)/".utf8) + path.name
    try setAttributes(entry) { name, value in
      place.withTerminated { cl_lsetxattr($0, name, value.baseAddress, value.count, 0) }
    }
    let timeFailure = path.name.withTerminated {
      utimensat(parent, $0, &times, Int32(CL_AT_SYMLINK_NOFOLLOW)) == 0 ? 0 : errno
    }
    if timeFailure != 0 { throw Fault(unpacking: entry.path, Errno(rawValue: timeFailure)) }
  }

  /// chmod of a node, never through a link that somebody put in its place; there is no such system call before Linux 6.6.
  private static func changeMode(_ parent: Int32, _ name: UnsafePointer<CChar>, _ mode: UInt32) -> Int32 {
    let descriptor = openat(parent, name, Int32(CL_O_PATH) | O_NOFOLLOW | O_CLOEXEC)
    if descriptor < 0 { return errno }
    let node = OwnedDescriptor(descriptor)
    guard let status = try? EntryStatus(node.rawValue), status.kind != .symbolicLink else { return ELOOP }
    return chmod("/proc/self/fd/\(node.rawValue)", mode) == 0 ? 0 : errno
  }

  private func setAttributes(
    _ entry: ArchiveEntry, _ set: (UnsafePointer<CChar>, UnsafeRawBufferPointer) -> Int32
  ) throws {
    for attribute in entry.attributes where !OverlayMarks.isReserved(attribute.name) {
      let result = attribute.value.withUnsafeBytes { value in attribute.name.withTerminated { set($0, value) } }
      switch result {
      case 0: break
      // The file system has none of that kind, or the kind is not for links and nodes: as other engines, without it.
      case -EOPNOTSUPP, -EPERM: attributesLeftOut += 1
      default:
        throw Fault(unpacking: entry.path, Errno(rawValue: -result))
          .wrapped("the attribute \(ArchiveEntry.text(attribute.name)) of \(entry.pathText) cannot be set")
      }
    }
  }
}

private let whiteoutPrefix = Array(".wh.".utf8)
private let opaqueName = Array(".wh..wh..opq".utf8)
