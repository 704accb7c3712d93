internal import CLinux
internal import Glibc
public import SystemPackage

/// Compares two folders with all they hold: kinds, modes, owners, contents, links, devices and extended attributes.
/// Follows no link. Times are not compared.
public struct TreeComparison {
  /// How many files were compared.
  public private(set) var files: Int64 = 0
  /// The first difference, in words; nil when there is none.
  public private(set) var difference: String?

  private let isCancelled: () -> Bool

  /// Compares the open folders `left`, which is what should be, and `right`, which is.
  ///
  /// - Parameter passingOver: paths, relative without a leading slash, that may be there in `right` alone.
  public init(
    _ left: Int32, _ right: Int32, passingOver: Set<[UInt8]> = [], isCancelled: @escaping () -> Bool = { false }
  ) throws(Errno) {
    self.isCancelled = isCancelled
    var waiting: [[UInt8]] = [[UInt8(ascii: ".")]]
    while let path = waiting.popLast(), difference == nil {
      if isCancelled() { throw .canceled }
      guard let first = try Self.open(left, path, O_DIRECTORY | O_RDONLY),
        let second = try Self.open(right, path, O_DIRECTORY | O_RDONLY)
      else {
        difference = "\(Self.text(path)) is not a folder any more"
        return
      }
      try compareAttributes(first.rawValue, second.rawValue, path)
      var wanted: [[UInt8]] = []
      try RemoveTree.forEachName(first.rawValue) { name in
        wanted.append(name)
        return true
      }
      let known = Set(wanted)
      try RemoveTree.forEachName(second.rawValue) { [passingOver] name in
        let whole = Self.join(path, name)
        if known.contains(name) || passingOver.contains(Array(whole.dropFirst(2))) { return true }
        difference = "\(Self.text(whole)) is there and should not be"
        return false
      }
      for name in wanted where difference == nil {
        let whole = Self.join(path, name)
        // Deeper than the kernel takes paths nothing is compared: as deep, nothing is measured either.
        if whole.count >= Int(PATH_MAX) { continue }
        if try compare(first.rawValue, second.rawValue, name, whole) { waiting.append(whole) }
      }
    }
  }

  /// Compares one name of two folders; true for a folder, whose content comes later.
  private mutating func compare(_ left: Int32, _ right: Int32, _ name: [UInt8], _ path: [UInt8]) throws(Errno) -> Bool {
    files += 1
    guard let first = try Self.status(left, name) else { throw .noSuchFileOrDirectory }
    guard let second = try Self.status(right, name) else {
      difference = "\(Self.text(path)) is missing"
      return false
    }
    let kind = first.mode & 0o170000
    guard kind == second.mode & 0o170000 else {
      difference = "\(Self.text(path)) is of another kind"
      return false
    }
    guard first.mode == second.mode, first.uid == second.uid, first.gid == second.gid else {
      difference = "\(Self.text(path)) has another mode or owner"
      return false
    }
    switch kind {
    case UInt32(S_IFDIR): return true
    case UInt32(S_IFREG):
      guard first.size == second.size else {
        difference = "\(Self.text(path)) has \(second.size) bytes instead of \(first.size)"
        return false
      }
      guard let a = try Self.open(left, name, O_RDONLY), let b = try Self.open(right, name, O_RDONLY) else {
        difference = "\(Self.text(path)) cannot be opened"
        return false
      }
      if try !Self.isEqual(a.rawValue, b.rawValue, isCancelled) {
        difference = "\(Self.text(path)) has another content"
      } else {
        try compareAttributes(a.rawValue, b.rawValue, path)
      }
    case UInt32(S_IFLNK):
      let a = try Self.link(left, name)
      if try a != Self.link(right, name) { difference = "\(Self.text(path)) leads elsewhere" }
    default:
      if first.special_major != second.special_major || first.special_minor != second.special_minor {
        difference = "\(Self.text(path)) is another device"
      }
    }
    return false
  }

  private mutating func compareAttributes(_ left: Int32, _ right: Int32, _ path: [UInt8]) throws(Errno) {
    let names = try ExtendedAttributes.names(left)
    for name in Set(names).union(try ExtendedAttributes.names(right)).sorted() {
      // Bookkeeping that overlayfs adds to layers as it uses them.
      if ["trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid"].contains(name) { continue }
      if try ExtendedAttributes.get(left, name) != ExtendedAttributes.get(right, name) {
        difference = "the attribute \(name) of \(Self.text(path)) differs"
        return
      }
    }
  }

  private static func isEqual(_ a: Int32, _ b: Int32, _ isCancelled: () -> Bool) throws(Errno) -> Bool {
    let size = 256 << 10
    let buffers = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * size, alignment: 64)
    defer { buffers.deallocate() }
    let first = UnsafeMutableRawBufferPointer(rebasing: buffers[..<size])
    let second = UnsafeMutableRawBufferPointer(rebasing: buffers[size...])
    while true {
      if isCancelled() { throw .canceled }
      let (m, n) = (try fill(a, first), try fill(b, second))
      if m != n || memcmp(first.baseAddress!, second.baseAddress!, m) != 0 { return false }
      if m == 0 { return true }
    }
  }

  /// Reads until the buffer is full or the file ends.
  private static func fill(_ file: Int32, _ buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    var have = 0
    while have < buffer.count {
      let got = try Descriptors.read(file, into: UnsafeMutableRawBufferPointer(rebasing: buffer[have...]))
      if got == 0 { break }
      have += got
    }
    return have
  }

  private static func open(_ folder: Int32, _ path: [UInt8], _ flags: Int32) throws(Errno) -> OwnedDescriptor? {
    let descriptor = path.withTerminated {
      cl_openat2(
        folder, $0, UInt64(flags | O_NOFOLLOW | O_CLOEXEC), 0,
        UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS))
    }
    if descriptor >= 0 { return OwnedDescriptor(descriptor) }
    switch -descriptor {
    case ENOENT, ENOTDIR, ELOOP: return nil
    default: throw Errno(rawValue: -descriptor)
    }
  }

  private static func status(_ folder: Int32, _ name: [UInt8]) throws(Errno) -> cl_stat? {
    var status = cl_stat()
    let result = name.withTerminated { cl_statx(folder, $0, Int32(CL_AT_SYMLINK_NOFOLLOW), &status) }
    if result == -ENOENT { return nil }
    if result < 0 { throw Errno(rawValue: -result) }
    return status
  }

  private static func link(_ folder: Int32, _ name: [UInt8]) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = name.withTerminated { readlinkat(folder, $0, &bytes, bytes.count) }
    if count < 0 { throw Errno(rawValue: errno) }
    return Array(bytes[..<count])
  }

  private static func join(_ path: [UInt8], _ name: [UInt8]) -> [UInt8] { path + [UInt8(ascii: "/")] + name }

  private static func text(_ path: [UInt8]) -> String {
    let shown = path.count > 2 ? path.dropFirst(2) : path[...]
    return String(String(decoding: shown.prefix(400), as: UTF8.self).map { $0.isASCII && $0 < " " ? "?" : $0 })
  }
}
