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
      if params.all == true { try exec.cgroup?.signalAll(number) } else { kill(exec.pid, number) }
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

  /// The pipes of the first process as /proc names them.
  func streams(_ params: ShimAPI.StreamsParams) throws(Fault) -> ShimAPI.StreamsResult {
    try requireRunning("written down", orCreated: true)
    let names = io.pipeNames
    return ShimAPI.StreamsResult(stdin: names.input, stdout: names.output, stderr: names.error)
  }

  /// Ends the shim of a stopped container without waiting for attached clients.
  func shutdown(_ params: ShimAPI.ShutdownParams) throws(Fault) -> ShimAPI.ShutdownResult {
    guard isStopped else {
      throw Fault(.conflict, "container \(options.id) is running: its shim cannot end before it")
    }
    shutDown()
    return ShimAPI.ShutdownResult()
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
