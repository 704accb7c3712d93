internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage
internal import Tar

/// One file, folder, link or node of a capture: its header into the archive, itself into the layer's folder.
extension LayerCapture {
  /// The archive, which exists only as its digest and its recipe.
  struct Output {
    let digest = DigestPipe()
    let recipe: LayerRecipeWriter

    init(_ recipe: Int32) throws { self.recipe = try LayerRecipeWriter(recipe) }

    func raw(_ bytes: [UInt8]) throws {
      try bytes.withUnsafeBytes {
        digest.append($0)
        try recipe.add($0)
      }
    }

    func header(_ entry: ArchiveEntry) throws { try raw(TarHeader.bytes(entry).header) }

    func finish() throws -> (Digest, Int64) {
      try raw([UInt8](repeating: 0, count: 1024))
      try recipe.finish()
      return (digest.finish(), digest.size)
    }
  }

  /// Copies what has the name `name`, and gives a folder back whose content is to be copied.
  func copy(_ node: borrowing TreeNode, _ name: [UInt8], _ path: [UInt8], _ to: Int32) throws -> Folder? {
    let status = node.status
    if status.isWhiteout {
      try OverlayMarks.makeWhiteout(to, name, path)
      inodes += 1
      // Overlay's whiteouts have no times of their own: the kernel may share one inode between all of them.
      let hidden = EntryPath(path)
      let prefix = hidden.parent.isEmpty ? [] : hidden.parent + [slash]
      try output.header(Self.marker(prefix + Array(".wh.".utf8) + name))
      return nil
    }
    guard !name.starts(with: Array(".wh.".utf8)) else {
      throw Fault(
        .unsupported,
        "/\(ArchiveEntry.text(path)) cannot be in a layer: names that begin with .wh. stand for deleted files; rename it"
      )
    }
    switch status.kind {
    case .directory:
      let found = try attributes(of: node, path)
      let made = name.withTerminated { mkdirat(to, $0, 0o700) == 0 ? 0 : errno }
      if made != 0 { throw Self.unwritable(path, Errno(rawValue: made)) }
      inodes += 1
      try output.header(entry(path + [slash], .folder, status, found.carried, status.modified))
      if found.isOpaque { try output.header(Self.marker(path + Array("/.wh..wh..opq".utf8))) }
      return Folder(path: path, status: status, attributes: found.carried, isOpaque: found.isOpaque)
    case .socket, nil: return nil
    default: break
    }
    let inode = Inode(device: status.device, number: status.inode)
    if status.links > 1, let first = linked[inode] {
      let result = first.withTerminated { old in
        name.withTerminated { linkat(target, old, to, $0, 0) == 0 ? 0 : errno }
      }
      if result != 0 { throw Self.unwritable(path, Errno(rawValue: result)) }
      try output.header(entry(path, .hardLink(first), status, [], status.modified))
      return nil
    }
    if status.kind == .regular {
      try copyFile(node, name, path, to)
    } else {
      try copyNode(node, name, path, to)
    }
    inodes += 1
    if status.links > 1, linked.count < Self.linkLimit, path.count < 4096 { linked[inode] = path }
    return nil
  }

  /// A plain file.
  private func copyFile(_ node: borrowing TreeNode, _ name: [UInt8], _ path: [UInt8], _ to: Int32) throws {
    let status = node.status
    let found = try attributes(of: node, path)
    let from = try Self.opened(node, path)
    let result = name.withTerminated { openat(to, $0, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) }
    if result < 0 { throw Self.unwritable(path, Errno(rawValue: errno)) }
    let copy = OwnedDescriptor(result)
    let size = Int64(clamping: status.size)
    if size > 0, ftruncate(copy.rawValue, off_t(size)) != 0 { throw Self.unwritable(path, Errno(rawValue: errno)) }
    let segments =
      Int64(clamping: status.blocks) * 512 < size ? TarWriter.segments(from.rawValue, size) : nil
    let isClone = size >= 64 << 10 && clone(from.rawValue, copy.rawValue, size)
    let (header, map) = TarHeader.bytes(entry(path, .file, status, found.carried, status.modified), segments: segments)
    try output.raw(header)
    try output.raw(map)
    var count: Int64 = 0
    for segment in segments ?? [.init(offset: 0, count: size)] where segment.count > 0 {
      try content(isClone ? nil : from.rawValue, copy.rawValue, segment, path)
      try output.recipe.add(file: path, segment.offset, segment.count)
      count += segment.count
    }
    try output.raw(TarHeader.padding(count))
    bytes += count
    try finish(copy.rawValue, path, status, found.carried)
    // Large files go to the disk while the next ones are copied, so that little is left for the sync at the end.
    if count > 4 << 20 { _ = cl_start_writeback(copy.rawValue) }
  }

  private static func opened(_ node: borrowing TreeNode, _ path: [UInt8]) throws(Fault) -> OwnedDescriptor {
    do throws(Errno) { return try node.open("/proc/self/fd/") } catch { throw unreadable(path, error) }
  }

  /// Shares the blocks of the source, where the file system can.
  private func clone(_ from: Int32, _ copy: Int32, _ size: Int64) -> Bool {
    guard clones else { return false }
    // FICLONE (linux/fs.h).
    guard cl_ioctl(copy, 0x4004_9409, UInt(from)) == 0 else {
      clones = false
      return false
    }
    return ftruncate(copy, off_t(size)) == 0
  }

