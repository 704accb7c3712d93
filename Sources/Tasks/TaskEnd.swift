internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import Logging
internal import Protocol
internal import ShimCore
internal import SystemPackage

/// What shims say, and what happens when they or their containers end.
extension TaskManager {
  /// Takes one event of a shim, on the monitor's thread.
  func heard(_ event: ShimAPI.ShimEvent, _ task: ManagedTask) {
    let pid = event.pid.map { Int32(truncatingIfNeeded: $0) }
    switch event.type {
    case .exit:
      guard let exit = event.exit else { return }
      // exit.json was written before this event was sent, and has the execs too.
      let outcome = (try? task.folder.read(.outcome, as: TaskOutcome.self)) ?? nil
      ended(task, outcome ?? TaskOutcome(pid: pid ?? 0, exit: exit))
    case .execExit:
      guard let exec = event.exec, let exit = event.exit else { return }
      task.execEnded(exec, pid: pid ?? 0, exit)
      tell(.execExit, task, exec: exec, pid: pid, exit: exit, time: event.time)
    case .health:
      guard let health = event.health else { return }
      task.set(health.status)
      tell(.health, task, time: event.time, health: health)
    default:
      tell(TaskAPI.TaskEventType(rawValue: event.type.rawValue), task, exec: event.exec, pid: pid, time: event.time)
    }
  }

  /// The container has ended: the first to know tells.
  func ended(_ task: ManagedTask, _ outcome: TaskOutcome) {
    if task.stopped(outcome) {
      tell(.exit, task, pid: outcome.pid, exit: outcome.exit, time: outcome.exit.finishedAt)
    }
  }

  /// Waits for the end of a shim's process.
  func watch(_ process: consuming PidFD, _ task: ManagedTask) {
    let box = ProcessBox(process)
    let descriptor = box.process.descriptor.rawValue
    task.process = box
    do {
      let token = Promise<UInt64>()
      let number = try monitor.watch(descriptor, .readable) { [weak self, monitor] _ in
        guard let number = token.now else { return }  // not yet: the descriptor stays readable
        monitor.remove(descriptor, token: number)
        guard task.takeProcess() != nil else { return }
        _ = try? box.process.wait(noHang: true)  // reaps a shim that is our child
        task.livingShim?.drain()
        self?.shimEnded(task)
      }
      token.fulfil(number)
    } catch {
      log.error("a shim's end cannot be watched", metadata: ["task": "\(task.id)", "error": "\(error)"])
    }
  }

  /// The shim's process has ended, and all that it said was heard. On the monitor's thread.
  private func shimEnded(_ task: ManagedTask) {
    let shim = task.livingShim
    if task.snapshot.outcome == nil, let outcome = (try? task.folder.read(.outcome, as: TaskOutcome.self)) ?? nil {
      ended(task, outcome)
    }
    if task.snapshot.outcome == nil, case .live(let live) = task.snapshot.stage {
      do {
        try Thread { [self] in
          abandoned(task, live)
          shim?.close()
          task.shimHasEnded()
        }.start()
        return
      } catch {
        abandoned(task, live)
      }
    }
    shim?.close()
    task.shimHasEnded()
  }

  /// A shim was killed: ends what it left and writes the exit that it could not. Blocks for as long as processes need to
  /// die.
  func abandoned(_ task: ManagedTask, _ live: ManagedTask.Live) {
    log.warning("a shim was killed: its container is ended", metadata: ["task": "\(task.id)"])
    let error = Self.clean(cgroup: task.cgroup)
    if let error { log.error("a cgroup is left", metadata: ["task": "\(task.id)", "error": "\(error)"]) }
    // What the shim would have waited for. Ends of shims are seen by pidfd, whoever takes their status.
    while ((try? Children.wait(noHang: true)) ?? nil) != nil {}
    let exit = ExitStatus(
      code: 137, signal: Int64(SIGKILL), oomKilled: false, finishedAt: LogTime.now().text,
      error: "the shim of this container was killed, and the container with it")
    let outcome = TaskOutcome(pid: live.pid, startedAt: live.startedAt, exit: exit)
    do throws(Fault) {
      try task.folder.write(.outcome, outcome)
    } catch {
      log.error("an exit status cannot be written", metadata: ["task": "\(task.id)", "error": "\(error)"])
    }
    ended(task, outcome)
  }

