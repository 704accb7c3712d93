public import Faults
public import JSONRPC
public import Logging
public import SystemPackage

/// How a service was started: its command line, read.
public struct ServiceOptions: Sendable {
  /// Name of the program: `gantry-imaged`.
  public var name: String
  /// Name of the socket in the state folder: `image.sock`.
  public var socket: String
  /// Name of the service's own folder in the root folder: `image`.
  public var folder: String
  /// `--root`: what must outlive a restart of the machine.
  public var root: FilePath
  /// `--state`: what need not.
  public var state: FilePath
  /// `--group`: name or number of the group that may connect.
  public var group: String?
  /// `--log-level`: `trace` … `critical`.
  public var logLevel: String

  /// Takes everything; the folders are Gantry's usual ones.
  public init(
    name: String, socket: String, folder: String, root: FilePath = "/var/lib/gantry", state: FilePath = "/run/gantry",
    group: String? = nil, logLevel: String = "info"
  ) {
    self.name = name
    self.socket = socket
    self.folder = folder
    self.root = root
    self.state = state
    self.group = group
    self.logLevel = logLevel
  }
}

/// What a service finds when it starts: its folders exist, and nobody else uses them.
public struct ServiceContext: Sendable {
  /// How it was started.
  public let options: ServiceOptions
  /// The service's own folder in the root folder, 0700, locked for this process.
  public let folder: FilePath
  /// The group that may connect; nil for root alone.
  public let gid: UInt32?
  /// Where to log.
  public let logger: Logger

  /// `--root`
  public var root: FilePath { options.root }
  /// `--state`
  public var state: FilePath { options.state }
  /// Who may connect.
  public var peers: PeerRule { PeerRule(gid: gid) }

  /// A server of byte streams on the socket of that name in the state folder.
  public func streamServer(_ socket: String) throws(Fault) -> StreamServer {
    try StreamServer(path: state.appending(socket), peers: peers, gid: gid)
  }
}

/// What a service gives back when it is ready to be called.
public struct ServiceParts: Sendable {
  /// Its methods.
  public var table: RPCTable
  /// Milliseconds for a call that brings no deadline of its own.
  public var deadlineMilliseconds: Int
  /// Runs when the service stops, after the last call.
  public var onShutdown: @Sendable () async -> Void
  /// Runs on SIGHUP, on a thread that may wait: reads the configuration again.
  public var onReload: @Sendable () -> Void

  /// Takes everything.
  public init(
    table: RPCTable, deadlineMilliseconds: Int = 60_000, onShutdown: @escaping @Sendable () async -> Void = {},
    onReload: @escaping @Sendable () -> Void = {}
  ) {
    self.table = table
    self.deadlineMilliseconds = deadlineMilliseconds
    self.onShutdown = onShutdown
    self.onReload = onReload
  }
}
