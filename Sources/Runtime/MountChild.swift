internal import CLinux
internal import Glibc
internal import Linux
internal import SystemPackage

/// Mounts that must be made in another mount namespace: a short-lived child makes one there and hands it out detached.
enum MountChild {
  /// What `make` returns in a child, which may leave this process's namespaces.
  ///
  /// - Parameter namespaces: what the child gets of its own at once.
  static func fetch(
    _ namespaces: NamespaceKinds = [], _ make: () throws(Errno) -> OwnedDescriptor
  ) throws(Errno) -> OwnedDescriptor {
    let ends = try UnixSocket.pair(.sequentialPackets)
    let theirs = ends.second.rawValue
    var pidfd: Int32 = -1
    let pid = try check(cl_clone3(namespaces.rawValue, SIGCHLD, -1, &pidfd))
    if pid == 0 { cl_exit(hand(out: make, channel: theirs)) }
    let process = PidFD(OwnedDescriptor(pidfd))
    Descriptors.close(ends.second.take())
    let channel = ends.first
    let made: Int32?
    do throws(Errno) {
      made = try receive(channel.rawValue)
    } catch {
      _ = try? process.wait()
      throw error
    }
    let exit = try process.wait()
    if let made { return OwnedDescriptor(made) }
    guard case .exited(let code) = exit, code != 0 else { throw Errno.ioError }
    throw Errno(rawValue: code)
  }

  /// In the child: the errno, or 0.
  private static func hand(out make: () throws(Errno) -> OwnedDescriptor, channel: Int32) -> Int32 {
    do throws(Errno) {
      let made = try make()
      let byte: [UInt8] = [0]
      try byte.withUnsafeBufferPointer { buffer throws(Errno) in
        _ = try UnixSocket.send(channel, UnsafeRawBufferPointer(buffer), descriptors: [made.rawValue])
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

/// Mounts of another container, taken from its own mount namespace.
///
/// The kernel copies a mount only for who is in its namespace, and a path of that container may only be resolved where its
/// links mean what they mean to it: the child enters the namespace and follows no link.
enum ForeignMount {
  /// A detached copy of the mount at `path` as the mount namespace at `namespace` (such as `/proc/12/ns/mnt`) sees it.
  static func clone(_ path: String, namespace: String) throws(Errno) -> OwnedDescriptor {
    let entrance = try openat2(nil, namespace, .readOnly)
    let number = entrance.rawValue
    return try MountChild.fetch { () throws(Errno) in
      try NamespaceKinds.join(number, .mount)
      let place = try openat2(nil, path, .path, resolve: [.noSymlinks, .noMagicLinks])
      return try Mounts.clone(at: place.rawValue, "")
    }
  }
}
