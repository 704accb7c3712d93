import Faults
import FoundationEssentials
import JSONRPC
import OCI
import Protocol

extension Engine {
  /// Starts a container for a person; `made` is its specification and the mounts of its snapshot, when they were just made.
  ///
  /// With `checkpoint`, its processes go on instead of the program being run.
  ///
  /// - Returns: the address of its streams, when `attach` asked for them.
  func start(
    _ container: Container, made: (spec: RuntimeSpec, mounts: [MountSpec])? = nil, attach: AttachStreams?,
    checkpoint: (name: String, folder: String?)? = nil
  ) async throws -> StreamAddress? {
    try await start(container, made, attach: attach, checkpoint: checkpoint) {
      if checkpoint != nil, container.state.running != nil {
        throw Fault(.conflict, "Container \(container.name) is running: stop it before it starts from a checkpoint")
      }
      try container.beginStart()
      return true
    }
  }

  /// Starts a container when `begin` has brought it into `starting`; nothing is done when it says no.
  func start(
    _ container: Container, _ made: (spec: RuntimeSpec, mounts: [MountSpec])? = nil, attach: AttachStreams?,
    checkpoint: (name: String, folder: String?)? = nil, _ begin: () throws -> Bool
  ) async throws -> StreamAddress? {
    // A transfer into its files ends first.
    if !container.writes.isFree { await container.writes.run {} }
    return try await container.lane.run {
      let before = container.state
      guard try begin() else { return nil }
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
      if attach != nil { publish("attach", container) }
      publishMounts(container)
      let early = container.didStart(pid: Int(created.pid), at: .now()) { name in
        publish("start", container.definition, name: name)
      }
      if let health = early.health { healthChanged(container, health) }
      let (state, restarts) = (container.state, container.restarts)
      if early.exit == nil, !container.definition.autoRemove {
        // The task service knows that it runs; the row is for the time after a reboot.
        let store = self.store
        background.run { try? await store.updateRunning(id: container.id, state: state, restarts: restarts) }
      }
      if let exit = early.exit { await exited(container, pid: nil, exit) }
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
      if definition.copies { try await fillVolumes(definition, onlyCutOff: true) }
      let images = definition.hasImages ? try await prepareImages(definition) : [:]
      spec = try builder.build(specInput(definition, shared: sharedNamespaces(definition), images: images))
      rootfs = try await snapshotMounts(definition)
    }
    let log = try LogSettings(definition.hostConfig).taskOptions(definition, name: container.name)
    var restore: (path: String, temporary: String?)?
    if let checkpoint { restore = try await restoreFolder(container, checkpoint, spec) }
    defer { if let temporary = restore?.temporary { try? Folders.removeTree(temporary) } }
    let created = try await tasks.create(
      TaskAPI.CreateParams(
        id: definition.id, spec: spec, rootfs: rootfs, stdin: definition.config.openStdin ?? false,
        hold: attach == nil ? nil : true,
        log: log, start: true, attach: attach, annotations: nil, seccomp: try seccomp(definition.hostConfig),
        health: try HealthPlan(definition.config)?.check(spec: spec, config: definition.config),
        restore: restore?.path),
      CallContext(deadline: restore == nil ? nil : .after(seconds: Self.mostSecondsToRestore)))
    try requireSharing(definition, spec)
    return created
  }

  /// Fails when a container whose namespace was joined ended meanwhile: its pid could be another process's by now.
  private func requireSharing(_ definition: ContainerDefinition, _ spec: RuntimeSpec) throws {
    func pid(_ type: String) -> Int? {
      let path = spec.linux?.namespaces?.first { $0.type == type }?.path
      return path.flatMap { $0.split(separator: "/").dropFirst().first }.flatMap { Int($0) }
    }
    let joined = SharedNamespaces(pid: pid("pid"), ipc: pid("ipc"))
    guard joined != SharedNamespaces() else { return }
    guard try sharedNamespaces(definition) == joined else {
      throw Fault(.conflict, "a container whose namespace was to be joined ended meanwhile: start it again first")
    }
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
    container.setCleanup(cleanup)
    let exit = ContainerState.Exited(
      code: code, startedAt: before.last?.startedAt, finishedAt: .now(), error: fault.message)
    if case .restarting = before, fault.code == .unavailable || fault.code == .deadlineExceeded {
      // The services are being restarted themselves: nothing is wrong with the container.
      container.awaitStart(due: Timestamp(nanoseconds: Timestamp.now().nanoseconds + 1_000_000_000))
      scheduleRestart(container, after: 1000)
      return
    }
    container.startFailed(exit)
    if container.definition.autoRemove {
      await autoRemove(container, before: exit)
    } else if container.definition.oneShot, before == .created, fault.code == .unavailable {
      // `run` was cut short by a service, and its caller never learnt the id
      finishLater(container, neverCameToBe: true)
    } else {
      try? await store.update(
        id: container.id, state: container.state, restarts: container.restarts, durable: false)
    }
  }

