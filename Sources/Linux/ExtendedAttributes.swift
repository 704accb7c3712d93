internal import CLinux
public import SystemPackage

/// Extended attributes of files.
public enum ExtendedAttributes {
  /// The value of `name` on an open file; nil when it has none.
  public static func get(_ descriptor: Int32, _ name: String) throws(Errno) -> [UInt8]? {
    try value { buffer, size in cl_fgetxattr(descriptor, name, buffer, size) }
  }

  /// The value of `name` on `path`, the link itself; nil when it has none.
  public static func get(_ path: FilePath, _ name: String) throws(Errno) -> [UInt8]? {
    try value { buffer, size in cl_lgetxattr(path.string, name, buffer, size) }
  }

  /// Sets `name` on an open file.
  public static func set(_ descriptor: Int32, _ name: String, _ value: [UInt8]) throws(Errno) {
    try check(cl_fsetxattr(descriptor, name, value, value.count, 0))
  }

  /// Sets `name` on `path`, the link itself.
  public static func set(_ path: FilePath, _ name: String, _ value: [UInt8]) throws(Errno) {
    try check(cl_lsetxattr(path.string, name, value, value.count, 0))
  }

  /// Removes `name` from `path`, the link itself.
  public static func remove(_ path: FilePath, _ name: String) throws(Errno) {
    try check(cl_lremovexattr(path.string, name))
  }

  /// The names on an open file.
  public static func names(_ descriptor: Int32) throws(Errno) -> [String] {
    try split { buffer, size in
      cl_flistxattr(descriptor, buffer?.assumingMemoryBound(to: CChar.self), size)
    }
  }

  /// The names on `path`, the link itself.
  public static func names(_ path: FilePath) throws(Errno) -> [String] {
    try split { buffer, size in
      cl_llistxattr(path.string, buffer?.assumingMemoryBound(to: CChar.self), size)
    }
  }

  private static func value(_ call: (UnsafeMutableRawPointer?, Int) -> Int) throws(Errno) -> [UInt8]? {
    var capacity = 256
    while true {
      var bytes = [UInt8](repeating: 0, count: capacity)
      let count = bytes.withUnsafeMutableBytes { call($0.baseAddress, $0.count) }
      if count == -Int(Errno.outOfRange.rawValue) {
        // Larger than the buffer, and it may still grow between two calls: at most 64 KiB (XATTR_SIZE_MAX).
        if capacity >= 65536 { throw Errno.outOfRange }
        capacity = 65536
        continue
      }
      if count == -Int(Errno.noData.rawValue) { return nil }
      try check(count)
      bytes.removeLast(capacity - count)
      return bytes
    }
  }

  private static func split(_ call: (UnsafeMutableRawPointer?, Int) -> Int) throws(Errno) -> [String] {
    let bytes = try value(call) ?? []
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }
}
