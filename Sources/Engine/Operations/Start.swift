import Faults
import FoundationEssentials
import JSONRPC
import OCI
import Protocol

extension Engine {
  /// Starts a container; `made` is its specification and the mounts of its snapshot, when they were just made.
  ///
  /// With `checkpoint`, its processes go on instead of the program being run.
  ///
  /// - Returns: the address of its streams, when `attach` asked for them.
  func start(
    _ container: Container, made: (spec: RuntimeSpec, mounts: [MountSpec])? = nil, attach: AttachStreams?,
    checkpoint: (name: String, folder: String?)? = nil
  ) async throws -> StreamAddress? {
    try await container.lane.run {
      let before = container.state
      if checkpoint != nil, before.running != nil {
        throw Fault(.conflict, "Container \(container.name) is running: stop it before it starts from a checkpoint")
      }
      try await container.beginStart()
      await container.cleanupDone()
      let created: TaskAPI.CreateResult
      do {
        created = try await createTask(container, made, attach: attach, checkpoint: checkpoint)
      } catch let fault as Fault where fault.code == .alreadyExists {
        created = try await replaceTask(container, attach: attach, checkpoint: checkpoint, before)
      } catch {
        await startFailed(container, before, Fault(describing: error))
        throw error
      }
      let early = await container.didStart(pid: Int(created.pid), at: .now())
      if attach != nil { publish("attach", container) }
      publish("start", container)
      let state = container.state
      if early == nil, !container.definition.autoRemove {
        // The task service knows that it runs; the row is for the time after a reboot.
        let store = self.store
        background.run { try? await store.updateRunning(id: container.id, state: state) }
      }
      if let early { await exited(container, pid: nil, early) }
      return created.stream
    }
  }

  /// A task of the container is there already: one that an engine that was killed had asked for, and that nobody has heard
  /// of. It makes room for this one.
  private func replaceTask(
    _ container: Container, attach: AttachStreams?, checkpoint: (name: String, folder: String?)?,
    _ before: ContainerState
  ) async throws -> TaskAPI.CreateResult {
    do {
      _ = try await deleteTaskNow(container.id)
      return try await createTask(container, nil, attach: attach, checkpoint: checkpoint)
    } catch {
      await startFailed(container, before, Fault(describing: error))
      throw error
    }
  }

  private func createTask(
    _ container: Container, _ made: (spec: RuntimeSpec, mounts: [MountSpec])?, attach: AttachStreams?,
    checkpoint: (name: String, folder: String?)?
  ) async throws -> TaskAPI.CreateResult {
    let definition = container.definition
    let (spec, rootfs): (RuntimeSpec, [MountSpec])
    if let made {
      (spec, rootfs) = made
    } else {
      try prepareSources(definition)
      (spec, rootfs) = (try builder.build(specInput(definition)), try await snapshotMounts(definition))
    }
    let log = try LogSettings(definition.hostConfig)
    var restore: (path: String, temporary: String?)?
    if let checkpoint { restore = try await restoreFolder(container, checkpoint, spec) }
    defer { if let temporary = restore?.temporary { try? Folders.removeTree(temporary) } }
    return try await tasks.create(
      TaskAPI.CreateParams(
        id: definition.id, spec: spec, rootfs: rootfs, stdin: definition.config.openStdin ?? false,
        hold: attach == nil ? nil : true,
        log: log.disabled
          ? nil
          : LogOptions(path: definition.files.log, maxSize: log.maxSize, maxFiles: Int64(log.maxFiles), labels: nil),
        start: true, attach: attach, annotations: nil, seccomp: try seccomp(definition.hostConfig),
        restore: restore?.path),
      CallContext(deadline: restore == nil ? nil : .after(seconds: Self.mostSecondsToRestore)))
  }

  /// A large checkpoint takes its time.
  private static let mostSecondsToRestore = 600

  private func seccomp(_ host: HostConfig) throws -> SeccompChoice {
    switch try SecurityOptions(host).seccomp {
    case .standard: return SeccompChoice(profile: "default")
    case .unconfined: return SeccompChoice(profile: "unconfined")
    case .custom(let text):
      guard case .object(let document)? = try? JSONValue(parsing: Data(text.utf8)) else {
        throw Fault(.invalidArgument, "SecurityOpt: the seccomp profile is no JSON object")
      }
      return SeccompChoice(profile: "custom", document: .object(document))
    }
  }

  /// The mounts of an existing container's snapshot.
  private func snapshotMounts(_ definition: ContainerDefinition) async throws -> [MountSpec] {
    let found = try await allowing(.notFound) { try await snapshots.mounts(.init(key: definition.id)).mounts }
    guard let found else {
      throw Fault(.notFound, "the file system of container \(definition.id) is gone: remove the container")
    }
    return found
  }

  /// The start failed: whatever the task service has of it is taken away, and the container is as Docker leaves it:
  /// not running, with exit code 127, 126 or 128.
  private func startFailed(_ container: Container, _ before: ContainerState, _ fault: Fault) async {
    let code: Int
    switch fault.code {
    case .commandNotFound: code = 127
    case .commandNotExecutable: code = 126
    default: code = 128
    }
    let cleanup = background.run { [self] in await deleteTask(container.id) }
    await container.setCleanup(cleanup)
    let exit = ContainerState.Exited(
      code: code, startedAt: before.last?.startedAt, finishedAt: .now(), error: fault.message)
    await container.startFailed(exit)
    if container.definition.autoRemove {
      await autoRemove(container, before: exit)
    } else if container.definition.oneShot, before == .created, fault.code == .unavailable {
      finishLater(container)  // `run` was cut short by a service, and its caller never learnt the id
    } else {
      try? await store.update(id: container.id, state: container.state, durable: false)
    }
  }

