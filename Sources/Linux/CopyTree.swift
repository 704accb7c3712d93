internal import CLinux
internal import Glibc
public import SystemPackage

/// Copying whole trees, hostile ones too: fd-relative on both sides, never through a symbolic link, with two open folders
/// however deep the tree is.
///
/// Every file, link and node is made under a temporary name, gets its owner, mode, attributes and time, and appears whole
/// by a rename that replaces nothing. So a copy that was cut off can be made again: what is there stays, the rest is added.
public struct CopyTree {
  /// What was made.
  public struct Outcome: Sendable, Equatable {
    /// Files, folders, links and nodes.
    public var entries: Int64 = 0
    /// Bytes of content.
    public var bytes: Int64 = 0
    /// Nothing was made yet.
    public init() {}
  }

  /// How many files with several names are remembered, to link their copies as well; further ones become files of their own.
  private static let mostLinks = 100_000
  /// The name under which each entry is made; what a copy that was cut off left under it is replaced.
  private static let temporary = Array(".gantry.copying".utf8)

  private struct Inode: Hashable {
    var device: DeviceNumber
    var number: UInt64
  }

  private let source: Int32
  private let target: Int32
  /// Whether devices, fifos and sockets are copied too.
  private let copiesNodes: Bool
  /// Whether the target itself becomes as the source is.
  private let includesRoot: Bool
  private var waiting: [[UInt8]] = [[UInt8(ascii: ".")]]
  private var linked: [Inode: [UInt8]] = [:]
  private var outcome = Outcome()

  /// Copies everything in the open folder `source` into the open folder `target`, which others may use meanwhile.
  ///
  /// - Parameters:
  ///   - nodes: devices, fifos and sockets too.
  ///   - root: `target` gets the owner, mode, attributes and time of `source`.
  ///
  /// Fails with `ENAMETOOLONG` where a path is longer than the kernel takes.
  @discardableResult
  public static func copy(from source: Int32, to target: Int32, nodes: Bool, root: Bool) throws(Errno) -> Outcome {
    var copy = CopyTree(source: source, target: target, copiesNodes: nodes, includesRoot: root)
    while let path = copy.waiting.popLast() { try copy.folder(path) }
    return copy.outcome
  }

  private init(source: Int32, target: Int32, copiesNodes: Bool, includesRoot: Bool) {
    self.source = source
    self.target = target
    self.copiesNodes = copiesNodes
    self.includesRoot = includesRoot
  }

  /// One folder: its entries first, so that its time stays what it is set to at the end. Folders in it wait for their turn.
  private mutating func folder(_ path: [UInt8]) throws(Errno) {
    let from = try Self.open(source, path, [.readOnly, .directory, .noFollow])
    guard let to = try Self.openFolder(target, path) else { return }
    try Self.removeTemporary(to.rawValue)
    var failure: Errno?
    try RemoveTree.forEachName(from.rawValue) { name in
      do throws(Errno) {
        try entry(name, of: path, from.rawValue, to.rawValue)
        return true
      } catch {
        failure = error
        return false
      }
    }
    if let failure { throw failure }
    if path.count == 1, !includesRoot { return }
    try Self.finish(to.rawValue, as: try FileStatus(of: from.rawValue), attributesOf: from.rawValue)
  }

  private mutating func entry(_ name: [UInt8], of path: [UInt8], _ from: Int32, _ to: Int32) throws(Errno) {
    let status = try Self.status(from, name)
    let whole = path + [UInt8(ascii: "/")] + name
    switch status.kind {
    case .directory:
      let result = name.withTerminated { mkdirat(to, $0, 0o700) == 0 ? 0 : errno }
      guard result == 0 || result == EEXIST else { throw Errno(rawValue: result) }
      if result == 0 { outcome.entries += 1 }
      waiting.append(whole)
      return
    case .regular:
      let inode = Inode(device: status.device, number: status.inode)
      if status.links > 1, let first = linked[inode] {
        switch try link(first, name, to) {
        case .made: outcome.entries += 1
        case .taken: break
        case .impossible: if try file(name, from, to) { outcome.entries += 1 }
        }
        return
      }
      guard try file(name, from, to) else { return }
      if status.links > 1, linked.count < Self.mostLinks { linked[inode] = whole }
    case .symbolicLink:
      let text = try Self.readLink(from, name)
      let result = Self.temporary.withTerminated { new in text.withTerminated { symlinkat($0, to, new) } }
      if result != 0 { throw Errno(rawValue: errno) }
      try Self.setOwner(to, status)
      guard try Self.appear(to, name) else { return }
    case .fifo, .socket, .characterDevice, .blockDevice:
      // 0:0 is overlayfs's mark of a removed file.
      if !copiesNodes || (status.kind == .characterDevice && status.special == DeviceNumber(major: 0, minor: 0)) {
        return
      }
      try check(
        Self.temporary.withTerminated {
          cl_mknodat(to, $0, status.mode & 0o170000 | 0o600, status.special.major, status.special.minor)
        })
      try Self.setOwner(to, status)
      let node = try Self.open(to, Self.temporary, [.path, .noFollow])
      if chmod("/proc/self/fd/\(node.rawValue)", status.permissions) != 0 { throw Errno(rawValue: errno) }
      guard try Self.appear(to, name) else { return }
    case nil: return
    }
    outcome.entries += 1
  }

