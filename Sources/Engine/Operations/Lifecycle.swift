import Faults
import Protocol

extension Engine {
  /// Docker's time between the stop signal and the kill.
  static let stopTimeout = 10

  /// Asks a container to end and, when it does not within its time, ends it. Returns when it has ended.
  func stop(_ container: Container, signal: String?, timeout: Int?) async throws {
    await startFinished(container)
    if await cancelRestart(container) { return publish("stop", container) }
    guard container.state.running != nil else {
      throw Fault(.notModified, "Container \(container.name) is not running")
    }
    await noteStopByHand(container)
    try await end(container, signal: signal, timeout: timeout)
    publish("stop", container)
  }

  /// Ends a running container as `stop` does; what follows its end is its restart policy's.
  func end(_ container: Container, signal: String?, timeout: Int?) async throws {
    guard let run = container.state.running else { return }
    let config = container.definition.config
    let wanted = [signal, config.stopSignal].compactMap { $0 }.first { !$0.isEmpty } ?? "SIGTERM"
    let number = try Signals.number(wanted)
    let seconds = timeout ?? config.stopTimeout.map { Int($0) } ?? Self.stopTimeout
    try await deliver(number, to: container)
    if seconds < 0 {
      _ = try await container.wait(.endOfRun(run.startedAt))
    } else {
      var inTime = false
      if seconds > 0 { inTime = try await ended(container, run, within: seconds) }
      if !inTime {
        try await deliver(9, to: container)
        _ = try await ended(container, run, within: 60)
      }
    }
    if container.state.running?.startedAt == run.startedAt {
      throw Fault(
        .deadlineExceeded,
        "Container \(container.name) did not end after SIGKILL: its processes hang in the kernel; see /proc/\(run.pid)/stack"
      )
    }
  }

  /// Sends a signal to the init of a running container; thaws it when it is frozen. An ended one is fine.
  private func deliver(_ signal: Int, to container: Container) async throws {
    guard container.state.running != nil else { return }
    publish("kill", container, ["signal": String(signal)])
    let sent = try await allowing(.notFound, .conflict) {
      try await tasks.signal(.init(id: container.id, exec: nil, signal: Int64(signal), all: nil))
    }
    guard sent != nil, case .paused = container.state else { return }  // else it ended meanwhile
    try await allowing(.notFound, .conflict) {
      _ = try await tasks.resume(.init(id: container.id))
      try? container.resume { publish("unpause", container.definition, name: $0) }
    }
  }

  /// Waits while a container is being started, as one that fails and is started again and again often is.
  private func startFinished(_ container: Container) async {
    if case .starting = container.state { await container.lane.run {} }
  }

  /// Whether a run of the container ends within that time.
  func ended(
    _ container: Container, _ run: ContainerState.Running, within seconds: Int
  ) async throws -> Bool {
    try await withThrowingTaskGroup(of: Bool.self) { group in
      group.addTask {
        _ = try await container.wait(.endOfRun(run.startedAt))
        return true
      }
      group.addTask {
        try await self.clock.sleep(for: .seconds(seconds))
        return false
      }
      defer { group.cancelAll() }
      return try await group.next() ?? false
    }
  }