  /// A part of a file through the hash and, unless the copy has it already, into the copy.
  private func content(_ from: Int32?, _ copy: Int32, _ segment: TarHeader.Segment, _ path: [UInt8]) throws {
    var position = segment.offset
    let end = segment.offset + segment.count
    while position < end {
      let room = output.digest.room()
      let part = UnsafeMutableRawBufferPointer(rebasing: room[..<min(room.count, Int(end - position))])
      let count = pread(from ?? copy, part.baseAddress, part.count, off_t(position))
      if count < 0 {
        if errno == EINTR { continue }
        throw Self.unreadable(path, Errno(rawValue: errno))
      }
      if count == 0 {
        // It got shorter meanwhile: the header has promised its old length, and the copy has a hole there.
        part.initializeMemory(as: UInt8.self, repeating: 0)
        output.digest.advance(part.count)
        position += Int64(part.count)
        continue
      }
      if from != nil {
        let piece = UnsafeRawBufferPointer(rebasing: part[..<count])
        do { try piece.write(to: copy, at: position, path) } catch {
          throw Fault(describing: error).wrapped("the container's files cannot be copied")
        }
      }
      output.digest.advance(count)
      position += Int64(count)
      if isCancelled() { throw Fault(.cancelled, "the commit was taken back") }
    }
  }

  /// A link, device or fifo.
  private func copyNode(_ node: borrowing TreeNode, _ name: [UInt8], _ path: [UInt8], _ to: Int32) throws {
    let status = node.status
    let kind: ArchiveEntry.Kind
    let result: Int32
    switch status.kind {
    case .symbolicLink:
      let link: [UInt8]
      do throws(Errno) { link = try node.link() } catch { throw Self.unreadable(path, error) }
      kind = .symbolicLink(link)
      result = link.withTerminated { text in name.withTerminated { symlinkat(text, to, $0) == 0 ? 0 : -errno } }
    case .characterDevice:
      kind = .characterDevice(major: status.special.major, minor: status.special.minor)
      result = makeNode(name, to, status)
    case .blockDevice:
      kind = .blockDevice(major: status.special.major, minor: status.special.minor)
      result = makeNode(name, to, status)
    default:
      kind = .fifo
      result = makeNode(name, to, status)
    }
    if result < 0 { throw Self.unwritable(path, Errno(rawValue: -result)) }
    var times = FileTimes.both(status.modified.seconds, Int64(status.modified.nanoseconds))
    let failure = name.withTerminated { name in
      if fchownat(to, name, status.uid, status.gid, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0 { return errno }
      // The layer is ours alone until it is shown: nobody exchanges the node for a link here.
      if status.kind != .symbolicLink, fchmodat(to, name, status.permissions, 0) != 0 { return errno }
      return utimensat(to, name, &times, Int32(CL_AT_SYMLINK_NOFOLLOW)) == 0 ? 0 : errno
    }
    if failure != 0 { throw Self.unwritable(path, Errno(rawValue: failure)) }
    try output.header(entry(path, kind, status, [], status.modified))
  }

  private func makeNode(_ name: [UInt8], _ to: Int32, _ status: FileStatus) -> Int32 {
    name.withTerminated { cl_mknodat(to, $0, status.mode, status.special.major, status.special.minor) }
  }

  /// An empty file that stands for what is hidden, always the same.
  private static func marker(_ path: [UInt8]) -> ArchiveEntry {
    ArchiveEntry(
      path: path, kind: .file, permissions: 0, uid: 0, gid: 0, size: 0, modifiedSeconds: 0, modifiedNanoseconds: 0,
      attributes: [])
  }

  /// The attributes of a file that layers carry, in order, and what overlayfs noted on it.
  func attributes(
    of node: borrowing TreeNode, _ path: [UInt8]
  ) throws -> (carried: [ArchiveEntry.Attribute], isOpaque: Bool) {
    let all: [ArchiveEntry.Attribute]
    do throws(Errno) { all = try node.allAttributes("/proc/self/fd/") } catch { throw Self.unreadable(path, error) }
    return try Self.sorted(all, path)
  }

  func attributes(of folder: Int32, _ path: [UInt8]) throws -> (carried: [ArchiveEntry.Attribute], isOpaque: Bool) {
    let node: TreeNode?
    do throws(Errno) { node = try TreeNode(folder, [dot]) } catch { throw Self.unreadable(path, error) }
    guard let node else { throw Self.unreadable(path, .noSuchFileOrDirectory) }
    return try attributes(of: node, path)
  }

  private static func sorted(
    _ all: [ArchiveEntry.Attribute], _ path: [UInt8]
  ) throws(Fault) -> (carried: [ArchiveEntry.Attribute], isOpaque: Bool) {
    var carried: [ArchiveEntry.Attribute] = []
    var isOpaque = false
    for attribute in all {
      if attribute.name.elementsEqual("trusted.overlay.opaque".utf8) {
        isOpaque = attribute.value.elementsEqual("y".utf8)
      } else if attribute.name.elementsEqual("trusted.overlay.redirect".utf8)
        || attribute.name.elementsEqual("trusted.overlay.metacopy".utf8)
      {
        throw Fault(
          .unsupported,
          "/\(ArchiveEntry.text(path)) was moved by an overlay with redirect_dir or metacopy, which layers cannot "
            + "express: switch them off in /sys/module/overlay/parameters and make the container again")
      } else if ArchiveEntry.Attribute.isLayered(attribute.name) {
        carried.append(attribute)
      }
    }
    carried.sort { $0.name.lexicographicallyPrecedes($1.name) }
    return (carried, isOpaque)
  }
}
