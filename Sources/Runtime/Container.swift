public import Cgroups
public import Faults
public import Linux
public import OCI
public import SystemPackage

/// One step of mounting a container's root file system, as snapshots describe it.
public struct RootfsMount: Sendable, Equatable {
  /// `overlay` or `bind`.
  public var type: String
  /// The folder for a bind; a name otherwise.
  public var source: String
  /// In order; for overlay `lowerdir+=PATH` (topmost first), `upperdir=`, `workdir=`, `volatile`; `ro` for both.
  public var options: [String]

  /// A mount.
  public init(type: String, source: String, options: [String] = []) {
    self.type = type
    self.source = source
    self.options = options
  }
}

/// What a process has as descriptors 0, 1 and 2.
public enum ProcessIO: Sendable {
  /// These, which the caller keeps open until the call returns and then may close.
  case descriptors(input: Int32, output: Int32, error: Int32)
  /// A new terminal of the container's own devpts; the caller gets its master.
  case terminal
}

/// Everything that makes a container.
public struct ContainerRequest: Sendable {
  /// The OCI description. `root.readonly` counts, `root.path` does not: `rootfs` says what the root is.
  public var spec: RuntimeSpec
  /// The root file system. It is mounted in the container's mount namespace only.
  public var rootfs: [RootfsMount]
  /// The compiled system call filter (an array of 8-byte `sock_filter`), or nil for none.
  public var seccompFilter: [UInt8]?
  /// `SECCOMP_FILTER_FLAG_*` for it.
  public var seccompFlags: UInt32
  /// The cgroup that its processes are born in; nil leaves them in the caller's.
  public var cgroup: Cgroup?
  /// Descriptors 0, 1 and 2. `spec.process.terminal` is not read.
  public var io: ProcessIO
  /// Whether a tiny init of ours is process 1, which passes signals on and reaps orphans (`--init`).
  public var useInit: Bool
  /// Whether the program waits for `ContainerProcess.start()`. False is the fast path.
  public var waitForStart: Bool
  /// A listening socket of sequential packets (`ContainerGate.listen`): the program waits for whoever connects to it, in
  /// whatever process, so that the caller may end before. Wins over `waitForStart`.
  public var gate: Int32?
  /// Who the container is to hooks and supervisors; needed with `spec.hooks` and `SCMP_ACT_NOTIFY`.
  public var identity: ContainerIdentity?
  /// Descriptors that become 3 and the following ones of the program.
  public var passedDescriptors: [Int32] = []
  /// Whether the root gets the ids of the container's user namespace; false when its files have them already.
  public var mapsRootfs = true
  /// The folder that the root comes from, where hooks that run before the root is changed will find it.
  public var rootPlace: String?
  /// Whether the program stays in the caller's session keyring.
  public var keepsKeyring = false
  /// False changes the root by chroot, for machines that run from their initramfs. Found out by itself where it must be.
  public var pivots = true
  /// For tests of this package: mount the layers as kernels before 6.8 need it.
  package var forceLegacyOverlay = false

  /// A request.
  public init(
    spec: RuntimeSpec, rootfs: [RootfsMount], seccompFilter: [UInt8]? = nil, seccompFlags: UInt32 = 0,
    cgroup: Cgroup? = nil, io: ProcessIO, useInit: Bool = false, waitForStart: Bool = false
  ) {
    self.spec = spec
    self.rootfs = rootfs
    self.seccompFilter = seccompFilter
    self.seccompFlags = seccompFlags
    self.cgroup = cgroup
    self.io = io
    self.useInit = useInit
    self.waitForStart = waitForStart
  }
}

/// One more process for a running container.
public struct ExecRequest: Sendable {
  /// The program. Rights are what it says, not what the container's init has.
  public var process: RuntimeSpec.Process
  /// The pid of the container's init, as the caller sees it.
  public var containerPID: Int32
  /// The namespaces that the container has of its own (others stay the caller's).
  public var namespaces: [RuntimeSpec.Namespace]
  /// The compiled system call filter, as for the container itself.
  public var seccompFilter: [UInt8]?
  /// `SECCOMP_FILTER_FLAG_*` for it.
  public var seccompFlags: UInt32
  /// The container's cgroup.
  public var cgroup: Cgroup?
  /// The cgroup below it that the exec is born in; nil: beside the container's init.
  public var execCgroup: ExecCgroup?
  /// Descriptors 0, 1 and 2.
  public var io: ProcessIO
  /// The container's description and name; needed for a filter with `SCMP_ACT_NOTIFY`.
  public var container: (spec: RuntimeSpec, identity: ContainerIdentity)?
  /// Descriptors that become 3 and the following ones of the program.
  public var passedDescriptors: [Int32] = []
  /// Whether the program stays in the caller's session keyring.
  public var keepsKeyring = false

  /// A request.
  public init(
    process: RuntimeSpec.Process, containerPID: Int32, namespaces: [RuntimeSpec.Namespace],
    seccompFilter: [UInt8]? = nil, seccompFlags: UInt32 = 0, cgroup: Cgroup? = nil, execCgroup: ExecCgroup? = nil,
    io: ProcessIO
  ) {
    self.process = process
    self.containerPID = containerPID
    self.namespaces = namespaces
    self.seccompFilter = seccompFilter
    self.seccompFlags = seccompFlags
    self.cgroup = cgroup
    self.execCgroup = execCgroup
    self.io = io
  }
}