  /// Sends a signal, as `docker kill`.
  func kill(_ container: Container, signal: String?) async throws {
    let number = try Signals.number(signal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGKILL")
    let stopSignal = try Signals.number(
      container.definition.config.stopSignal.flatMap { $0.isEmpty ? nil : $0 } ?? "TERM")
    // Other signals are words between a person and the program: its end is then its own.
    let isStop = number == 9 || number == stopSignal
    await startFinished(container)
    if isStop, await cancelRestart(container) { return }
    guard let run = container.state.running else {
      if case .restarting = container.state { throw ContainerState.isRestarting(container.name) }
      throw Fault(
        .conflict, "cannot kill container: \(container.name): container \(container.id) is not running")
    }
    if isStop { await noteStopByHand(container) }
    publish("kill", container, ["signal": String(number)])
    let sent = try await allowing(.notFound) {
      try await tasks.signal(.init(id: container.id, exec: nil, signal: Int64(number), all: nil))
    }
    guard sent != nil else {
      throw Fault(.conflict, "cannot kill container: \(container.name): container \(container.id) is not running")
    }
    if number == 9 {
      if case .paused = container.state {
        _ = try? await tasks.resume(.init(id: container.id))
      }
      // As Docker: a kill has happened when the call returns.
      _ = try await ended(container, run, within: 10)
    }
  }

  /// Stops a container when it runs, and starts it.
  func restart(_ container: Container, signal: String?, timeout: Int?) async throws {
    // `--rm` means the end that is not followed by a start at once.
    container.keep(true)
    do {
      try await allowing(.notModified) { try await stop(container, signal: signal, timeout: timeout) }
      _ = try await start(container, attach: nil)
    } catch {
      container.keep(false)
      if container.definition.autoRemove, case .exited(let exit) = container.state {
        await autoRemove(container, before: exit)
      }
      throw error
    }
    publish("restart", container)
  }

  /// Freezes all processes of a container.
  func pause(_ container: Container) async throws {
    try await container.lane.run {
      _ = try container.state.pausing(container.name)
      _ = try await tasks.pause(.init(id: container.id))
      try container.pause { publish("pause", container.definition, name: $0) }
    }
  }

  /// Lets them go on.
  func unpause(_ container: Container) async throws {
    try await container.lane.run {
      _ = try container.state.resuming(container.name)
      _ = try await tasks.resume(.init(id: container.id))
      try container.resume { publish("unpause", container.definition, name: $0) }
    }
  }

  /// Gives a container another name.
  func rename(_ container: Container, to name: String) async throws {
    let new = name.hasPrefix("/") ? String(name.dropFirst()) : name
    guard Names.isValid(new) else {
      throw Fault(.invalidArgument, "Invalid container name (\(new)), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    }
    try await container.lane.run {
      let old = container.name
      guard new != old else {
        throw Fault(.invalidArgument, "Renaming a container with the same name as its current name")
      }
      try directory.reserve(name: new, for: container.id)
      do {
        try await store.rename(id: container.id, name: new)
      } catch {
        directory.release(name: new, of: container.id)
        throw error
      }
      container.rename(new) { publish("rename", container.definition, name: $0, ["oldName": "/" + old]) }
      directory.release(name: old, of: container.id)
    }
  }

  /// Waits for a container, or remembers how one ended that is gone.
  func wait(_ reference: String, condition: Container.Condition) async throws -> WaitResult {
    if let result = tombstones[reference], directory.container(id: reference) == nil { return result }
    return try await directory.resolve(reference).wait(condition)
  }

  /// Removes a container with everything that belongs to it.
  func remove(_ container: Container, force: Bool, volumes: Bool) async throws {
    // Not in the lane: a start that hangs must not keep it from being removed by force. `beginRemoval` lets one in alone.
    if case .starting = container.state {
      guard force else { throw Fault(.conflict, "cannot remove container \"\(container.name)\": it is being started") }
      await container.lane.run {}
    }
    let before = try container.beginRemoval(force: force)
    pending.cancel(Self.restarting(container.id))
    pending.cancel(Self.unhealthy(container.id))
    try await finishRemoval(container, wasRunning: before.running != nil, volumes: volumes)
  }

  /// Takes apart a container that is in `removing`; also the rest of what an earlier engine began.
  func finishRemoval(_ container: Container, wasRunning: Bool, volumes: Bool) async throws {
    let definition = container.definition
    await container.cleanupDone()
    var going: [String] = []
    do {
      // With this row, a kill of the engine leaves a removal that goes on, not half a container.
      try await store.update(
        id: container.id, state: container.state, restarts: container.restarts, durable: false)
      if wasRunning {
        publish("kill", container, ["signal": "9"])
      }
      let exit = try await deleteTaskNow(container.id)
      if wasRunning, let exit { await exited(container, pid: nil, .init(exit)) }
      async let snapshot: Void = removeSnapshotsNow(definition.snapshotKeys)
      do {
        try definition.files.remove()
      } catch {
        try? await snapshot
        throw error
      }
      try await snapshot
      going = self.volumes.endUse(definition, removing: volumes)
      // Not durable: should a power failure bring the row back, removing it once more does no harm.
      try await store.delete(id: container.id, dooming: going, durable: false)
    } catch {
      for name in going { self.volumes.removalFailed(name) }
      _ = self.volumes.use(definition.volumeNames, by: container.id)
      let fault = Fault(describing: error)
      container.removalFailed(fault.message)
      try? await store.update(
        id: container.id, state: container.state, restarts: container.restarts, durable: false)
      throw fault.wrapped("cannot remove container \"\(container.name)\": remove it again when the cause is gone")
    }
    userNamespaces.release(container.id)
    tombstones.add(container.id, WaitResult(code: container.state.last?.code ?? 0))
    directory.remove(id: container.id, name: container.name)
    container.announceRemoval { publish("destroy", definition, name: $0) }
    execs.containerRemoved(container.id)
    released(definition)
    try await removeVolumes(going)
  }
}

extension ContainerState.Exited {
  /// The task service's words for an end.
  init(_ exit: ExitStatus) {
    self.init(
      code: Int(exit.code), startedAt: nil, finishedAt: Timestamp(rfc3339: exit.finishedAt) ?? .now(),
      oomKilled: exit.oomKilled, error: exit.error ?? "")
  }
}
