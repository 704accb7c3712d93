internal import CLinux
internal import Glibc
public import SystemPackage

/// A copy of an executable in memory that nobody can change any more, shared by all who run it.
///
/// A container that reaches `/proc/PID/exe` of a process of ours finds this copy, not the file on disk (CVE-2019-5736).
public struct SealedExecutable: ~Copyable, Sendable {
  /// The sealed memfd; exec it with `execveat(AT_EMPTY_PATH)`.
  public let descriptor: OwnedDescriptor

  /// Copies the file at `path` and seals the copy.
  public init(copying path: FilePath, name: String) throws(Errno) {
    let source = try openat2(nil, path.string, .readOnly)
    let copy = OwnedDescriptor(
      try check(
        cl_memfd_create(
          name, UInt32(CL_MFD_CLOEXEC) | UInt32(CL_MFD_ALLOW_SEALING) | UInt32(CL_MFD_EXEC))))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = try Descriptors.read(source.rawValue, into: buffer)
      if count == 0 { break }
      try Descriptors.writeAll(copy.rawValue, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
    try check(cl_seal(copy.rawValue))
    descriptor = copy
  }
}
