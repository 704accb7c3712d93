internal import CLinux
internal import Glibc
public import SystemPackage

/// Who is at the other end of a Unix socket, as the kernel noted when it connected (SO_PEERCRED).
public struct PeerCredentials: Sendable, Equatable, Hashable {
  /// The process, in the caller's pid namespace (0 when it is not in it).
  public var pid: Int32
  /// The effective user.
  public var uid: UInt32
  /// The effective group.
  public var gid: UInt32

  /// Takes all three.
  public init(pid: Int32, uid: UInt32, gid: UInt32) {
    self.pid = pid
    self.uid = uid
    self.gid = gid
  }

  /// Of a connected socket.
  public init(of socket: Int32) throws(Errno) {
    var pid: Int32 = 0
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    try check(cl_peer_credentials(socket, &pid, &uid, &gid))
    self.init(pid: pid, uid: uid, gid: gid)
  }
}

/// Unix stream sockets by path, pairs, and descriptors sent through them.
public enum UnixSocket {
  /// The kind of a socket.
  public enum Kind: Sendable {
    /// A stream of bytes.
    case stream
    /// Messages that stay whole, with an end of input.
    case sequentialPackets

    fileprivate var type: __socket_type { self == .stream ? SOCK_STREAM : SOCK_SEQPACKET }
  }

  /// A listening socket at `path`, which gets `mode` and the group before anybody can connect.
  ///
  /// The name appears by rename: a socket left by a dead process is replaced, and there is no moment with other rights.
  ///
  /// - Parameters:
  ///   - mode: permissions of the socket, 0660 at most by our rules.
  ///   - gid: the group that may connect; nil leaves the caller's.
  public static func listen(
    path: FilePath, kind: Kind = .stream, mode: UInt32 = 0o600, gid: UInt32? = nil, backlog: Int32 = 1024,
    nonBlocking: Bool = true
  ) throws(Errno) -> OwnedDescriptor {
    let socket = try make(kind.type, nonBlocking: nonBlocking)
    let temporary = path.string + ".new"
    try? Files.unlink(temporary)
    let address = try Address(temporary)
    try check(cl_unix_bind(socket.rawValue, address.path))
    do throws(Errno) {
      if Glibc.chmod(temporary, mode) != 0 { throw Errno(rawValue: errno) }
      if let gid, Glibc.chown(temporary, UInt32.max, gid) != 0 { throw Errno(rawValue: errno) }
      if Glibc.listen(socket.rawValue, backlog) != 0 { throw Errno(rawValue: errno) }
      try Files.rename(temporary, path.string)
    } catch {
      try? Files.unlink(temporary)
      throw error
    }
    return socket
  }

  /// A socket connected to `path`.
  public static func connect(
    path: FilePath, kind: Kind = .stream, nonBlocking: Bool = false
  ) throws(Errno) -> OwnedDescriptor {
    let socket = try make(kind.type, nonBlocking: false)
    let address = try Address(path.string)
    try check(cl_unix_connect(socket.rawValue, address.path))
    if nonBlocking { try Descriptors.setNonBlocking(socket.rawValue, true) }
    return socket
  }

  /// The next connection, close-on-exec; nil when a non-blocking listener has none.
  public static func accept(_ listener: Int32, nonBlocking: Bool = true) throws(Errno) -> OwnedDescriptor? {
    let flags = Int32(SOCK_CLOEXEC.rawValue) | (nonBlocking ? Int32(SOCK_NONBLOCK.rawValue) : 0)
    while true {
      let result = cl_accept(listener, flags)
      if result >= 0 { return OwnedDescriptor(result) }
      switch -result {
      case EAGAIN: return nil
      case EINTR, ECONNABORTED: continue
      default: throw Errno(rawValue: -result)
      }
    }
  }

  /// Two connected sockets, both close-on-exec.
  public static func pair(_ kind: Kind = .stream, nonBlocking: Bool = false) throws(Errno) -> Pair {
    var ends: (Int32, Int32) = (-1, -1)
    let flags = Int32(SOCK_CLOEXEC.rawValue) | (nonBlocking ? Int32(SOCK_NONBLOCK.rawValue) : 0)
    let result = withUnsafeMutableBytes(of: &ends) {
      Glibc.socketpair(
        AF_UNIX, Int32(kind.type.rawValue) | flags, 0, $0.baseAddress!.assumingMemoryBound(to: Int32.self))
    }
    if result != 0 { throw Errno(rawValue: errno) }
    return Pair(OwnedDescriptor(ends.0), OwnedDescriptor(ends.1))
  }

  /// Ends one direction: the peer reads the end of input (`SHUT_WR`).
  public static func shutdownWriting(_ socket: Int32) {
    _ = Glibc.shutdown(socket, Int32(SHUT_WR))
  }

  /// Sends `bytes` (at least one) with up to 64 descriptors. Never raises SIGPIPE.
  @discardableResult
  public static func send(
    _ socket: Int32, _ bytes: UnsafeRawBufferPointer, descriptors: [Int32] = [], nonBlocking: Bool = false
  ) throws(Errno) -> Int {
    try check(
      cl_send_fds(
        socket, bytes.baseAddress, bytes.count, descriptors, Int32(descriptors.count),
        nonBlocking ? 0x40 : 0))
  }

  /// Receives up to `buffer.count` bytes, and the descriptors that came with them (close-on-exec, owned by the caller).
  public static func receive(
    _ socket: Int32, into buffer: UnsafeMutableRawBufferPointer, maximumDescriptors: Int = 0,
    nonBlocking: Bool = false
  ) throws(Errno) -> (count: Int, descriptors: [Int32]) {
    var descriptors = [Int32](repeating: -1, count: maximumDescriptors)
    var number: Int32 = 0
    let count = cl_receive_fds(
      socket, buffer.baseAddress, buffer.count, &descriptors, Int32(maximumDescriptors), &number,
      nonBlocking ? 0x40 : 0)
    try check(count)
    return (count, Array(descriptors.prefix(Int(number))))
  }

  private static func make(_ type: __socket_type, nonBlocking: Bool) throws(Errno) -> OwnedDescriptor {
    let flags = Int32(SOCK_CLOEXEC.rawValue) | (nonBlocking ? Int32(SOCK_NONBLOCK.rawValue) : 0)
    let socket = Glibc.socket(AF_UNIX, Int32(type.rawValue) | flags, 0)
    if socket < 0 { throw Errno(rawValue: errno) }
    return OwnedDescriptor(socket)
  }

  /// A path that fits sockaddr_un's 107 bytes: a longer one goes through a descriptor of its folder.
  private struct Address: ~Copyable {
    let path: String
    private let folder: OwnedDescriptor

    init(_ path: String) throws(Errno) {
      if path.utf8.count <= 107 {
        self.path = path
        folder = OwnedDescriptor(-1)
        return
      }
      let full = FilePath(path)
      folder = try openat2(nil, full.removingLastComponent().string, [.path, .directory])
      self.path = "/proc/self/fd/\(folder.rawValue)/\(full.lastComponent?.string ?? "")"
    }
  }
}

/// Two connected sockets.
@frozen public struct Pair: ~Copyable {
  /// One end.
  public var first: OwnedDescriptor
  /// The other end.
  public var second: OwnedDescriptor

  init(_ first: consuming OwnedDescriptor, _ second: consuming OwnedDescriptor) {
    self.first = first
    self.second = second
  }
}
