internal import Glibc
internal import SystemPackage

/// Owner and mode of a folder of ours.
enum Ownership {
  /// Sets all three; the mode last, because a change of owner clears bits of it.
  static func set(_ descriptor: Int32, uid: UInt32, gid: UInt32, mode: UInt32) throws(Errno) {
    if fchown(descriptor, uid, gid) != 0 || fchmod(descriptor, mode) != 0 { throw Errno(rawValue: errno) }
  }
}
