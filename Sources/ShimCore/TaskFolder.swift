internal import CLinux
public import Faults
internal import FoundationEssentials
internal import Glibc
public import Linux
public import Protocol
internal import QuickJSON
public import SystemPackage

/// The folder of one task, `STATE/tasks/ID` (0700), and what its files mean:
///
/// ```
/// config.json   the OCI description, without its seccomp section         written by taskd before the shim starts
/// task.json     TaskOptions: everything else that was asked for          written by taskd before the shim starts
/// filter.bpf    the compiled system call filter, when there is one       written by taskd before the shim starts
/// state.json    TaskProgress: the shim, the container's pid              written by the shim when the container exists
/// shim.sock     JSON-RPC with the shim                                   lives as long as the shim
/// io.sock       streams of the container's processes                     lives as long as the shim
/// exit.json     TaskOutcome                                              written by the shim before anyone is told
/// restore.*     CRIU's log and the first pid, after a start from a checkpoint
/// ```
///
/// The folder itself is locked (flock) by the shim as long as it lives: taskd takes the lock before it starts the shim, and
/// the shim inherits it. Unlocked means that no shim is, or will be, at work here.
public struct TaskFolder: Sendable {
  /// The file names above.
  public enum File: String, Sendable {
    case config = "config.json"
    case options = "task.json"
    case filter = "filter.bpf"
    case progress = "state.json"
    case outcome = "exit.json"
    case control = "shim.sock"
    case streams = "io.sock"
  }

  /// The folder's path.
  public let path: FilePath

  /// The folder at `path`, which need not exist.
  public init(_ path: FilePath) { self.path = path }

  /// The path of one of its files.
  public func path(_ file: File) -> FilePath { path.appending(file.rawValue) }

  /// The decoded content of a JSON file; nil when it does not exist. Fails with `corrupt` when it cannot be read.
  public func read<Value: Decodable>(_ file: File, as type: Value.Type) throws(Fault) -> Value? {
    try read(path(file), as: type)
  }

  /// The same of a file elsewhere.
  func read<Value: Decodable>(_ path: FilePath, as type: Value.Type) throws(Fault) -> Value? {
    guard let bytes = try Self.bytes(path) else { return nil }
    if let value = try? QuickDecoder.decode(type, from: bytes) { return value }
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch {
      throw Fault(.corrupt, "\(path) cannot be understood", cause: ["\(error)"])
    }
  }

  /// The bytes of a file; nil when it does not exist.
  public func bytes(_ file: File) throws(Fault) -> [UInt8]? { try Self.bytes(path(file)) }

  private static func bytes(_ path: FilePath) throws(Fault) -> [UInt8]? {
    do {
      return try Files.read(path.string, limit: 16 << 20)
    } catch Errno.noSuchFileOrDirectory {
      return nil
    } catch {
      throw Fault(.internal, "\(path) cannot be read", cause: ["\(error)"])
    }
  }

  /// Writes a JSON file; `whole`: under another name first, then renamed. Not synced: the folder does not outlive a reboot.
  public func write(_ file: File, _ value: some Encodable, whole: Bool = true) throws(Fault) {
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = .withoutEscapingSlashes
      try write(file, bytes: [UInt8](encoder.encode(value)), whole: whole)
    } catch {
      throw Fault(describing: error)
    }
  }

  /// Writes a file; `whole`: under another name first, then renamed, for files that others may be reading.
  public func write(_ file: File, bytes: [UInt8], whole: Bool = true) throws(Fault) {
    do throws(Errno) {
      if whole {
        try DurableFile.write(path(file), bytes, durable: false)
      } else {
        let descriptor = try openat2(nil, path(file).string, [.writeOnly, .create, .truncate], mode: 0o600)
        try bytes.withUnsafeBufferPointer { bytes throws(Errno) in
          try Descriptors.writeAll(descriptor.rawValue, UnsafeRawBufferPointer(bytes))
        }
      }
    } catch {
      let code: FaultCode = error == .noSpace ? .noSpace : error == .readOnlyFileSystem ? .readOnly : .internal
      throw Fault(code, "\(path(file)) cannot be written", cause: ["\(error)"])
    }
  }

  /// The folder, open and locked as long as any copy of the descriptor lives; nil when a shim holds it.
  public func lock() throws(Fault) -> OwnedDescriptor? {
    do throws(Errno) {
      let descriptor = try openat2(nil, path.string, [.readOnly, .directory, .noFollow])
      let result = cl_flock(descriptor.rawValue, LOCK_EX | LOCK_NB)
      if result == -EWOULDBLOCK { return nil }
      if result != 0 { throw Errno(rawValue: -result) }
      return descriptor
    } catch {
      throw Fault(.internal, "the folder \(path) cannot be locked", cause: ["\(error)"])
    }
  }

  /// What a name in the folder of all tasks begins with when its removal has begun.
  public static let goneMark = ".gone-"

  /// Removes the folder and the files in it; what is gone already is no failure.
  ///
  /// The folder is renamed first: a removal that is cut off never looks like a task.
  public func remove() throws(Fault) {
    let name = path.lastComponent?.string ?? ""
    if name.hasPrefix(Self.goneMark) { return try Self.empty(path) }
    let gone = path.removingLastComponent().appending(Self.goneMark + name)
    try Self.empty(gone)
    if rename(path.string, gone.string) != 0 && errno != ENOENT {
      throw Fault(.internal, "the folder \(path) cannot be removed: \(Errno(rawValue: errno))")
    }
    try Self.empty(gone)
  }

  private static func empty(_ folder: FilePath) throws(Fault) {
    for name in (try? Files.list(folder.string)) ?? [] { unlink(folder.appending(name).string) }
    guard rmdir(folder.string) == 0 || errno == ENOENT else {
      throw Fault(.internal, "the folder \(folder) cannot be removed: \(Errno(rawValue: errno))")
    }
  }
}

