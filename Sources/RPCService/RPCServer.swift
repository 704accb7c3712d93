public import Faults
internal import Glibc
public import JSONRPC
internal import Linux
public import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
public import SystemPackage

/// How a server treats its callers.
public struct RPCServerOptions: Sendable {
  /// Who may connect.
  public var peers: PeerRule
  /// Milliseconds for a call that brings no deadline of its own.
  public var deadlineMilliseconds: Int
  /// Requests of one connection that may wait for their answers.
  public var requestLimit: Int
  /// Bytes of one line.
  public var lineLimit: Int
  /// Group of the socket file; nil leaves the service's own.
  public var gid: UInt32?
  /// Gives memory back after a while without calls: for a process that is this service and nothing else.
  public var trimsWhenIdle = false

  /// Usual limits: 60 s, 1,024 requests, 16 MiB.
  public init(
    peers: PeerRule = PeerRule(), deadlineMilliseconds: Int = 60_000, requestLimit: Int = 1024,
    lineLimit: Int = WireLimit.line, gid: UInt32? = nil
  ) {
    self.peers = peers
    self.deadlineMilliseconds = deadlineMilliseconds
    self.requestLimit = requestLimit
    self.lineLimit = lineLimit
    self.gid = gid
  }
}

/// Serves one table of methods on a Unix socket. One bad peer never stops it: every failure ends with its connection.
public final class RPCServer: Sendable {
  private let core: ServerCore
  private let channel: any Channel
  private let path: FilePath
  private let inode: UInt64

  /// Listens on `path` (0660) and serves at once. A socket file left by a dead service is replaced.
  ///
  /// - Throws: `.locked` when a living service answers there.
  public init(
    _ table: RPCTable, path: FilePath, options: RPCServerOptions = RPCServerOptions(), logger: Logger
  ) async throws(Fault) {
    let core = ServerCore(table: table, options: options, logger: logger)
    self.core = core
    self.path = path
    if let other = try? UnixSocket.connect(path: path) {
      _ = consume other
      throw Fault(.locked, "another service answers on \(path): stop it, or give this one a --state of its own")
    }
    do {
      let socket = try UnixSocket.listen(path: path, mode: 0o660, gid: options.gid)
      inode = Self.inode(of: path) ?? 0
      channel = try await ServerBootstrap(group: RPCLoop.shared)
        .serverChannelOption(.backlog, value: 1024)
        .childChannelOption(.autoRead, value: false)
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        .childChannelOption(.maxMessagesPerRead, value: 4)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try core.adopt(channel) }
        }
        .withBoundSocket(socket.take())
        .get()
    } catch let error as Errno {
      throw Fault(.internal, "cannot listen on \(path)", cause: ["\(error)"])
    } catch {
      throw Fault(.internal, "cannot listen on \(path)", cause: ["\(error)"])
    }
  }

  /// Connections that are open.
  public var connectionCount: Int { core.connections.withLock { $0.count } }

  /// Takes nothing new, lets running calls finish for up to `milliseconds`, then closes what is left.
  public func shutDown(within milliseconds: Int = 10_000) async {
    try? await channel.close().get()
    if Self.inode(of: path) == inode { unlink(path.string) }
    let open = core.connections.withLock { Array($0.values) }
    for connection in open { connection.finish() }
    let deadline = Deadline.after(milliseconds: milliseconds)
    while connectionCount > 0, !deadline.hasPassed { try? await Task.sleep(nanoseconds: 10_000_000) }
    for connection in core.connections.withLock({ Array($0.values) }) { connection.close() }
  }

  private static func inode(of path: FilePath) -> UInt64? {
    var status = stat()
    return lstat(path.string, &status) == 0 ? UInt64(status.st_ino) : nil
  }
}

/// What all connections of a server share.
final class ServerCore: Sendable {
  let table: RPCTable
  let options: RPCServerOptions
  let logger: Logger
  let idle: IdleTrim?
  let connections = Mutex<[ObjectIdentifier: ServerConnection]>([:])

  init(table: RPCTable, options: RPCServerOptions, logger: Logger) {
    self.table = table
    self.options = options
    self.logger = logger
    idle = options.trimsWhenIdle ? IdleTrim(loop: RPCLoop.shared.next()) : nil
  }

  /// Checks who connects, on the loop of the new channel.
  func adopt(_ channel: any Channel) throws {
    let peer = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
      options.peers.admit($0)
    }
    guard let peer = peer ?? nil else {
      logger.warning("refused a connection: the caller is neither root nor in the socket's group")
      throw Fault(.permissionDenied, "the caller may not use this service")
    }
    let connection = ServerConnection(server: self, peer: peer, loop: channel.eventLoop)
    connections.withLock { $0[ObjectIdentifier(connection)] = connection }
    do {
      try channel.pipeline.syncOperations.addHandler(connection.handler(for: channel))
    } catch {
      ended(connection)
      throw error
    }
  }

  func ended(_ connection: ServerConnection) {
    _ = connections.withLock { $0.removeValue(forKey: ObjectIdentifier(connection)) }
  }

  /// The one place where calls are logged; mutating ones always, with the caller's uid.
  func record<T>(
    _ method: String, _ traits: RPCTraits, _ peer: PeerCredentials?, since start: Deadline, _ outcome: Result<T, Fault>
  ) {
    idle?.noteCall()
    let level: Logger.Level = traits.isMutating ? .info : .debug
    guard logger.logLevel <= level else { return }
    let microseconds = (Deadline.now.nanoseconds - start.nanoseconds) / 1000
    var metadata: Logger.Metadata = [
      "method": .string(method), "uid": .stringConvertible(peer?.uid ?? .max),
      "pid": .stringConvertible(peer?.pid ?? 0),
      "ms": .string("\(microseconds / 1000).\(String(1000 + microseconds % 1000).dropFirst())"),
    ]
    switch outcome {
    case .success: metadata["outcome"] = "ok"
    case .failure(let fault):
      metadata["outcome"] = .string(fault.code.rawValue)
      metadata["fault"] = .string(fault.description)
    }
    logger.log(level: level, traits.isMutating ? "audit" : "call", metadata: metadata)
  }
}
