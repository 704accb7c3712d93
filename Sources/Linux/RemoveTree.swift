internal import CLinux
internal import Glibc
public import SystemPackage

/// Removing whole trees, hostile ones too: fd-relative, never through a symbolic link, with a bounded number of open
/// folders however deep the tree is.
public enum RemoveTree {
  /// How many folders are open at once. Deeper ones are first moved up to the tree's top.
  private static let depthLimit = 64

  /// Removes what has the name `name` in the folder `parent`, with everything in it. Nothing to do when it is not there.
  public static func remove(at parent: Int32, _ name: [UInt8]) throws(Errno) {
    if try unlink(parent, name) { return }
    let folder: OwnedDescriptor
    do throws(Errno) { folder = try open(parent, name) } catch .noSuchFileOrDirectory { return }
    try empty(folder.rawValue)
    try removeEmpty(parent, name)
  }

  /// The same for a name that is text.
  public static func remove(at parent: Int32, _ name: String) throws(Errno) { try remove(at: parent, Array(name.utf8)) }

  /// Removes everything in an open folder, which stays. The descriptor's position is moved.
  public static func empty(_ folder: Int32) throws(Errno) {
    var moved = 0
    while true {
      let names = try list(folder)
      if names.isEmpty { return }
      for name in names { try remove(folder, name, top: folder, depth: 1, &moved) }
    }
  }

  private static let removeFolder = Int32(0x200)

  private static func remove(
    _ parent: Int32, _ name: [UInt8], top: Int32, depth: Int, _ moved: inout Int
  ) throws(Errno) {
    if try unlink(parent, name) { return }
    if depth >= depthLimit {
      // Out of the depth: under a new name to the top, whose loop comes back for it.
      while true {
        moved += 1
        let result = name.withTerminated { name in cl_renameat2(parent, name, top, "\u{1}\(moved)", 1) }
        if result == 0 { return }
        if result != -EEXIST { throw Errno(rawValue: -result) }
      }
    }
    let folder: OwnedDescriptor
    do throws(Errno) { folder = try open(parent, name) } catch .noSuchFileOrDirectory { return }
    while true {
      let names = try list(folder.rawValue)
      if names.isEmpty { break }
      for name in names { try remove(folder.rawValue, name, top: top, depth: depth + 1, &moved) }
    }
    try removeEmpty(parent, name)
  }

  /// Removes a name that is not a folder; says whether that was so (or nothing was there).
  private static func unlink(_ parent: Int32, _ name: [UInt8]) throws(Errno) -> Bool {
    let failure = name.withTerminated { unlinkat(parent, $0, 0) == 0 ? 0 : errno }
    switch failure {
    case 0, ENOENT: return true
    case EISDIR, EPERM: return false
    default: throw Errno(rawValue: failure)
    }
  }

  private static func open(_ parent: Int32, _ name: [UInt8]) throws(Errno) -> OwnedDescriptor {
    let descriptor = name.withTerminated { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    if descriptor < 0 { throw Errno(rawValue: errno) }
    return OwnedDescriptor(descriptor)
  }

  private static func removeEmpty(_ parent: Int32, _ name: [UInt8]) throws(Errno) {
    let failure = name.withTerminated { unlinkat(parent, $0, removeFolder) == 0 ? 0 : errno }
    if failure != 0 && failure != ENOENT { throw Errno(rawValue: failure) }
  }

  /// The names in an open folder as bytes, from its beginning; the first `limit`, or a few more.
  public static func list(_ folder: Int32, limit: Int = 4096) throws(Errno) -> [[UInt8]] {
    var names: [[UInt8]] = []
    try forEachName(folder) { name in
      names.append(name)
      return names.count < limit
    }
    return names
  }

  /// Calls `body` with every name in an open folder, from its beginning, until it says false. Memory stays the same however
  /// many there are.
  public static func forEachName(_ folder: Int32, _ body: ([UInt8]) -> Bool) throws(Errno) {
    if lseek(folder, 0, SEEK_SET) < 0 { throw Errno(rawValue: errno) }
    try withUnsafeTemporaryAllocation(byteCount: FolderEntries.partSize, alignment: 8) { buffer throws(Errno) in
      while try FolderEntries.next(folder, buffer, { body(Array($0)) }) {}
    }
  }
}

extension [UInt8] {
  /// Lends the bytes as a C string. Names and paths of untrusted trees are bytes, not text; a zero byte ends them.
  public func withTerminated<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { buffer in
      UnsafeMutableRawBufferPointer(buffer).copyBytes(from: self)
      buffer[count] = 0
      return body(UnsafePointer(buffer.baseAddress!))
    }
  }
}
