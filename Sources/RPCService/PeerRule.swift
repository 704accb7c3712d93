internal import Glibc
public import Linux

/// Who may talk to a service: root, the user that the service runs as, and the members of one group.
public struct PeerRule: Sendable {
  /// The group; nil for none.
  public var gid: UInt32?
  /// The user that the service runs as.
  public var uid: UInt32

  /// Root, `uid` (the process's own user unless given) and the members of `gid`.
  public init(gid: UInt32? = nil, uid: UInt32? = nil) {
    self.gid = gid
    self.uid = uid ?? geteuid()
  }

  /// The peer of a connected socket when it may talk to us, nil when not (or when the kernel cannot say who it is).
  public func admit(_ socket: Int32) -> PeerCredentials? {
    guard let peer = try? PeerCredentials(of: socket) else { return nil }
    if peer.uid == 0 || peer.uid == uid { return peer }
    guard let gid else { return nil }
    return peer.gid == gid || Self.groups(of: socket).contains(gid) ? peer : nil
  }

  /// The peer's further groups as they were when it connected (SO_PEERGROUPS, Linux 4.13).
  private static func groups(of socket: Int32) -> [gid_t] {
    let peerGroups: Int32 = 59
    var size = socklen_t(0)
    // The first call fails with ERANGE and tells the size.
    _ = getsockopt(socket, SOL_SOCKET, peerGroups, nil, &size)
    guard size > 0, size <= 65_536 * 4 else { return [] }
    var groups = [gid_t](repeating: gid_t.max, count: Int(size) / MemoryLayout<gid_t>.size)
    guard getsockopt(socket, SOL_SOCKET, peerGroups, &groups, &size) == 0 else { return [] }
    return Array(groups.prefix(Int(size) / MemoryLayout<gid_t>.size))
  }
}
