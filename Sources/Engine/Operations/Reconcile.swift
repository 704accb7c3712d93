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
  /// | removing, dead | any | the removal is finished |
  /// | none | any | the task and the snapshot are deleted |
  public func load() async throws {
    // Everything is asked before anything is done: a service that is not there yet makes this fail as a whole.
    let tasks = try await taskStates()
    let snapshots = try await self.snapshots.list(.init()).snapshots
    let rows = try await store.containers()
    for row in rows {
      guard let container = restore(row) else { continue }
      directory.insert(container)
    }
    for container in directory.all { await reconcile(container, tasks[container.id], atStart: true) }
    removeStrangers(tasks)
    try await removeOrphans(snapshots)
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
        mounts: try decoder.decode([PlannedMount].self, from: row.mounts), files: files(row.id), oneShot: row.oneShot)
      try directory.reserve(name: row.name, for: row.id)
      return Container(definition, name: row.name, state: row.state)
    } catch {
      unreadable.withLock { _ = $0.insert(row.id) }
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
        await container.restore(now)
        try? await store.update(id: container.id, state: now, durable: false)
      }
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
    case .exited(let known) where known.finishedAt == ended.finishedAt:
      // Known already; only the cleanup was interrupted.
      let cleanup = background.run { [self] in await deleteTask(container.id) }
      await container.setCleanup(cleanup)
      return
    case .created, .starting, .exited:
      let started = task.startedAt.flatMap { Timestamp(rfc3339: $0) } ?? ended.finishedAt
      await container.restore(
        .running(.init(pid: Int(task.pid), startedAt: started, last: container.state.last)))
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
        finishLater(container)
      } else {
        let before: ContainerState = last.map { .exited($0) } ?? .created
        await container.restore(before)
        try? await store.update(id: container.id, state: before, durable: false)
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
  func finishLater(_ container: Container) {
    background.run { [self] in
      do {
        if case .removing = container.state {} else { _ = try await container.beginRemoval(force: true) }
        try await finishRemoval(
          container, wasRunning: false, volumes: container.definition.autoRemove || container.definition.oneShot)
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

  /// Removes snapshots, folders and doomed volumes that no container has.
  private func removeOrphans(_ list: [SnapshotAPI.SnapshotInfo]) async throws {
    let kept = unreadable.withLock { $0 }
    let orphans = list.filter { snapshot in
      snapshot.kind == .active && snapshot.labels?["gantry.container"] == snapshot.key
        && directory.container(id: snapshot.key) == nil && !kept.contains(snapshot.key)
    }.map(\.key)
    if !orphans.isEmpty { background.run { [self] in await removeSnapshots(orphans) } }

    let doomed = try await store.doomedVolumes()
    if !doomed.isEmpty { background.run { [self] in try? await removeVolumes(doomed) } }

    let folder = settings.folder + "/containers"
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    where Identifier.isHex(name, digits: 64) && directory.container(id: name) == nil && !kept.contains(name) {
      try? files(name).remove()
    }
  }
}
