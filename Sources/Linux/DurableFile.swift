internal import CLinux
internal import Glibc
public import SystemPackage

/// Files that are there whole or not at all, and stay after a power loss.
public enum DurableFile {
  /// Replaces `path` by `bytes`: temporary file beside it → fsync → rename → fsync of the folder.
  ///
  /// - Parameters:
  ///   - durable: false leaves out both fsyncs: still atomic for readers, but not after a power loss (state under /run).
  ///   - mode: the permissions of the new file.
  public static func write(_ path: FilePath, _ bytes: [UInt8], mode: UInt32 = 0o600, durable: Bool = true)
    throws(Errno)
  {
    let folderPath = path.removingLastComponent()
    guard let name = path.lastComponent else { throw Errno.invalidArgument }
    let folder = try openat2(nil, folderPath.isEmpty ? "." : folderPath.string, [.readOnly, .directory])
    let temporary = ".\(name.string).\(UInt64.random(in: 0...UInt64.max)).tmp"
    let file = try openat2(folder.rawValue, temporary, [.writeOnly, .create, .exclusive], mode: mode)
    do throws(Errno) {
      try bytes.withUnsafeBufferPointer { buffer throws(Errno) in
        try Descriptors.writeAll(file.rawValue, UnsafeRawBufferPointer(buffer))
      }
      if durable && Glibc.fsync(file.rawValue) != 0 { throw Errno(rawValue: errno) }
      try Files.rename(at: folder.rawValue, temporary, to: folder.rawValue, name.string)
    } catch {
      try? Files.unlink(at: folder.rawValue, temporary)
      throw error
    }
    if durable && Glibc.fsync(folder.rawValue) != 0 { throw Errno(rawValue: errno) }
  }

  /// fsync of an open file.
  public static func sync(_ descriptor: Int32) throws(Errno) {
    if Glibc.fsync(descriptor) != 0 { throw Errno(rawValue: errno) }
  }

  /// fsync of a folder: names made, removed and renamed in it are on disk afterwards.
  public static func syncFolder(_ path: FilePath) throws(Errno) {
    let folder = try openat2(nil, path.string, [.readOnly, .directory])
    try sync(folder.rawValue)
  }

  /// syncfs(2): everything of the file system that `path` is on.
  public static func syncFileSystem(_ path: FilePath) throws(Errno) {
    let folder = try openat2(nil, path.string, .readOnly)
    try check(cl_syncfs(folder.rawValue))
  }
}
