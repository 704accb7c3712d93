internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Protocol
internal import Runtime
internal import SystemPackage

/// What taskd can ask of the shim: the same verbs as the task service's, for one container.
extension Shim: ShimHandler {
  /// The container's state, as kept by the shim.
  func state(_ params: ShimAPI.StateParams) throws(Fault) -> ShimAPI.StateResult {
    ShimAPI.StateResult(
      task: TaskState(
        id: options.id, pid: Int64(process.pid), status: status, exit: exit, startedAt: startedAt,
        execs: execs.map { ExecState(exec: $0, pid: Int64($1.pid), exit: $1.exit) }, shimPid: Int64(getpid()),
        health: isStopped ? nil : health?.status))
  }

  /// Runs the program of a created container.
  func start(_ params: ShimAPI.StartParams) throws(Fault) -> ShimAPI.StartResult {
    try start()
    return ShimAPI.StartResult(pid: Int64(process.pid))
  }

  /// Sends a signal to init, an exec, or with `all` to every process.
  func signal(_ params: ShimAPI.SignalParams) throws(Fault) -> ShimAPI.SignalResult {
    guard (0...64).contains(params.signal) else {
      throw Fault(.invalidArgument, "\(params.signal) is no signal: give 1 to 64")
    }
    let number = Int32(params.signal)
    if let id = params.exec {
      let exec = try runningExec(id)
      kill(exec.pid, number)
      return ShimAPI.SignalResult()
    }
    try requireRunning("sent a signal")
    if params.all == true {
      try cgroup.signalAll(number)
    } else {
      do throws(Errno) {
        try process.pidFD.signal(number)
      } catch {
        throw Fault(.conflict, "container \(options.id) has just ended", cause: ["\(error)"])
      }
    }
    if number == SIGKILL, case .paused = phase {
      // A frozen process dies only when it thaws.
      try? cgroup.thaw()
      phase = .running
      health?.resume()
    }
    return ShimAPI.SignalResult()
  }

  /// Freezes every process.
  func pause(_ params: ShimAPI.PauseParams) throws(Fault) -> ShimAPI.PauseResult {
    switch phase {
    case .running: break
    case .paused: throw Fault(.conflict, "container \(options.id) is already paused")
    case .created, .stopped: throw Fault(.conflict, "container \(options.id) is not running: it cannot be paused")
    }
    try cgroup.freeze()
    phase = .paused
    health?.pause()
    return ShimAPI.PauseResult()
  }

  /// Lets a paused container go on.
  func resume(_ params: ShimAPI.ResumeParams) throws(Fault) -> ShimAPI.ResumeResult {
    guard case .paused = phase else { throw Fault(.conflict, "container \(options.id) is not paused") }
    try cgroup.thaw()
    phase = .running
    health?.resume()
    return ShimAPI.ResumeResult()
  }

  /// Runs one more process in the container.
  func exec(_ params: ShimAPI.ExecParams) throws(Fault) -> ShimAPI.ExecResult {
    switch phase {
    case .running: break
    case .paused:
      throw Fault(.conflict, "container \(options.id) is paused: unpause it before running a command in it")
    case .created, .stopped: throw Fault(.conflict, "container \(options.id) is not running")
    }
    guard execs[params.exec] == nil else {
      throw Fault(.alreadyExists, "container \(options.id) has an exec \(params.exec) already")
    }
    if params.attach != nil { try streams.requireRoom() }
    let terminal = params.process.terminal ?? false
    let ends = try StdioEnds(terminal: terminal, stdin: params.stdin)
    var request = ExecRequest(
      process: params.process, containerPID: process.pid, namespaces: spec.linux?.namespaces ?? [],
      seccompFilter: filter, seccompFlags: options.filterFlags, cgroup: cgroup, io: ends.io)
    if request.seccompFlags != 0 {
      request.container = (spec, ContainerIdentity(id: options.id, bundle: folder.path.string))
    }
    var child = try started(request)
    let ours = try ends.ours(console: child.takeConsole())
    let attach = params.attach
    let io = ProcessStdio(
      stdin: ours.stdin, stdout: ours.stdout, stderr: ours.stderr, terminal: terminal, log: nil,
      held: params.hold == true || attach != nil, loop: loop, scratch: scratch)
    execs[params.exec] = Exec(pid: child.pid, io: io)
    io.begin()
    if io.isHeld { loop.after(milliseconds: 10_000) { io.releaseHold() } }
    let stream: StreamAddress? =
      if let attach { address(of: try promise(attach, io: io, primary: true)) } else { nil }
    return ShimAPI.ExecResult(pid: Int64(child.pid), stream: stream)
  }

  /// Starts an exec. When it fails because the container is ending, that is what is said.
  func started(_ request: ExecRequest) throws(Fault) -> ContainerProcess {
    do throws(Fault) {
      return try Container.exec(request)
    } catch {
      // An init that is ending waits for the exec's own end first: give it a moment to be seen.
      var events: UInt32 = 0
      let ended = try? Polling.wait(
        process.pidFD.descriptor.rawValue, for: .readable, milliseconds: error.code == .internal ? 20 : 0,
        events: &events)
      guard ended == true else { throw error }
      throw Fault(.conflict, "container \(options.id) has just ended", cause: [error.message] + error.cause)
    }
  }

  /// A stream address for one more client of init or an exec.
  func attach(_ params: ShimAPI.AttachParams) throws(Fault) -> ShimAPI.AttachResult {
    let target: ProcessStdio
    if let id = params.exec {
      guard let io = try runningExec(id).io else { throw Fault(.conflict, "exec \(id) has ended") }
      target = io
    } else {
      try requireRunning("attached to", orCreated: true)
      target = io
    }
    let selection = AttachStreams(stdin: params.stdin, stdout: params.stdout, stderr: params.stderr)
    return ShimAPI.AttachResult(stream: address(of: try promise(selection, io: target, primary: false)))
  }

