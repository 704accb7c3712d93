internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// How overlayfs marks what a layer hides of the layers below (Documentation/filesystems/overlayfs.rst).
enum OverlayMarks {
  /// Nothing of the folder's content in the layers below is to be seen.
  static func makeOpaque(_ folder: Int32, _ path: [UInt8]) throws(Fault) {
    let result = cl_fsetxattr(folder, "trusted.overlay.opaque", "y", 1, 0)
    if result != 0 { throw Fault(unpacking: path, Errno(rawValue: -result)) }
  }

  /// The same for a folder known by name.
  static func makeOpaque(_ parent: Int32, _ name: [UInt8], _ path: [UInt8]) throws(Fault) {
    let folder = name.withTerminated { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    if folder < 0 { throw Fault(unpacking: path, Errno(rawValue: errno)) }
    defer { close(folder) }
    try makeOpaque(folder, path)
  }

  /// A name that hides what the layers below have under it.
  static func makeWhiteout(_ parent: Int32, _ name: [UInt8], _ path: [UInt8]) throws(Fault) {
    let result = name.withTerminated { cl_mknodat(parent, $0, FileStatus.Kind.characterDevice.rawValue, 0, 0) }
    if result != 0 { throw Fault(unpacking: path, Errno(rawValue: -result)) }
  }

  /// Whether an attribute is one of overlayfs's own, which an image must not bring: `trusted.overlay.redirect` would show
  /// any folder of the layers below in the place of another.
  static func isReserved(_ attribute: [UInt8]) -> Bool {
    attribute.starts(with: Array("trusted.overlay.".utf8)) || attribute.starts(with: Array("user.overlay.".utf8))
  }
}