  /// Kills every process of a cgroup and removes it; nil when nothing is left. Blocks.
  static func clean(cgroup path: String) -> Fault? {
    do throws(Fault) {
      let cgroup = try Cgroup.open(path: path)
      try cgroup.killAll()
      _ = cgroup.waitUntilEmpty(withinMilliseconds: 5_000)
      try cgroup.remove(withinMilliseconds: 5_000)
      return nil
    } catch {
      return error.code == .notFound ? nil : error
    }
  }

  /// The connection has ended although the process may live: connects again unless it is about to end.
  func connectionEnded(_ task: ManagedTask) {
    Task { [weak self] in
      for attempt in 0..<50 {
        try? await Task.sleep(for: .milliseconds(5 * (attempt + 1)))
        guard let self, !task.snapshot.shimEnded else { return }
        if (try? await reconnect(task)) != nil { return }
      }
    }
  }

  /// Removes a task; see `task.delete`.
  func remove(_ task: ManagedTask, force: Bool) async throws(Fault) -> ExitStatus? {
    try task.beginDelete()
    do throws(Fault) {
      if case .creating = task.snapshot.stage {
        throw Fault(.conflict, "container \(task.id) is being created: try again")
      }
      if task.snapshot.outcome == nil {
        guard force else {
          throw Fault(.conflict, "container \(task.id) is running: stop it first, or delete it with force")
        }
        try await endContainer(task)
      }
      await endShim(task, graceMilliseconds: force ? 2_000 : 30_000)
      let cgroup = task.cgroup
      if let error = await Thread.run({ Self.clean(cgroup: cgroup) }) { throw error }
      try task.folder.remove()
    } catch {
      task.abandonDelete()
      throw error
    }
    forget(task)
    task.wasRemoved()
    keepShimWaiting()
    return task.snapshot.outcome?.exit
  }

  /// Kills every process of the container and waits for its exit to be known.
  private func endContainer(_ task: ManagedTask) async throws(Fault) {
    if let shim = try? task.shim() {
      _ = try? await shim.call(ShimAPI.Method.signal, .init(signal: Int64(SIGKILL), all: true))
    }
    if await task.waits(milliseconds: 10_000, until: { $0.outcome != nil }) { return }
    // A shim that does not answer is ended: its container dies with it, and what is left is killed by the cgroup.
    log.warning("a shim does not end its container and is killed", metadata: ["task": "\(task.id)"])
    task.killShim()
    guard await task.waits(milliseconds: 15_000, until: { $0.outcome != nil }) else {
      throw Fault(.internal, "container \(task.id) does not end: a process in it waits for a disk or a device")
    }
  }

  /// Lets the shim hand out the last output, then ends it.
  private func endShim(_ task: ManagedTask, graceMilliseconds: Int) async {
    if await task.waits(milliseconds: graceMilliseconds, until: { $0.shimEnded }) { return }
    if let shim = task.livingShim { _ = try? await shim.call(ShimAPI.Method.shutdown, .init()) }
    if await task.waits(milliseconds: 2_000, until: { $0.shimEnded }) { return }
    task.killShim()
    _ = await task.waits(milliseconds: 5_000, until: { $0.shimEnded })
  }

  /// A container that could not be made: waits for its shim's end and leaves nothing.
  func discard(_ task: ManagedTask) async {
    if task.hasProcess {
      if await !task.waits(milliseconds: 5_000, until: { $0.shimEnded }) {
        task.killShim()
        _ = await task.waits(milliseconds: 5_000, until: { $0.shimEnded })
      }
      let cgroup = task.cgroup
      if let error = await Thread.run({ Self.clean(cgroup: cgroup) }) {
        log.error("a cgroup is left", metadata: ["task": "\(task.id)", "error": "\(error)"])
      }
    }
    do throws(Fault) {
      try task.folder.remove()
    } catch {
      log.error("a task folder is left", metadata: ["task": "\(task.id)", "error": "\(error)"])
    }
    forget(task)
    task.wasRemoved()
  }
}

/// Owns a pidfd that several threads look at.
final class ProcessBox: Sendable {
  let process: PidFD
  init(_ process: consuming PidFD) { self.process = process }
}
