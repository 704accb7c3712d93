internal import CLinux
internal import Glibc
public import SystemPackage

/// The names in an open folder, part by part, as getdents64(2) gives them.
public enum FolderEntries {
  /// Room for one part.
  public static let partSize = 32_768

  /// Reads the next part into `buffer` and calls `body` with each name but `.` and `..`, until it says false.
  ///
  /// The bytes are valid during the call only. Returns whether to go on: false at the folder's end, or when `body` said so.
  public static func next(
    _ folder: Int32, _ buffer: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Bool
  ) throws(Errno) -> Bool {
    let count = try check(cl_getdents(folder, buffer.baseAddress, buffer.count))
    var offset = 0
    while offset < count {
      // struct linux_dirent64: u64 inode, s64 offset, u16 record length, u8 type, then the name.
      let length = Int(buffer.loadUnaligned(fromByteOffset: offset + 16, as: UInt16.self))
      let record = UnsafeRawBufferPointer(rebasing: buffer[(offset + 19)..<(offset + length)])
      let name = UnsafeRawBufferPointer(rebasing: record.prefix { $0 != 0 })
      offset += length
      if !isDots(name), !body(name) { return false }
    }
    return count > 0
  }

  private static func isDots(_ name: UnsafeRawBufferPointer) -> Bool {
    name.count <= 2 && name.allSatisfy { $0 == UInt8(ascii: ".") }
  }
}
