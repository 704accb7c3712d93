internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Copies a folder's content by descriptor: what a tmpfs covers, into it (`tmpcopyup`).
enum TreeCopy {
  /// Copies plain files, folders and links with owner and mode; devices, sockets and fifos are left out.
  static func copy(from source: Int32, to target: Int32, path: String) throws(Fault) {
    try step("copy \(path) into its tmpfs") { () throws(Errno) in try copy(source, target, depth: 0) }
  }

  private static func copy(_ source: Int32, _ target: Int32, depth: Int) throws(Errno) {
    guard depth < 256 else { throw Errno.tooManySymbolicLinkLevels }
    let folder = try openat2(source, ".", [.readOnly, .directory])
    for name in try Files.list(folder.rawValue) {
      let status = try FileStatus(at: folder.rawValue, name)
      switch status.kind {
      case .directory:
        try Files.makeDirectory(at: target, name, mode: status.permissions)
        let from = try openat2(folder.rawValue, name, [.path, .directory, .noFollow], resolve: .beneath)
        let to = try openat2(target, name, [.path, .directory, .noFollow], resolve: .beneath)
        try copy(from.rawValue, to.rawValue, depth: depth + 1)
      case .regular:
        let from = try openat2(folder.rawValue, name, [.readOnly, .noFollow, .nonBlocking], resolve: .beneath)
        let to = try openat2(target, name, [.writeOnly, .create, .exclusive], mode: status.permissions)
        try copyBytes(from.rawValue, to.rawValue)
      case .symbolicLink:
        let text = try Files.readLink(at: folder.rawValue, name)
        if Glibc.symlinkat(text, target, name) != 0 { throw Errno(rawValue: errno) }
      default: continue
      }
      if Glibc.fchownat(target, name, status.uid, status.gid, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0 {
        throw Errno(rawValue: errno)
      }
      if status.kind != .symbolicLink, Glibc.fchmodat(target, name, status.permissions, 0) != 0 {
        throw Errno(rawValue: errno)
      }
    }
  }

  private static func copyBytes(_ source: Int32, _ target: Int32) throws(Errno) {
    try withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer throws(Errno) in
      while true {
        let count = try Descriptors.read(source, into: buffer)
        if count == 0 { return }
        try Descriptors.writeAll(target, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      }
    }
  }
}