/// task.json: what was asked for besides the OCI description.
public struct TaskOptions: Codable, Sendable, Equatable {
  public var id: String
  /// The container's cgroup, as `linux.cgroupsPath` gives it.
  public var cgroup: String
  public var rootfs: [MountSpec]
  /// Whether standard input is a pipe that clients can write to; else it is /dev/null.
  public var stdin: Bool
  /// Whether output waits for the first client.
  public var hold: Bool
  public var log: LogOptions?
  /// gantry-logger, when the log is compressed or delivered.
  public var logger: LoggerProgram?
  /// Whether the program runs at once.
  public var start: Bool
  /// Whether a small init of ours is process 1.
  public var useInit: Bool
  /// A client is promised these streams from their first byte.
  public var attach: AttachStreams?
  /// `SECCOMP_FILTER_FLAG_*` for filter.bpf.
  public var filterFlags: UInt32
  /// How the shim finds out whether the container does its work.
  public var health: HealthCheck?
  /// Processes of a checkpoint go on instead of the program being run.
  public var restore: Restore?
  /// The group that may connect to the streams; nil for root alone.
  public var group: UInt32?

  /// Where a checkpoint is and what puts it back.
  public struct Restore: Codable, Sendable, Equatable {
    /// The folder that `task.checkpoint` filled.
    public var folder: String
    /// The executable of CRIU.
    public var criu: String

    public init(folder: String, criu: String) {
      self.folder = folder
      self.criu = criu
    }
  }

  public init(
    id: String, cgroup: String, rootfs: [MountSpec], stdin: Bool = false, hold: Bool = false, log: LogOptions? = nil,
    logger: LoggerProgram? = nil, start: Bool = true, useInit: Bool = false, attach: AttachStreams? = nil,
    filterFlags: UInt32 = 0, health: HealthCheck? = nil, restore: Restore? = nil,
    group: UInt32? = nil
  ) {
    self.id = id
    self.cgroup = cgroup
    self.rootfs = rootfs
    self.stdin = stdin
    self.hold = hold
    self.log = log
    self.logger = logger
    self.start = start
    self.useInit = useInit
    self.attach = attach
    self.filterFlags = filterFlags
    self.health = health
    self.restore = restore
    self.group = group
  }
}

/// How a shim starts gantry-logger.
public struct LoggerProgram: Codable, Sendable, Equatable {
  /// The executable.
  public var path: String
  /// `KEY=value` each: what names credentials and proxies in taskd's own environment.
  public var environment: [String]

  public init(path: String, environment: [String]) {
    self.path = path
    self.environment = environment
  }
}

/// state.json: enough to find and end everything when the shim is gone.
public struct TaskProgress: Codable, Sendable, Equatable {
  public var shimPid: Int32
  /// The container's init, in taskd's pid namespace.
  public var pid: Int32
  /// RFC 3339; absent until the program runs.
  public var startedAt: String?

  public init(shimPid: Int32, pid: Int32, startedAt: String? = nil) {
    self.shimPid = shimPid
    self.pid = pid
    self.startedAt = startedAt
  }
}

/// exit.json: the end of a container and of all execs in it.
public struct TaskOutcome: Codable, Sendable, Equatable {
  public var pid: Int32
  public var startedAt: String?
  public var exit: ExitStatus
  /// By exec id.
  public var execs: [String: ExitStatus]

  public init(pid: Int32, startedAt: String? = nil, exit: ExitStatus, execs: [String: ExitStatus] = [:]) {
    self.pid = pid
    self.startedAt = startedAt
    self.exit = exit
    self.execs = execs
  }
}