  /// A plain file's content and all that belongs to it; false when the name is taken.
  private mutating func file(_ name: [UInt8], _ from: Int32, _ to: Int32) throws(Errno) -> Bool {
    if (try? Self.status(to, name)) != nil { return false }
    let original = try Self.open(from, name, [.readOnly, .noFollow, .nonBlocking])
    let status = try FileStatus(of: original.rawValue)
    guard status.kind == .regular else { return false }
    let copy = try Self.open(to, Self.temporary, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o600)
    do throws(Errno) {
      outcome.bytes += try Self.content(original.rawValue, copy.rawValue, size: Int(clamping: status.size))
      try Self.finish(copy.rawValue, as: status, attributesOf: original.rawValue)
      return try Self.appear(to, name)
    } catch {
      try? Self.removeTemporary(to)
      throw error
    }
  }

  /// How one more name for a copy came out.
  private enum Link {
    case made
    /// Something else has the name, and stays.
    case taken
    /// The first copy is gone, or the file system has no further names for it.
    case impossible
  }

  /// One more name for what was copied before.
  private func link(_ first: [UInt8], _ name: [UInt8], _ to: Int32) throws(Errno) -> Link {
    // By its folder's descriptor: a path would be followed through links that somebody puts there.
    guard let slash = first.lastIndex(of: UInt8(ascii: "/")),
      let folder = try? Self.open(target, Array(first[..<slash]), [.path, .directory, .noFollow])
    else { return .impossible }
    let last = Array(first[(slash + 1)...])
    let result = last.withTerminated { old in
      name.withTerminated { linkat(folder.rawValue, old, to, $0, 0) == 0 ? 0 : errno }
    }
    switch result {
    case 0: return .made
    case EEXIST: return .taken
    case ENOENT, EMLINK, EXDEV, EPERM: return .impossible
    default: throw Errno(rawValue: result)
    }
  }

  // MARK: Steps

