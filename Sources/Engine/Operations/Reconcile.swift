import Faults
import Foundation
import OCI
import Protocol

extension Engine {
  /// Reads the database and brings it together with what runs and with the snapshots that exist. Call once, before the
  /// first request; the task and snapshot services must answer.
  ///
  /// | row | task | then |
  /// |---|---|---|
  /// | any | runs or is frozen | it goes on |
  /// | any | ended | its exit is taken in, as if it had just happened |
  /// | any | made, not started | the task is deleted, the container is as before the start |
  /// | starting, by `run` | none | it never came to be: all of it is removed |
  /// | starting, by `start` | none | as before the start |
  /// | running | none | it was lost (a reboot): exited with 255, or removed with `--rm` |
  /// | restarting | none | it goes on waiting for its start |
  /// | exited | none | started, when its restart policy wants that of an engine's start |
  /// | removing, dead | any | the removal is finished |
  /// | none | any | the task and the snapshot are deleted |
  public func load() async throws {
    // Everything is asked before anything is done: a service that is not there yet makes this fail as a whole.
    let tasks = try await taskStates()
    let snapshots = try await self.snapshots.list(.init()).snapshots
    let rows = try await store.containers()
    for (volume, isDoomed) in try await store.volumes() { volumes.load(volume, going: isDoomed) }
    for row in rows {
      guard let container = restore(row) else { continue }
      let unknown = volumes.use(container.definition.volumeNames, by: container.id)
      if !unknown.isEmpty {
        log.error(
          "a container has volumes without a row", metadata: ["container": "\(row.id)", "volumes": "\(unknown)"])
      }
      directory.insert(container)
    }
    for container in directory.all { await reconcile(container, tasks[container.id], atStart: true) }
    await goOnAfterCommits()
    removeStrangers(tasks)
    try await removeOrphans(snapshots)
    startWithEngine(afterReboot: try noteBoot())
  }

  /// Whether the machine was started since this engine last was.
  private func noteBoot() throws -> Bool {
    let path = settings.folder + "/boot"
    let last = try? SmallFile.read(path)
    guard last != machine.boot else { return false }
    try SmallFile.write(machine.boot, to: path)
    return last != nil
  }

  /// After the task service came back: takes in what happened meanwhile.
  public func tasksReturned() async {
    do {
      let tasks = try await taskStates()
      for container in directory.all { await reconcile(container, tasks[container.id], atStart: false) }
      removeStrangers(tasks)
    } catch {
      log.error("cannot compare containers with their tasks", metadata: ["error": "\(error)"])
    }
  }

  private func taskStates() async throws -> [String: TaskState] {
    let list = try await tasks.list(.init()).tasks
    return Dictionary(list.map { ($0.id, $0) }) { first, _ in first }
  }

  /// A container from its row. One whose row cannot be read keeps its row and is reported: nothing is deleted on doubt.
  private func restore(_ row: ContainerRow) -> Container? {
    do {
      let decoder = JSONDecoder()
      let definition = ContainerDefinition(
        id: row.id, created: Timestamp(nanoseconds: row.created), image: row.image, imageID: row.imageID,
        parent: row.parent, config: try decoder.decode(ContainerConfig.self, from: row.config),
        hostConfig: try decoder.decode(HostConfig.self, from: row.hostConfig),
        mounts: try decoder.decode([PlannedMount].self, from: row.mounts), files: files(row.id),
        userNamespace: try row.userNamespace.map { try decoder.decode(UserNamespace.self, from: $0) },
        oneShot: row.oneShot)
      userNamespaces.restore(definition.userNamespace, for: row.id)
      try directory.reserve(name: row.name, for: row.id)
      var restarts = row.restarts
      if row.policy == nil { restarts.policy = try RestartPolicy(definition.hostConfig.restartPolicy) }
      return Container(definition, name: row.name, state: row.state, restarts: restarts)
    } catch {
      unreadable.withLock { _ = $0.insert(row.id) }
      // What it may have stays.
      if let mounts = try? JSONDecoder().decode([PlannedMount].self, from: row.mounts) {
        _ = volumes.use(mounts.compactMap(\.volume), by: row.id)
      } else {
        volumes.noteDoubt()
      }
      log.error("a container's row cannot be read", metadata: ["container": "\(row.id)", "error": "\(error)"])
      return nil
    }
  }

  private func reconcile(_ container: Container, _ task: TaskState?, atStart: Bool) async {
    let state = container.state
    switch state {
    case .removing, .dead:
      guard atStart else { return }
      // `dead` waits for a person; what was being removed is removed.
      if case .removing = state { finishLater(container) }
      return
    case .starting where !atStart: return  // its start is under way and finds out itself
    default: break
    }
    guard let task else {
      await withoutTask(container, state)
      return
    }
    switch task.status {
    case .running, .paused:
      let running = ContainerState.Running(
        pid: Int(task.pid),
        startedAt: state.running?.startedAt ?? task.startedAt.flatMap { Timestamp(rfc3339: $0) } ?? .now(),
        last: state.running?.last ?? state.last)
      guard atStart || state.running != nil else { return }
      let now: ContainerState = task.status == .paused ? .paused(running) : .running(running)
      if now != state {
        container.restore(now)
        try? await store.update(id: container.id, state: now, restarts: container.restarts, durable: false)
      }
      healthRestored(container, task.health, tell: !atStart)
      for exec in task.execs {
        execs.adopt(exec, container: container.id)
        if let exit = exec.exit { execEnded(exec.exec, in: container.id, code: Int(exit.code)) }
      }
    case .stopped:
      await tookPlace(container, task)
    default:
      guard atStart else { return }
      await deleteTask(container.id)
      await withoutTask(container, state)
    }
  }

