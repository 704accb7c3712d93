public import Faults
public import JSONRPC
internal import Linux
public import Protocol
internal import ShimCore

/// The task service itself: most calls go on to the task's shim.
extension TaskManager: TaskService {
  /// Makes a container and, when asked, starts it.
  public func create(
    _ params: TaskAPI.CreateParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.CreateResult {
    try await Self.uncancelled { () async throws(Fault) in try await self.make(params) }
  }

  /// Runs the program of a created container.
  public func start(_ params: TaskAPI.StartParams, _ context: CallContext) async throws(Fault) -> TaskAPI.StartResult {
    let task = try task(params.id)
    let result = try await task.shim().call(ShimAPI.Method.start, .init()) { [self] result in
      task.set(.running, startedAt: LogTime.now().text)
      tell(.start, task, pid: Int32(truncatingIfNeeded: result.pid))
    }
    return TaskAPI.StartResult(pid: result.pid)
  }

  /// Lists all tasks, by name.
  public func list(_ params: TaskAPI.ListParams, _ context: CallContext) async throws(Fault) -> TaskAPI.ListResult {
    let all = tasks.withLock { Array($0.values) }
    return TaskAPI.ListResult(tasks: all.compactMap(\.wireState).sorted { $0.id < $1.id })
  }

  /// One task.
  public func get(_ params: TaskAPI.GetParams, _ context: CallContext) async throws(Fault) -> TaskAPI.GetResult {
    guard let state = try task(params.id).wireState else {
      throw Fault(.notFound, "task \(params.id) is being created")
    }
    return TaskAPI.GetResult(task: state)
  }

  /// Sends a signal.
  public func signal(
    _ params: TaskAPI.SignalParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.SignalResult {
    let task = try task(params.id)
    let call = ShimAPI.SignalParams(exec: params.exec, signal: params.signal, all: params.all)
    try await task.shim().call(ShimAPI.Method.signal, call)
    return TaskAPI.SignalResult()
  }

  /// Freezes all processes of a container.
  public func pause(_ params: TaskAPI.PauseParams, _ context: CallContext) async throws(Fault) -> TaskAPI.PauseResult {
    let task = try task(params.id)
    try await task.shim().call(ShimAPI.Method.pause, .init()) { [self] _ in
      task.set(.paused)
      tell(.pause, task)
    }
    return TaskAPI.PauseResult()
  }

  /// Lets a frozen container go on.
  public func resume(
    _ params: TaskAPI.ResumeParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.ResumeResult {
    let task = try task(params.id)
    try await task.shim().call(ShimAPI.Method.resume, .init()) { [self] _ in
      task.set(.running)
      tell(.resume, task)
    }
    return TaskAPI.ResumeResult()
  }

  /// Answers when a process has ended; at once when it already has.
  public func wait(_ params: TaskAPI.WaitParams, _ context: CallContext) async throws(Fault) -> TaskAPI.WaitResult {
    let task = try task(params.id)
    if let exec = params.exec {
      guard task.snapshot.execs[exec] != nil else {
        throw Fault(.notFound, "task \(params.id) has no exec \(exec)")
      }
      try await task.wait { $0.execs[exec]?.exit != nil || $0.execs[exec] == nil || $0.isGone }
      if let exit = task.snapshot.execs[exec]?.exit { return TaskAPI.WaitResult(exit: exit) }
    } else {
      try await task.wait { $0.outcome != nil || $0.isGone }
      if let outcome = task.snapshot.outcome { return TaskAPI.WaitResult(exit: outcome.exit) }
    }
    throw Fault(.notFound, "task \(params.id) was deleted before its end was known")
  }

  /// Removes a stopped container: its cgroup and its state.
  public func delete(
    _ params: TaskAPI.DeleteParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.DeleteResult {
    let task = try task(params.id)
    let force = params.force ?? false
    let exit = try await Self.uncancelled { () async throws(Fault) in try await self.remove(task, force: force) }
    return TaskAPI.DeleteResult(exit: exit)
  }

  /// Runs `body` to its end also when the caller goes away: what was begun is finished or undone, never left half.
  private static func uncancelled<Result: Sendable>(
    _ body: @escaping @Sendable () async throws(Fault) -> Result
  ) async throws(Fault) -> Result {
    try await Task { () async -> Swift.Result<Result, Fault> in
      do throws(Fault) {
        return .success(try await body())
      } catch {
        return .failure(error)
      }
    }.value.get()
  }

  /// Runs one more process in a running container.
  public func exec(_ params: TaskAPI.ExecParams, _ context: CallContext) async throws(Fault) -> TaskAPI.ExecResult {
    let task = try task(params.id)
    let call = ShimAPI.ExecParams(
      exec: params.exec, process: params.process, stdin: params.stdin, attach: params.attach, hold: params.hold,
      endsWithClient: params.endsWithClient)
    let result = try await task.shim().call(ShimAPI.Method.exec, call) { [self] result in
      let pid = Int32(truncatingIfNeeded: result.pid)
      task.execStarted(params.exec, pid: pid)
      tell(.execStart, task, exec: params.exec, pid: pid)
    }
    return TaskAPI.ExecResult(pid: result.pid, stream: result.stream)
  }

  /// Lets an exec go on when its client goes away.
  public func detach(
    _ params: TaskAPI.DetachParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.DetachResult {
    try await task(params.id).shim().call(ShimAPI.Method.detach, .init(exec: params.exec))
    return TaskAPI.DetachResult()
  }

  /// Promises a stream of a process's input and output.
  public func attach(
    _ params: TaskAPI.AttachParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.AttachResult {
    let call = ShimAPI.AttachParams(
      exec: params.exec, stdin: params.stdin, stdout: params.stdout, stderr: params.stderr)
    let result = try await task(params.id).shim().call(ShimAPI.Method.attach, call)
    return TaskAPI.AttachResult(stream: result.stream)
  }

  /// Sets the size of a terminal.
  public func resize(
    _ params: TaskAPI.ResizeParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.ResizeResult {
    let call = ShimAPI.ResizeParams(exec: params.exec, width: params.width, height: params.height)
    try await task(params.id).shim().call(ShimAPI.Method.resize, call)
    return TaskAPI.ResizeResult()
  }

  /// Ends the input of a process.
  public func closeInput(
    _ params: TaskAPI.CloseInputParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.CloseInputResult {
    try await task(params.id).shim().call(ShimAPI.Method.closeInput, .init(exec: params.exec))
    return TaskAPI.CloseInputResult()
  }

  /// Changes the limits of a container.
  public func update(
    _ params: TaskAPI.UpdateParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.UpdateResult {
    try await task(params.id).shim().call(ShimAPI.Method.update, .init(resources: params.resources))
    return TaskAPI.UpdateResult()
  }

  /// What a container uses.
  public func stats(_ params: TaskAPI.StatsParams, _ context: CallContext) async throws(Fault) -> TaskAPI.StatsResult {
    let result = try await task(params.id).shim().call(ShimAPI.Method.stats, .init())
    return TaskAPI.StatsResult(stats: result.stats)
  }

  /// What the health check of a container found.
  public func health(
    _ params: TaskAPI.HealthParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.HealthResult {
    let result = try await task(params.id).shim().call(ShimAPI.Method.health, .init())
    return TaskAPI.HealthResult(health: result.health)
  }

  /// The processes of a container, as pids of the host.
  public func processes(
    _ params: TaskAPI.ProcessesParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.ProcessesResult {
    let result = try await task(params.id).shim().call(ShimAPI.Method.processes, .init())
    return TaskAPI.ProcessesResult(pids: result.pids)
  }

  /// Sends `task.event` on the caller's connection from now on. In process, use `events` instead.
  public func subscribe(
    _ params: TaskAPI.SubscribeParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.SubscribeResult {
    guard let connection = context.connection else {
      throw Fault(.invalidArgument, "events need a connection: in process, subscribe to TaskManager.events")
    }
    let subscriber = events.subscribe { [weak connection] event in
      connection?.notify(TaskAPI.Notification.event, event) ?? false
    }
    connection.onClose { [weak self] in self?.events.unsubscribe(subscriber) }
    return TaskAPI.SubscribeResult()
  }
}

extension ManagedTask.Snapshot {
  /// How the container ended, once it has.
  var outcome: TaskOutcome? { if case .stopped(let outcome) = stage { outcome } else { nil } }

  /// The shim ended, and nothing can be learned any more.
  var isGone: Bool { removed || (shimEnded && outcome == nil && isCreating) }

  private var isCreating: Bool { if case .creating = stage { true } else { false } }
}

extension ManagedTask {
  /// The task as the protocol has it; nil while it is being created.
  var wireState: TaskState? {
    let snapshot = snapshot
    let execs = snapshot.execs.map { ExecState(exec: $0, pid: Int64($1.pid), exit: $1.exit) }
    let shimPid = Int64(snapshot.shimEnded ? 0 : snapshot.shimPid)
    switch snapshot.stage {
    case .creating: return nil
    case .live(let live):
      return TaskState(
        id: id, pid: Int64(live.pid), status: TaskStatus(rawValue: live.status.rawValue), exit: nil,
        startedAt: live.startedAt, execs: execs, shimPid: shimPid, health: live.health)
    case .stopped(let outcome):
      return TaskState(
        id: id, pid: Int64(outcome.pid), status: .stopped, exit: outcome.exit, startedAt: outcome.startedAt,
        execs: execs, shimPid: shimPid)
    }
  }
}
