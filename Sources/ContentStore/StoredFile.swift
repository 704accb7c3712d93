internal import Faults
internal import FoundationEssentials
internal import Linux
internal import SystemPackage

/// Small files and folders of the store: read as a whole, replaced as a whole.
enum StoredFile {
  /// The bound for `index.json`, which grows with the number of names.
  static let indexLimit = 64 << 20

  /// The whole file, at most `limit` bytes of it.
  static func read(_ path: FilePath, limit: Int = indexLimit) throws(Fault) -> Data {
    try Fault.mapping("read", path) { Data(try Files.read(path.string, limit: limit)) }
  }

  /// The first `count` bytes, or all when there are fewer.
  static func head(_ path: FilePath, _ count: Int) throws(Fault) -> Data {
    try Fault.mapping("read", path) {
      let file = try openat2(nil, path.string, [.readOnly, .noFollow])
      var bytes = [UInt8](repeating: 0, count: count)
      let read = try bytes.withUnsafeMutableBytes { try Descriptors.read(file.rawValue, into: $0) }
      return Data(bytes[..<read])
    }
  }

  /// The last `count` bytes, or all when there are fewer.
  static func tail(_ path: FilePath, _ count: Int) throws(Fault) -> Data {
    try Fault.mapping("read", path) {
      let file = FileDescriptor(rawValue: try openat2(nil, path.string, [.readOnly, .noFollow]).take())
      defer { try? file.close() }
      let size = try file.seek(offset: 0, from: .end)
      var bytes = [UInt8](repeating: 0, count: min(count, Int(size)))
      let read = try bytes.withUnsafeMutableBytes {
        try file.read(fromAbsoluteOffset: size - Int64($0.count), into: $0)
      }
      return Data(bytes[..<read])
    }
  }

  /// Puts `data` in the place of the file at `path`, mode 0600; on disk when it returns.
  static func replace(_ path: FilePath, with data: Data) throws(Fault) {
    try Fault.mapping("write", path) { try DurableFile.write(path, [UInt8](data)) }
  }

  /// Removes what `replace` left in `folder` when its process was killed.
  static func clearTemporaries(_ folder: FilePath) throws(Fault) {
    for name in try names(in: folder) where name.hasPrefix(".") && name.hasSuffix(".tmp") {
      try Fault.mapping("remove", folder.appending(name)) { try Files.unlink(folder.appending(name).string) }
    }
  }

  /// Makes renames in `path` last beyond a loss of power.
  static func syncFolder(_ path: FilePath) throws(Fault) {
    try Fault.mapping("sync the folder", path) { try DurableFile.syncFolder(path) }
  }

  /// The names in a folder, without "." and ".."; none when there is no such folder.
  static func names(in path: FilePath) throws(Fault) -> [String] {
    try Fault.mapping("list", path) {
      do {
        return try Files.list(path.string)
      } catch Errno.noSuchFileOrDirectory {
        return []
      }
    }
  }
}
