internal import CLinux
internal import Glibc
internal import Linux
internal import SystemPackage

/// Mounts of another container, taken from its own mount namespace.
///
/// The kernel copies a mount only for who is in its namespace, and a path of that container may only be resolved where its
/// links mean what they mean to it: so a short-lived child enters the namespace, copies the mount without following a link,
/// and hands the copy out.
enum ForeignMount {
  /// A detached copy of the mount at `path` as the mount namespace at `namespace` (such as `/proc/12/ns/mnt`) sees it.
  static func clone(_ path: String, namespace: String) throws(Errno) -> OwnedDescriptor {
    let entrance = try openat2(nil, namespace, .readOnly)
    let ends = try UnixSocket.pair(.sequentialPackets)
    var pidfd: Int32 = -1
    let pid = try check(cl_clone3(0, SIGCHLD, -1, &pidfd))
    let theirs = ends.second.rawValue
    if pid == 0 { cl_exit(hand(out: path, entrance.rawValue, channel: theirs)) }
    let process = PidFD(OwnedDescriptor(pidfd))
    Descriptors.close(ends.second.take())
    let channel = ends.first
    let copy: Int32?
    do throws(Errno) {
      copy = try receive(channel.rawValue)
    } catch {
      _ = try? process.wait()
      throw error
    }
    let exit = try process.wait()
    if let copy { return OwnedDescriptor(copy) }
    guard case .exited(let code) = exit, code != 0 else { throw Errno.ioError }
    throw Errno(rawValue: code)
  }

  /// In the child: the errno, or 0.
  private static func hand(out path: String, _ entrance: Int32, channel: Int32) -> Int32 {
    do throws(Errno) {
      try NamespaceKinds.join(entrance, .mount)
      let place = try openat2(nil, path, .path, resolve: [.noSymlinks, .noMagicLinks])
      let copy = try Mounts.clone(at: place.rawValue, "")
      let byte: [UInt8] = [0]
      try byte.withUnsafeBufferPointer { buffer throws(Errno) in
        _ = try UnixSocket.send(channel, UnsafeRawBufferPointer(buffer), descriptors: [copy.rawValue])
      }
      return 0
    } catch {
      return error.rawValue
    }
  }

  /// The descriptor that the child sends; nil when it ends without one.
  private static func receive(_ channel: Int32) throws(Errno) -> Int32? {
    try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { buffer throws(Errno) in
      try UnixSocket.receive(channel, into: buffer, maximumDescriptors: 1).descriptors.first
    }
  }
}