  /// Takes in an end that happened while nobody here looked.
  private func tookPlace(_ container: Container, _ task: TaskState) async {
    guard let exit = task.exit else { return }
    let ended = ContainerState.Exited(exit)
    switch container.state {
    case .exited, .restarting:
      if container.state.last?.finishedAt == ended.finishedAt {
        // Known already; only the cleanup was interrupted.
        let cleanup = background.run { [self] in await deleteTask(container.id) }
        container.setCleanup(cleanup)
        return
      }
      fallthrough
    case .created, .starting:
      let started = task.startedAt.flatMap { Timestamp(rfc3339: $0) } ?? ended.finishedAt
      container.restore(.running(.init(pid: Int(task.pid), startedAt: started, last: container.state.last)))
    default: break
    }
    await exited(container, pid: nil, ended)
  }

  /// A container began to run although nobody here is starting it: an engine that was killed had asked for it, and the task
  /// service went on. It is taken in.
  func startedUnasked(_ container: Container) {
    switch container.state {
    case .created, .exited: break
    default: return
    }
    background.run { [self] in
      await container.lane.run {
        await container.cleanupDone()
        guard let task = try? await tasks.get(.init(id: container.id)).task else { return }
        await reconcile(container, task, atStart: true)
      }
    }
  }

  private func withoutTask(_ container: Container, _ state: ContainerState) async {
    switch state {
    case .starting(let last):
      if container.definition.oneShot, last == nil {
        finishLater(container, neverCameToBe: true)
      } else {
        let before: ContainerState = last.map { .exited($0) } ?? .created
        container.restore(before)
        try? await store.update(id: container.id, state: before, restarts: container.restarts, durable: false)
      }
    case .running, .paused:
      // The list may be older than this container's start: only the service's own word counts.
      do {
        if try await allowing(.notFound, body: { try await tasks.get(.init(id: container.id)) }) != nil { return }
      } catch {
        return
      }
      let lost = ContainerState.Exited(
        code: 255, startedAt: nil, finishedAt: .now(),
        error: "its end was not seen: the machine or the task service's state was restarted")
      await exited(container, pid: nil, lost)
    case .exited where container.definition.autoRemove: finishLater(container)
    default: break
    }
  }

  /// Removes a container that is not wanted any more, beside the caller.
  func finishLater(_ container: Container, neverCameToBe: Bool = false) {
    background.run { [self] in
      do {
        if case .removing = container.state {} else { _ = try container.beginRemoval(force: true) }
        // Of a removal that was cut off only the anonymous volumes of `--rm` are known to be unwanted.
        try await finishRemoval(
          container, wasRunning: false, volumes: container.definition.autoRemove || neverCameToBe)
      } catch {
        log.error("cannot finish a removal", metadata: ["container": "\(container.id)", "error": "\(error)"])
      }
    }
  }

  /// Deletes tasks that no container has: what a run or a removal left that was cut off. Only names of our form are ours.
  private func removeStrangers(_ tasks: [String: TaskState]) {
    let kept = unreadable.withLock { $0 }
    for id in tasks.keys where Identifier.isHex(id, digits: 64) && !kept.contains(id) {
      // One that is being made is in the directory before its task exists.
      if directory.container(id: id) == nil {
        background.run { [self] in await deleteTask(id) }
      }
    }
  }

  /// The container that a snapshot belongs to: its own, labelled, or one of an image that it mounts (`ID.mN`).
  private static func owner(of snapshot: SnapshotAPI.SnapshotInfo) -> String? {
    if snapshot.kind == .active, snapshot.labels?["gantry.container"] == snapshot.key { return snapshot.key }
    let parts = snapshot.key.split(separator: ".")
    guard snapshot.kind != .layer, parts.count == 2, parts[1].hasPrefix("m"), Identifier.isHex(parts[0], digits: 64)
    else { return nil }
    return String(parts[0])
  }

  /// Removes snapshots, folders and doomed volumes that no container has.
  private func removeOrphans(_ list: [SnapshotAPI.SnapshotInfo]) async throws {
    let kept = unreadable.withLock { $0 }
    let orphans = list.filter { snapshot in
      guard let owner = Self.owner(of: snapshot) else { return false }
      return directory.container(id: owner) == nil && !kept.contains(owner)
    }.map(\.key)
    if !orphans.isEmpty { background.run { [self] in await removeSnapshots(orphans) } }

    let doomed = try await store.volumes().filter(\.isDoomed).map(\.volume.name)
    if !doomed.isEmpty {
      background.run { [self] in
        do { try await removeVolumes(doomed) } catch {
          log.error("cannot finish the removal of volumes", metadata: ["error": "\(error)"])
        }
      }
    }

    let folder = settings.folder + "/containers"
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    where Identifier.isHex(name, digits: 64) && directory.container(id: name) == nil && !kept.contains(name) {
      try? files(name).remove()
    }
  }
}
