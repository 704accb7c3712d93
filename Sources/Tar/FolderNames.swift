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
        isAtEnd = try !FolderEntries.next(folder, buffer) { name in
          names.append(Array(name))
          return true
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