  /// Sets a terminal's size.
  func resize(_ params: ShimAPI.ResizeParams) throws(Fault) -> ShimAPI.ResizeResult {
    guard let width = UInt16(exactly: params.width), let height = UInt16(exactly: params.height) else {
      throw Fault(.invalidArgument, "a terminal cannot have \(params.width) columns and \(params.height) lines")
    }
    let target = if let id = params.exec { try runningExec(id).io } else { io }
    guard target?.resize(width: width, height: height) == true else {
      throw Fault(
        .conflict, "\(params.exec.map { "exec \($0)" } ?? "container \(options.id)") has no terminal to resize")
    }
    return ShimAPI.ResizeResult()
  }

  /// Ends a process's standard input.
  func closeInput(_ params: ShimAPI.CloseInputParams) throws(Fault) -> ShimAPI.CloseInputResult {
    if let id = params.exec { try runningExec(id).io?.closeInput() } else { io.closeInput() }
    return ShimAPI.CloseInputResult()
  }

  /// Sets the limits that are given, leaving the others.
  func update(_ params: ShimAPI.UpdateParams) throws(Fault) -> ShimAPI.UpdateResult {
    try requireRunning("updated", orCreated: true)
    try cgroup.update(params.resources)
    return ShimAPI.UpdateResult()
  }

  /// The cgroup's counters.
  func stats(_ params: ShimAPI.StatsParams) throws(Fault) -> ShimAPI.StatsResult {
    try requireRunning("measured", orCreated: true)
    return ShimAPI.StatsResult(stats: TaskStats(cgroup.statistics()))
  }

  /// What the health check found.
  func health(_ params: ShimAPI.HealthParams) throws(Fault) -> ShimAPI.HealthResult {
    try requireRunning("asked for its health", orCreated: true)
    return ShimAPI.HealthResult(health: health?.state)
  }

  /// The pids of all processes, in the host's pid namespace.
  func processes(_ params: ShimAPI.ProcessesParams) throws(Fault) -> ShimAPI.ProcessesResult {
    try requireRunning("listed", orCreated: true)
    return ShimAPI.ProcessesResult(pids: cgroup.processes().map(Int64.init))
  }

  /// Ends the shim of a stopped container without waiting for attached clients.
  func shutdown(_ params: ShimAPI.ShutdownParams) throws(Fault) -> ShimAPI.ShutdownResult {
    guard isStopped else {
      throw Fault(.conflict, "container \(options.id) is running: its shim cannot end before it")
    }
    shutDown()
    return ShimAPI.ShutdownResult()
  }

  private func runningExec(_ id: String) throws(Fault) -> Exec {
    guard let exec = execs[id] else { throw Fault(.notFound, "container \(options.id) has no exec \(id)") }
    guard exec.exit == nil else { throw Fault(.conflict, "exec \(id) of container \(options.id) has ended") }
    return exec
  }

  private func requireRunning(_ participle: String, orCreated: Bool = true) throws(Fault) {
    guard !isStopped else {
      throw Fault(.conflict, "container \(options.id) is not running: it cannot be \(participle)")
    }
  }

  func address(of token: String) -> StreamAddress {
    StreamAddress(socket: folder.path(.streams).string, token: token)
  }

  /// Ends the container first, when `force` is given, and then the shim.
  func delete(_ params: ShimAPI.DeleteParams) throws(Fault) -> ShimAPI.DeleteResult {
    if !isStopped && params.force == true {
      try cgroup.killAll()
      try? process.pidFD.signal(SIGKILL)
      ending = true  // the loop ends once the exit has been taken and written
      return ShimAPI.DeleteResult()
    }
    _ = try shutdown(ShimAPI.ShutdownParams())
    return ShimAPI.DeleteResult(exit: exit)
  }

  private var exit: ExitStatus? { if case .stopped(let exit) = phase { exit } else { nil } }

  private var status: TaskStatus {
    switch phase {
    case .created: .created
    case .running: .running
    case .paused: .paused
    case .stopped: .stopped
    }
  }
}

extension TaskStats {
  /// The cgroup's counters as the protocol has them; a counter beyond 2^63 reads as 2^63 - 1.
  init(_ from: CgroupStatistics) {
    func whole(_ value: UInt64) -> Int64 { Int64(clamping: value) }
    self.init(
      cpu: CPUUsage(
        usage: whole(from.cpu.usage), user: whole(from.cpu.user), system: whole(from.cpu.system),
        perProcessor: from.cpu.perProcessor?.map(whole), periods: whole(from.cpu.periods),
        throttledPeriods: whole(from.cpu.throttledPeriods), throttledTime: whole(from.cpu.throttledTime)),
      memory: MemoryUsage(
        usage: whole(from.memory.usage), maximumUsage: from.memory.maximumUsage.map(whole),
        limit: from.memory.limit.map(whole), swapUsage: from.memory.swapUsage.map(whole),
        swapLimit: from.memory.swapLimit.map(whole), failures: whole(from.memory.failures),
        oomKills: whole(from.memory.oomKills), detail: from.memory.detail.mapValues(whole)),
      pids: ProcessUsage(current: whole(from.pids.current), limit: from.pids.limit.map(whole)),
      blockIO: from.blockIO.map {
        BlockIOUsage(
          major: whole($0.major), minor: whole($0.minor), operation: $0.operation, bytes: whole($0.bytes),
          operations: whole($0.operations))
      },
      hugePages: from.hugePages.map {
        HugePageUsage(pageSize: $0.pageSize, usage: whole($0.usage), failures: whole($0.failures))
      },
      cgroupVersion: Int64(from.cgroupVersion))
  }
}
