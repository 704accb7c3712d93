internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Makes sockets that belong to a container's network, without a process in it.
///
/// A socket stays in the network namespace in which it was made. The shim has one thread: it enters the container's
/// namespace, makes the socket and comes back, three system calls in which nothing else happens. It neither keeps a process
/// there nor reads anything of the container's.
final class NamespaceSockets {
  /// The container's namespace and our own; nil when they are the same.
  private let spaces: (container: Int32, own: Int32)?

  /// For the network of the process `pid`, which must run.
  init(pid: Int32) throws(Fault) {
    do {
      let container = try openat2(nil, "/proc/\(pid)/ns/net", .readOnly)
      let own = try openat2(nil, "/proc/self/ns/net", .readOnly)
      let isOurs =
        try FileStatus(of: container.rawValue).inode == FileStatus(of: own.rawValue).inode
      spaces = isOurs ? nil : (container.take(), own.take())
    } catch {
      throw Fault(.conflict, "the network of the container cannot be reached: it has just ended", cause: ["\(error)"])
    }
  }

  deinit {
    if let spaces {
      close(spaces.container)
      close(spaces.own)
    }
  }

  /// A stream socket that does not block.
  func stream(_ family: Int32) throws(Fault) -> OwnedDescriptor {
    if let spaces {
      do throws(Errno) {
        try NamespaceKinds.join(spaces.container, .network)
      } catch {
        throw Fault(.internal, "the network of the container cannot be entered", cause: ["\(error)"])
      }
    }
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let fd = socket(family, kind, 0)
    let error = errno
    // To go on in the container's network would be worse than to end.
    if let spaces, (try? NamespaceKinds.join(spaces.own, .network)) == nil { abort() }
    guard fd >= 0 else {
      throw Fault(.limitExceeded, "no socket can be made for the health check: \(Errno(rawValue: error))")
    }
    return OwnedDescriptor(fd)
  }
}