  /// Handles the end of a container's init, however it was learnt: state and events, row, those who wait, in that order.
  func exited(_ container: Container, pid: Int?, _ exit: ContainerState.Exited) async {
    if let state = noteExit(container, pid: pid, exit) { await settle(container, state) }
  }

  /// The first half of that, which waits for nothing: the state, and the events in their order. Returns the state that
  /// `settle` goes on from; nil when the end is known already, or comes before the start's answer.
  func noteExit(_ container: Container, pid: Int?, _ exit: ContainerState.Exited) -> ContainerState? {
    let definition = container.definition
    return container.noteExit(pid: pid, exit) { name, ended, oom in
      execs.containerEnded(container.id) { id in
        publish("exec_die", definition, name: name, ["execID": id, "exitCode": "137"])
      }
      if oom { publish("oom", definition, name: name) }
      let ran = ended.startedAt.map { max(0, ended.finishedAt.nanoseconds - $0.nanoseconds) } ?? 0
      publish(
        "die", definition, name: name, ["exitCode": String(ended.code), "execDuration": String(ran / 1_000_000_000)])
    }
  }

  /// The second half: the row, the cleanup, those who wait, and the next start.
  func settle(_ container: Container, _ state: ContainerState) async {
    guard let ended = state.last else { return }
    publishMounts(container, ended: true)
    if case .removing = state {
      container.announceExit(ended)
      return  // who removes it does the rest
    }
    if container.definition.autoRemove, !container.isKept {
      await autoRemove(container, before: ended)
      return
    }
    do {
      try await store.update(id: container.id, state: state, restarts: container.restarts, durable: false)
    } catch {
      log.error("cannot write that a container ended", metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
    let cleanup = background.run { [self] in await deleteTask(container.id) }
    container.setCleanup(cleanup)
    container.announceExit(ended)
    scheduleRestart(container, after: container.restarts.backoff)
  }

  /// Takes an ended `--rm` container out at once (row, name), answers who waits, and cleans up beside that.
  func autoRemove(_ container: Container, before ended: ContainerState.Exited) async {
    let definition = container.definition
    guard (try? container.beginRemoval(force: true)) != nil else { return }
    let going = volumes.endUse(definition, removing: true)
    do {
      try await store.delete(id: definition.id, dooming: going, durable: false)
    } catch {
      log.error("cannot delete a container's row", metadata: ["container": "\(definition.id)", "error": "\(error)"])
    }
    userNamespaces.release(definition.id)
    tombstones.add(definition.id, WaitResult(code: ended.code, error: ended.error))
    directory.remove(id: definition.id, name: container.name)
    container.announceRemoval { publish("destroy", definition, name: $0) }
    execs.containerRemoved(definition.id)
    background.run { [self] in
      await deleteTask(definition.id)
      await removeSnapshots(definition.snapshotKeys)
      await removeHostFiles(definition, volumes: going)
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

  /// Removes snapshots for somebody who waits.
  func removeSnapshotsNow(_ keys: [String]) async throws {
    var attempt = 0
    while true {
      do {
        try await allowing(.notFound) { try await snapshots.remove(.init(keys: keys)) }
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

  /// Deletes the files of a container that is gone, and the volumes that go with it.
  func removeHostFiles(_ definition: ContainerDefinition, volumes going: [String]) async {
    do {
      try definition.files.remove()
      try await removeVolumes(going)
    } catch {
      log.error("cannot delete a container's files", metadata: ["container": "\(definition.id)", "error": "\(error)"])
    }
  }
}
