internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
public import SystemPackage
internal import Tar

/// A hard link of a layer to a file that only the layers below have. Images that were made on a mounted parent have them.
public struct OuterLink: Sendable, Equatable {
  /// The new name.
  public var path: [UInt8]
  /// The file, as the archive names it.
  public var target: [UInt8]

  /// Takes both, cleaned.
  public init(path: [UInt8], target: [UInt8]) {
    self.path = path
    self.target = target
  }
}

/// Makes the hard links of an unpacked layer to files of the layers below it, as overlayfs does at link(2): the file is
/// copied up into the layer, with the folders on its way, and gets its second name there.
///
/// The layers below are as hostile as this one: the target is resolved in the stack alone (`LayerStack`), and is what a
/// container on these layers would find. What this layer hides itself is not found.
public enum OuterLinks {
  /// What was added to the layer.
  public struct Added: Sendable, Equatable {
    /// Bytes of content.
    public var bytes: Int64 = 0
    /// Files and folders.
    public var inodes: Int64 = 0
  }

  /// Makes `links` in the layer at `layer`, above the layers `below`, topmost first.
  public static func make(_ links: [OuterLink], in layer: FilePath, above below: [FilePath]) throws -> Added {
    var added = Added()
    let stack = try opened(Array(layer.string.utf8)) { () throws(Errno) in try LayerStack([layer] + below) }
    let own = stack.root.parts[0].folder
    let folders = LayerFolders(root: own)
    for link in links { try make(link, stack, folders, &added) }
    added.inodes += folders.implied
    return added
  }

  private static func make(
    _ link: OuterLink, _ stack: LayerStack, _ folders: LayerFolders, _ added: inout Added
  ) throws {
    let found = try opened(link.target) { () throws(Errno) in try stack.resolve(link.target) }
    guard let found, let name = found.path.last, case .file(let layer, let holder, let status) = found.node else {
      throw Fault(
        .corrupt,
        "the layer's hard link \(ArchiveEntry.text(link.path)) is to \(ArchiveEntry.text(link.target)), "
          + "which neither it nor the layers below have as a file")
    }
    let touched = Touched()
    let source = try copied(name, layer, holder, status, found, touched, &added)
    let path = EntryPath(link.path)
    let parent = try folders.folder(path.parent)
    // The name got another entry of the layer meanwhile: it stays, as of two entries with a name the later counts.
    if let other = try EntryStatus(parent, path.name), !other.isWhiteout { return touched.restore() }
    touched.add(parent)
    _ = path.name.withTerminated { unlinkat(parent, $0, 0) }
    let failure = name.withTerminated { from in
      path.name.withTerminated { linkat(source.rawValue, from, parent, $0, 0) == 0 ? 0 : errno }
    }
    if failure != 0 { throw Fault(unpacking: link.path, Errno(rawValue: failure)) }
    touched.restore()
  }

  /// The folder of this layer that has the file: it had it before, or gets a copy.
  private static func copied(
    _ name: [UInt8], _ layer: Int, _ holder: Int32, _ status: FileStatus, _ found: LayerStack.Resolved,
    _ touched: Touched, _ added: inout Added
  ) throws -> OwnedDescriptor {
    if layer == 0 { return try duplicate(holder, name) }
    let folder = try copyFolders(found, touched, &added)
    touched.add(folder.rawValue)
    try CopyUp.copy(name, from: holder, to: folder.rawValue, status)
    added.inodes += 1
    if status.kind == .regular { added.bytes += Int64(clamping: status.size) }
    return folder
  }

  /// The folder of this layer that the copy goes into: those missing on the way are copied too, without their content.
  private static func copyFolders(
    _ found: LayerStack.Resolved, _ touched: Touched, _ added: inout Added
  ) throws -> OwnedDescriptor {
    var current = try duplicate(found.folders[0].parts[0].folder, found.path[0])
    for (index, folder) in found.folders.enumerated().dropFirst() {
      if folder.parts[0].layer == 0 {
        current = try duplicate(folder.parts[0].folder, found.path[index - 1])
        continue
      }
      let name = found.path[index - 1]
      touched.add(current.rawValue)
      // An earlier link may have made it: the stack was read before.
      let made = name.withTerminated { mkdirat(current.rawValue, $0, 0o700) == 0 ? 0 : errno }
      if made != 0, made != EEXIST { throw Fault(unpacking: name, Errno(rawValue: made)) }
      let result = name.withTerminated {
        openat(current.rawValue, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      }
      if result < 0 { throw Fault(unpacking: name, Errno(rawValue: errno)) }
      current = OwnedDescriptor(result)
      guard made == 0 else { continue }
      added.inodes += 1
      try CopyUp.attributes(of: folder.parts[0].folder, to: current.rawValue, name)
    }
    return current
  }

  /// A second descriptor of a folder that somebody else owns.
  private static func duplicate(_ folder: Int32, _ path: [UInt8]) throws(Fault) -> OwnedDescriptor {
    let result = cl_dup_from(folder, 3)
    if result < 0 { throw Fault(unpacking: path, Errno(rawValue: -result)) }
    return OwnedDescriptor(result)
  }

  private static func opened<Result>(_ path: [UInt8], _ body: () throws(Errno) -> Result) throws(Fault) -> Result {
    do throws(Errno) { return try body() } catch { throw Fault(unpacking: path, error) }
  }
}

/// Folders whose times are put back when they were changed by us alone.
private final class Touched {
  private var folders: [(descriptor: Int32, times: [timespec])] = []