  private static func open(
    _ folder: Int32, _ path: [UInt8], _ flags: OpenFlags, mode: UInt64 = 0
  ) throws(Errno) -> OwnedDescriptor {
    var tries = 0
    while true {
      let result = path.withTerminated {
        cl_openat2(
          folder, $0, UInt64(UInt32(bitPattern: flags.rawValue | O_CLOEXEC)), mode,
          UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS))
      }
      tries += 1
      if result == -EAGAIN, tries < 128 { continue }  // as `openat2` does
      return OwnedDescriptor(try check(result))
    }
  }

  /// A folder of the copy; nil when something else has the name, which then stays.
  private static func openFolder(_ target: Int32, _ path: [UInt8]) throws(Errno) -> OwnedDescriptor? {
    do throws(Errno) {
      return try open(target, path, [.readOnly, .directory, .noFollow])
    } catch {
      if error == .notDirectory || error == .tooManySymbolicLinkLevels { return nil }
      throw error
    }
  }

  private static func status(_ folder: Int32, _ name: [UInt8]) throws(Errno) -> FileStatus {
    let file = try open(folder, name, [.path, .noFollow])
    return try FileStatus(of: file.rawValue)
  }

  private static func readLink(_ folder: Int32, _ name: [UInt8]) throws(Errno) -> [UInt8] {
    var text = [UInt8](repeating: 0, count: 4096)
    let count = text.withUnsafeMutableBytes { buffer in
      name.withTerminated { readlinkat(folder, $0, buffer.baseAddress!.assumingMemoryBound(to: CChar.self), 4096) }
    }
    if count < 0 { throw Errno(rawValue: errno) }
    return Array(text[..<count])
  }

  /// Content with its holes: an image's sparse file takes no more room as a copy.
  private static func content(_ from: Int32, _ to: Int32, size: Int) throws(Errno) -> Int64 {
    var copied: Int64 = 0
    var offset = 0
    while offset < size {
      let data = lseek(from, offset, 3 /* SEEK_DATA */)
      if data < 0 {
        if errno == ENXIO { break }  // nothing but a hole is left
        throw Errno(rawValue: errno)
      }
      let end = lseek(from, data, 4 /* SEEK_HOLE */)
      if end < 0 || lseek(from, data, SEEK_SET) < 0 || lseek(to, data, SEEK_SET) < 0 { throw Errno(rawValue: errno) }
      try copyBytes(from, to, count: end - data)
      copied += Int64(end - data)
      offset = end
    }
    if ftruncate(to, size) != 0 { throw Errno(rawValue: errno) }
    return copied
  }

  private static func copyBytes(_ from: Int32, _ to: Int32, count: Int) throws(Errno) {
    var rest = count
    while rest > 0 {
      let moved = cl_copy_file_range(from, to, rest)
      if moved == 0 { return }  // it became shorter
      if moved > 0 {
        rest -= moved
        continue
      }
      switch Errno(rawValue: CInt(truncatingIfNeeded: -moved)) {
      case .interrupted: continue
      case .improperLink, .invalidArgument, .notSupported, .noFunction: return try readAndWrite(from, to, rest)
      case let error: throw error
      }
    }
  }

  private static func readAndWrite(_ from: Int32, _ to: Int32, _ count: Int) throws(Errno) {
    var rest = count
    try withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer throws(Errno) in
      while rest > 0 {
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(rest, buffer.count)])
        let got = try Descriptors.read(from, into: part)
        if got == 0 { return }
        try Descriptors.writeAll(to, UnsafeRawBufferPointer(rebasing: buffer[..<got]))
        rest -= got
      }
    }
  }

  /// Owner, attributes, mode and time of an open file or folder: in this order, because a change of owner takes
  /// set-user-id bits and capabilities away, and an access list changes the mode.
  private static func finish(_ copy: Int32, as status: FileStatus, attributesOf original: Int32) throws(Errno) {
    if fchown(copy, status.uid, status.gid) != 0 { throw Errno(rawValue: errno) }
    for name in try names(original) where !name.hasPrefix("trusted.overlay.") && !name.hasPrefix("user.overlay.") {
      guard let value = try ExtendedAttributes.get(original, name) else { continue }
      do throws(Errno) {
        try ExtendedAttributes.set(copy, name, value)
      } catch {
        // The file system has none of that kind, or the kind belongs to the host: as other engines, without it.
        guard error == .notSupported || error == .notPermitted || error == .permissionDenied else { throw error }
      }
    }
    var times = both(status.modified)
    if fchmod(copy, status.permissions) != 0 || futimens(copy, &times) != 0 { throw Errno(rawValue: errno) }
  }

  private static func names(_ descriptor: Int32) throws(Errno) -> [String] {
    do throws(Errno) { return try ExtendedAttributes.names(descriptor) } catch .notSupported { return [] }
  }

  /// Owner and time of the link or node that has the temporary name.
  private static func setOwner(_ folder: Int32, _ status: FileStatus) throws(Errno) {
    var times = both(status.modified)
    let result = temporary.withTerminated { name in
      fchownat(folder, name, status.uid, status.gid, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0
        || utimensat(folder, name, &times, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0 ? errno : 0
    }
    if result != 0 { throw Errno(rawValue: result) }
  }

  private static func both(_ time: FileStatus.Time) -> [timespec] {
    let moment = timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
    return [moment, moment]
  }

  /// Gives what has the temporary name its own; false when that is taken, which then stays.
  private static func appear(_ folder: Int32, _ name: [UInt8]) throws(Errno) -> Bool {
    var result = temporary.withTerminated { old in name.withTerminated { cl_renameat2(folder, old, folder, $0, 1) } }
    if result == -EINVAL {
      // A file system that cannot rename without replacing.
      guard (try? status(folder, name)) == nil else {
        try removeTemporary(folder)
        return false
      }
      result = temporary.withTerminated { old in name.withTerminated { cl_renameat2(folder, old, folder, $0, 0) } }
    }
    if result == -EEXIST {
      try removeTemporary(folder)
      return false
    }
    try check(result)
    return true
  }

  private static func removeTemporary(_ folder: Int32) throws(Errno) {
    let result = temporary.withTerminated { unlinkat(folder, $0, 0) == 0 ? 0 : errno }
    if result != 0, result != ENOENT { throw Errno(rawValue: result) }
  }
}
