public import Faults
internal import Linux
internal import Logging
internal import Protocol
internal import ShimCore
internal import SystemPackage

/// Finding again what an earlier task service left: living shims, ended containers, half-made ones.
extension TaskManager {
  /// Reads every task folder. Call once, before the first call is served.
  ///
  /// - a locked folder belongs to a living shim: connect to it and ask (a shim that is just starting gets 10 s);
  /// - `exit.json` is a container that has ended;
  /// - `state.json` without it is one whose shim was killed: what it left is ended, and that is its exit;
  /// - anything else was never finished: cleaned.
  ///
  /// A folder that cannot be read is left and reported.
  public func recover() async throws(Fault) {
    keepShimWaiting()
    let names: [String]
    do {
      names = try Files.list(tasksFolder.string)
    } catch {
      throw Fault(.internal, "the folder \(tasksFolder) cannot be read", cause: ["\(error)"])
    }
    await withTaskGroup(of: Void.self) { group in
      for name in names where name != "lock" {
        group.addTask {
          do throws(Fault) {
            try await self.recover(name)
          } catch {
            self.log.error("a task cannot be taken over", metadata: ["task": "\(name)", "error": "\(error)"])
          }
        }
      }
    }
  }

  private func recover(_ id: String) async throws(Fault) {
    let folder = folder(of: id)
    if id.hasPrefix(TaskFolder.goneMark) { return try folder.remove() }
    for attempt in 0..<200 {
      if let lock = try folder.lock() {
        try await takeOver(id, folder)
        _ = consume lock
        return
      }
      let options = (try? folder.read(.options, as: TaskOptions.self)) ?? nil
      if let options {
        let task = ManagedTask(id: id, folder: folder, cgroup: options.cgroup)
        if (try? await reconnect(task)) != nil {
          try insert(task)
          return
        }
      }
      try? await Task.sleep(for: .milliseconds(attempt < 50 ? 10 : 60))
    }
    throw Fault(.unavailable, "a shim holds \(folder.path), but does not answer: it is left alone")
  }

  /// Takes over a folder without a shim.
  private func takeOver(_ id: String, _ folder: TaskFolder) async throws(Fault) {
    let progress = try folder.read(.progress, as: TaskProgress.self)
    let outcome = try folder.read(.outcome, as: TaskOutcome.self)
    guard progress != nil || outcome != nil else {
      // Its files may be cut off too: then no shim has read them, and there is nothing but the folder.
      log.info("a container that was never finished is cleaned", metadata: ["task": "\(id)"])
      if let options = (try? folder.read(.options, as: TaskOptions.self)) ?? nil,
        let fault = await Thread.run({ Self.clean(cgroup: options.cgroup) })
      {
        throw fault
      }
      return try folder.remove()
    }
    guard let options = try folder.read(.options, as: TaskOptions.self) else {
      throw Fault(.corrupt, "\(folder.path(.options)) is missing: the folder is left as it is")
    }
    let task = ManagedTask(id: id, folder: folder, cgroup: options.cgroup)
    task.shimHasEnded()
    try insert(task)
    if let outcome {
      _ = task.stopped(outcome)
      // A shim that was killed between its exit.json and its end has left the cgroup.
      if let fault = await Thread.run({ Self.clean(cgroup: options.cgroup) }) {
        log.error("a cgroup is left", metadata: ["task": "\(id)", "error": "\(fault)"])
      }
    } else if let progress {
      let live = ManagedTask.Live(pid: progress.pid, status: .running, startedAt: progress.startedAt)
      await Thread.run { self.abandoned(task, live) }
    }
  }

  /// Connects to a living shim and takes its word for the state.
  func reconnect(_ task: ManagedTask) async throws(Fault) {
    let socket = try Self.unavailable(task.id) { () throws(Errno) in
      try UnixSocket.connect(path: task.folder.path(.control))
    }
    let pid = try Self.unavailable(task.id) { () throws(Errno) in try PeerCredentials(of: socket.rawValue).pid }
    let process = try Self.unavailable(task.id) { () throws(Errno) in try PidFD(pid: pid) }
    let handle = try ShimHandle(id: task.id, socket: socket, monitor: monitor) { [weak self] event in
      self?.heard(event, task)
    } onEnd: { [weak self] in
      self?.connectionEnded(task)
    }
    try await handle.call(ShimAPI.Method.state, .init()) { [self] result in
      task.connected(handle, pid: pid)
      task.learn(result.task)
      if let exit = result.task.exit {
        ended(
          task,
          TaskOutcome(pid: Int32(truncatingIfNeeded: result.task.pid), startedAt: result.task.startedAt, exit: exit))
      }
    }
    if task.process == nil { watch(process, task) }
  }

  private static func unavailable<Result: ~Copyable>(
    _ id: String, _ body: () throws(Errno) -> Result
  ) throws(Fault) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw Fault(.unavailable, "the shim of container \(id) cannot be reached", cause: ["\(error)"])
    }
  }
}

extension ManagedTask {
  /// Takes a shim's own word for the state.
  func learn(_ state: TaskState) {
    for exec in state.execs {
      let pid = Int32(truncatingIfNeeded: exec.pid)
      execStarted(exec.exec, pid: pid)
      if let exit = exec.exit { execEnded(exec.exec, pid: pid, exit) }
    }
    if let status = Live.Status(rawValue: state.status.rawValue) {
      became(
        Live(
          pid: Int32(truncatingIfNeeded: state.pid), status: status, startedAt: state.startedAt, health: state.health))
    }
  }
}