  func add(_ folder: Int32) {
    // A handle may not set times: the folder is opened again.
    let descriptor = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0, let status = try? FileStatus(of: descriptor) else { return Descriptors.close(descriptor) }
    folders.append(
      (descriptor, FileTimes.both(status.modified.seconds, Int64(status.modified.nanoseconds))))
  }

  func restore() {
    // The last first: a folder that was noted twice gets its first time.
    for var folder in folders.reversed() { _ = futimens(folder.descriptor, &folder.times) }
  }

  deinit { for folder in folders { Descriptors.close(folder.descriptor) } }
}

/// Copies one file of a layer into another with all that overlayfs copies: content, owner, mode, attributes, times.
enum CopyUp {
  /// Copies what has the name `name` in `source` and is no folder to the same name in `target`, where it is new.
  static func copy(_ name: [UInt8], from source: Int32, to target: Int32, _ status: FileStatus) throws {
    switch status.kind {
    case .regular: try copyFile(name, from: source, to: target, status)
    case .symbolicLink:
      guard let link = LayerFolders.readLink(source, name) else { throw Fault(unpacking: name, .ioError) }
      try make(name, target, status) { name in
        link.withTerminated { symlinkat($0, target, name) == 0 ? 0 : -errno }
      }
    case .characterDevice, .blockDevice, .fifo, .socket:
      try make(name, target, status) { name in
        cl_mknodat(target, name, status.mode, status.special.major, status.special.minor)
      }
    case .directory, nil: throw Fault(unpacking: name, .isDirectory)
    }
  }

  private static func copyFile(
    _ name: [UInt8], from source: Int32, to target: Int32, _ status: FileStatus
  ) throws {
    let input = name.withTerminated { openat(source, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) }
    if input < 0 { throw Fault(unpacking: name, Errno(rawValue: errno)) }
    let from = OwnedDescriptor(input)
    let output = name.withTerminated {
      openat(target, $0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
    if output < 0 { throw Fault(unpacking: name, Errno(rawValue: errno)) }
    let to = OwnedDescriptor(output)
    try content(from.rawValue, to.rawValue, Int64(clamping: status.size), name)
    try attributes(of: from.rawValue, to: to.rawValue, name)
  }

  private static func content(_ from: Int32, _ to: Int32, _ size: Int64, _ name: [UInt8]) throws {
    // Holes stay holes.
    if ftruncate(to, Int(size)) != 0 { throw Fault(unpacking: name, Errno(rawValue: errno)) }
    var position: off_t = 0
    while position < size {
      let start = lseek(from, position, 3)  // SEEK_DATA
      if start < 0 {
        if errno == ENXIO { return }
        throw Fault(unpacking: name, Errno(rawValue: errno))
      }
      let end = lseek(from, start, 4)  // SEEK_HOLE
      guard end > start, lseek(from, start, SEEK_SET) == start, lseek(to, start, SEEK_SET) == start else {
        throw Fault(unpacking: name, Errno(rawValue: errno))
      }
      var left = Int(end - start)
      while left > 0 {
        let count = cl_copy_file_range(from, to, left)
        if count <= 0 { throw Fault(unpacking: name, count < 0 ? Errno(rawValue: Int32(-count)) : .ioError) }
        left -= count
      }
      position = end
    }
  }

  /// Owner, mode, extended attributes but overlayfs's own, and times of an open file or folder.
  static func attributes(of source: Int32, to target: Int32, _ name: [UInt8]) throws {
    do throws(Errno) {
      let status = try FileStatus(of: source)
      if fchown(target, status.uid, status.gid) != 0 || fchmod(target, status.permissions) != 0 {
        throw Errno(rawValue: errno)
      }
      for attribute in try ExtendedAttributes.names(source) where !OverlayMarks.isReserved(Array(attribute.utf8)) {
        guard let value = try ExtendedAttributes.get(source, attribute) else { continue }
        do throws(Errno) { try ExtendedAttributes.set(target, attribute, value) } catch {
          // What no unprivileged tool may set, a security module's label: the kernel gave the copy its own.
          guard error == .notSupported || error == .notPermitted else { throw error }
        }
      }
      var times = FileTimes.both(status.modified.seconds, Int64(status.modified.nanoseconds))
      if futimens(target, &times) != 0 { throw Errno(rawValue: errno) }
    } catch {
      throw Fault(unpacking: name, error)
    }
  }

  /// Makes a link or node with `body`, and gives it owner, mode and time.
  private static func make(
    _ name: [UInt8], _ target: Int32, _ status: FileStatus, _ body: (UnsafePointer<CChar>) -> Int32
  ) throws {
    let result = name.withTerminated { body($0) }
    if result < 0 { throw Fault(unpacking: name, Errno(rawValue: -result)) }
    var times = FileTimes.both(status.modified.seconds, Int64(status.modified.nanoseconds))
    let failure = name.withTerminated { name in
      if fchownat(target, name, status.uid, status.gid, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0 { return errno }
      // The layer is ours alone until it is shown: nobody exchanges the node for a link here.
      if status.kind != .symbolicLink, fchmodat(target, name, status.permissions, 0) != 0 { return errno }
      return utimensat(target, name, &times, Int32(CL_AT_SYMLINK_NOFOLLOW)) == 0 ? 0 : errno
    }
    if failure != 0 { throw Fault(unpacking: name, Errno(rawValue: failure)) }
  }
}
