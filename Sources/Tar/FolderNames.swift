internal import CLinux
internal import Linux
package import SystemPackage

/// The names in an open folder, a few thousand at a time, each part in the order of its bytes: memory is bounded however
/// many there are, and an ordinary folder comes in order.
package struct FolderNames {
  /// The most names at a time.
  static let limit = 4096
  private var isAtEnd = false
  private var rest: [[UInt8]] = []

  /// Begins where the folder's descriptor is.
  package init() {}

  /// The next names; empty at the end.
  package mutating func next(_ folder: Int32) throws(Errno) -> [[UInt8]] {
    var names = rest
    rest = []
    try withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 8) { buffer throws(Errno) in
      while !isAtEnd, names.count < Self.limit {
        let count = try check(cl_getdents(folder, buffer.baseAddress, buffer.count))
        if count == 0 { isAtEnd = true }
        var offset = 0
        while offset < count {
          // struct linux_dirent64: u64 inode, s64 offset, u16 record length, u8 type, then the name.
          let length = Int(buffer.loadUnaligned(fromByteOffset: offset + 16, as: UInt16.self))
          let record = UnsafeRawBufferPointer(rebasing: buffer[(offset + 19)..<(offset + length)])
          let name = Array(record.prefix { $0 != 0 })
          offset += length
          if name != [dot], name != [dot, dot] { names.append(name) }
        }
      }
    }
    if names.count > Self.limit {
      rest = Array(names[Self.limit...])
      names.removeLast(names.count - Self.limit)
    }
    names.sort { $0.lexicographicallyPrecedes($1) }
    return names
  }
}