  /// Handles the end of a container's init, however it was learnt: state, row, events, and those who wait, in that order.
  func exited(_ container: Container, pid: Int?, _ exit: ContainerState.Exited) async {
    guard let state = await container.noteExit(pid: pid, exit), let ended = state.last else { return }
    execs.containerEnded(container.id)
    if ended.oomKilled, !container.noteOOM() { publish("oom", container) }
    let seconds = ended.startedAt.map { max(0, ended.finishedAt.seconds - $0.seconds) } ?? 0
    publish("die", container, ["exitCode": String(ended.code), "execDuration": String(seconds)])
    if case .removing = state {
      await container.announceExit(ended)
      return  // who removes it does the rest
    }
    if container.definition.autoRemove {
      await autoRemove(container, before: ended)
      return
    }
    do {
      try await store.update(id: container.id, state: state, durable: false)
    } catch {
      log.error("cannot write that a container ended", metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
    let cleanup = background.run { [self] in await deleteTask(container.id) }
    await container.setCleanup(cleanup)
    await container.announceExit(ended)
  }

  /// Takes an ended `--rm` container out at once (row, name), answers who waits, and cleans up beside that.
  private func autoRemove(_ container: Container, before ended: ContainerState.Exited) async {
    let definition = container.definition
    guard (try? await container.beginRemoval(force: true)) != nil else { return }
    do {
      try await store.delete(id: definition.id, doomVolumes: definition.hasVolumes, durable: false)
    } catch {
      log.error("cannot delete a container's row", metadata: ["container": "\(definition.id)", "error": "\(error)"])
    }
    tombstones.add(definition.id, WaitResult(code: ended.code, error: ended.error))
    directory.remove(id: definition.id, name: container.name)
    await container.announceRemoval()
    publish("destroy", container)
    execs.containerRemoved(definition.id)
    background.run { [self] in
      await deleteTask(definition.id)
      await removeSnapshots([definition.id])
      await removeHostFiles(definition, volumes: true)
      released(definition)
    }
  }

  /// Deletes a task, trying again while the task service is away.
  func deleteTask(_ id: String) async {
    await retrying("delete the task", id) { [tasks] in
      // A conflict says that another delete runs: it is waited for by asking again.
      try await allowing(.notFound) { try await tasks.delete(.init(id: id, force: true)) }
    }
  }

  /// Deletes a task for somebody who waits; its end, when it still ran. A service that is just restarted is waited for.
  func deleteTaskNow(_ id: String) async throws -> ExitStatus? {
    var attempt = 0
    while true {
      do {
        return try await allowing(.notFound) { try await tasks.delete(.init(id: id, force: true)).exit } ?? nil
      } catch let fault as Fault {
        attempt += 1
        guard attempt < 60, fault.code == .unavailable || fault.code == .conflict else { throw fault }
        try? await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  /// Removes snapshots, trying again while the snapshot service is away.
  func removeSnapshots(_ keys: [String]) async {
    await retrying("remove the snapshot", keys.first ?? "") { [snapshots] in
      try await allowing(.notFound) { try await snapshots.remove(.init(keys: keys)) }
    }
  }

  /// Removes a snapshot for somebody who waits.
  func removeSnapshotNow(_ key: String) async throws {
    var attempt = 0
    while true {
      do {
        try await allowing(.notFound) { try await snapshots.remove(.init(keys: [key])) }
        return
      } catch let fault as Fault {
        attempt += 1
        guard attempt < 60, fault.code == .unavailable else { throw fault }
        try? await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  /// Runs `body` until it succeeds, fails for good, or 60 tries found its service away; what is left then is found by the
  /// next `load`.
  private func retrying(_ what: String, _ id: String, _ body: @Sendable () async throws -> Void) async {
    for attempt in 0..<60 {
      do {
        try await body()
        return
      } catch {
        let fault = Fault(describing: error)
        guard [.unavailable, .deadlineExceeded, .conflict].contains(fault.code) else {
          log.error("cannot \(what)", metadata: ["id": "\(id)", "error": "\(fault)"])
          return
        }
        if background.isClosing { return }
        try? await Task.sleep(for: .milliseconds(min(1000, 50 << min(attempt, 5))))
      }
    }
    log.error("cannot \(what): its service stayed away", metadata: ["id": "\(id)"])
  }

  /// Deletes the files and, when asked, the anonymous volumes of a container that is gone.
  func removeHostFiles(_ definition: ContainerDefinition, volumes: Bool) async {
    do {
      try definition.files.remove()
      if volumes { try await removeVolumes(definition.mounts.compactMap(\.volume)) }
    } catch {
      log.error("cannot delete a container's files", metadata: ["container": "\(definition.id)", "error": "\(error)"])
    }
  }

  /// Deletes anonymous volumes, folder by folder, and then their rows.
  func removeVolumes(_ ids: [String]) async throws {
    for id in ids { try Folders.removeTree(volumeFolder(id)) }
    try await store.forgetVolumes(ids)
  }
}