/// A process of a container: a child of the caller, which must wait for it (`pidFD.wait`).
public struct ContainerProcess: ~Copyable {
  /// Its pid as the caller sees it.
  public let pid: Int32
  /// Readable when it has ended.
  public let pidFD: PidFD
  /// The terminal's master, when one was asked for. Not non-blocking.
  public var console: OwnedDescriptor?
  /// What poststart hooks of a container that runs failed with. The container runs on.
  public private(set) var warnings: [Fault]
  /// Our end of the handshake while the process waits for `start`.
  var channel: OwnedDescriptor?
  private let supervisor: SeccompListener?
  private let hooks: (spec: RuntimeSpec, identity: ContainerIdentity)?

  init(
    pid: Int32, pidFD: consuming PidFD, console: consuming OwnedDescriptor?, channel: consuming OwnedDescriptor? = nil,
    supervisor: SeccompListener? = nil, hooks: (spec: RuntimeSpec, identity: ContainerIdentity)? = nil,
    warnings: [Fault] = []
  ) {
    self.pid = pid
    self.pidFD = pidFD
    self.console = console
    self.channel = channel
    self.supervisor = supervisor
    self.hooks = hooks
    self.warnings = warnings
  }

  /// The master, owned by the caller from now on; nil without a terminal or when it was taken before.
  public mutating func takeConsole() -> OwnedDescriptor? { console.take() }

  /// Lets a container that was made with `waitForStart` run its program, and waits until exec has succeeded.
  ///
  /// Fails with what stopped the program (`commandNotFound`, `commandNotExecutable`, …); the process has then been
  /// waited for. `conflict` when it has been started before.
  public mutating func start() throws(Fault) {
    guard let channel = channel.take() else { throw Fault(.conflict, "the container has been started before") }
    try Launch.letRun(channel.rawValue, pid: pid, pidfd: pidFD.descriptor.rawValue, supervisor)
    if let hooks { warnings += Hooks.started(hooks.spec, hooks.identity, pid: pid) }
  }
}

/// Where a container waits that one process makes and another one starts.
public enum ContainerGate {
  /// The socket for `ContainerRequest.gate`, at `path` in a folder that only root can enter.
  public static func listen(_ path: FilePath) throws(Fault) -> OwnedDescriptor {
    try step("make the socket \(path)") { () throws(Errno) in
      try UnixSocket.listen(path: path, kind: .sequentialPackets, backlog: 16, nonBlocking: false)
    }
  }

  /// Whether a container waits there. It goes on waiting.
  public static func isWaiting(_ path: FilePath) -> Bool {
    (try? UnixSocket.connect(path: path, kind: .sequentialPackets)) != nil
  }

  /// Lets the container that waits at `path` run its program; returns when it runs and poststart hooks have run.
  ///
  /// - Parameters:
  ///   - process: its first process, of which `pid` is the number.
  /// - Returns: what poststart hooks failed with; the container runs on.
  ///
  /// Fails as `ContainerProcess.start` does, and then the process is killed; `conflict` when nothing waits there.
  public static func start(
    _ path: FilePath, process: borrowing PidFD, pid: Int32, spec: RuntimeSpec, identity: ContainerIdentity,
    filterFlags: UInt32
  ) throws(Fault) -> [Fault] {
    let supervisor = try SeccompListener(flags: filterFlags, spec: spec, identity: identity)
    let socket = try step("start the container: it does not wait for a start", code: .conflict) { () throws(Errno) in
      try UnixSocket.connect(path: path, kind: .sequentialPackets)
    }
    try Launch.letRun(socket.rawValue, pid: pid, pidfd: process.descriptor.rawValue, supervisor)
    return Hooks.started(spec, identity, pid: pid)
  }
}

/// Making containers and running programs in them.
///
/// The caller must have one thread: between clone and exec the child runs Swift, which is safe only where no other thread
/// can hold a lock. Both calls assert it. They block until the program runs (some milliseconds) and reap a child that
/// failed. Apart from the returned process they leave nothing: what was mounted ends with the container's namespace.
public enum Container {
  /// Makes a container and, unless `waitForStart`, runs its program. See `Init` for each step and what it is against.
  ///
  /// Faults: `commandNotFound` and `commandNotExecutable` for the program, `invalidArgument` for the description,
  /// `unsupported` for what this kernel or version cannot do, `internal` for what the kernel refused unexpectedly.
  ///
  /// - Parameter meanwhile: the caller's own work that need not wait for the child, done while it sets itself up. A fault of
  ///   it ends the child.
  public static func create(
    _ request: ContainerRequest, meanwhile: () throws(Fault) -> Void = {}
  ) throws(Fault) -> ContainerProcess {
    try Launch.container(request, meanwhile: meanwhile)
  }

  /// Runs one more program in the container: its namespaces, cgroup and root, the same security steps in the same order.
  ///
  /// `conflict` when the container is not running; otherwise as `create`.
  public static func exec(_ request: ExecRequest) throws(Fault) -> ContainerProcess {
    try Launch.exec(request)
  }
}
