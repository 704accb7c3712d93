import Faults
import Protocol
import Synchronization

/// What a container is from its making to its end; its name, its state and (by `update`) its limits change.
final class ContainerDefinition: Sendable {
  let id: String
  let created: Timestamp
  /// The image as it was asked for.
  let image: String
  /// The digest of the image's configuration.
  let imageID: String
  /// chainID of its topmost layer; nil for an image without layers.
  let parent: String?
  /// Merged with the image's.
  let config: ContainerConfig
  let hostConfig: HostConfig
  let mounts: [PlannedMount]
  let files: ContainerFiles
  /// Its ids outside; nil when they are the host's.
  let userNamespace: UserNamespace?
  /// Made and started by one call.
  let oneShot: Bool

  init(
    id: String, created: Timestamp, image: String, imageID: String, parent: String?, config: ContainerConfig,
    hostConfig: HostConfig, mounts: [PlannedMount], files: ContainerFiles, userNamespace: UserNamespace? = nil,
    oneShot: Bool
  ) {
    self.id = id
    self.created = created
    self.image = image
    self.imageID = imageID
    self.parent = parent
    self.config = config
    self.hostConfig = hostConfig
    self.mounts = mounts
    self.files = files
    self.userNamespace = userNamespace
    self.oneShot = oneShot
  }

  /// The same container with other limits.
  func with(_ hostConfig: HostConfig) -> ContainerDefinition {
    ContainerDefinition(
      id: id, created: created, image: image, imageID: imageID, parent: parent, config: config, hostConfig: hostConfig,
      mounts: mounts, files: files, userNamespace: userNamespace, oneShot: oneShot)
  }

  /// The part of its summary in lists that never changes, as JSON members; made when it is first listed.
  let summaryText = Mutex<[UInt8]?>(nil)

  /// It goes when it ends.
  var autoRemove: Bool { hostConfig.autoRemove ?? false }
  /// Its writes to the database must survive a power failure.
  var durable: Bool { !autoRemove }
  /// It has anonymous volumes.
  var hasVolumes: Bool { mounts.contains { $0.volume != nil } }
  var terminal: Bool { config.tty ?? false }

  /// What `docker ps` shows as the command.
  var command: String {
    ImageMerge.arguments(config).map { $0.contains(" ") ? "'\($0)'" : $0 }.joined(separator: " ")
  }
}

/// How a wait ends.
struct WaitResult: Sendable, Equatable {
  var code: Int
  var error: String = ""
}

/// One container: its state, and those who wait for it to change. Work on other services is the engine's.
actor Container {
  /// What lists show, readable without waiting for the actor.
  struct Published: Sendable {
    var name: String
    var state: ContainerState
  }

  private struct Shared: Sendable {
    var definition: ContainerDefinition
    var published: Published
  }

  /// For what somebody waits.
  enum Condition: Sendable { case notRunning, nextExit, removed }

  nonisolated let id: String
  /// Starts, removals, renames, pauses, updates: one at a time.
  nonisolated let lane = Lane()
  /// The threads that follow its log.
  nonisolated let followers = LogFollowers()
  private nonisolated let shared: Mutex<Shared>
  private nonisolated let toldOOM = Mutex(false)

  private var waiters: [(key: Int, condition: Condition, continuation: CheckedContinuation<WaitResult, any Error>)] = []
  private var nextWaiter = 0
  private var earlyExit: (pid: Int?, exit: ContainerState.Exited)?
  private var cleanup: Task<Void, Never>?

  init(_ definition: ContainerDefinition, name: String, state: ContainerState) {
    id = definition.id
    shared = Mutex(Shared(definition: definition, published: Published(name: name, state: state)))
  }

  nonisolated var definition: ContainerDefinition { shared.withLock { $0.definition } }
  nonisolated var published: Published { shared.withLock { $0.published } }
  nonisolated var name: String { shared.withLock { $0.published.name } }
  nonisolated var state: ContainerState { shared.withLock { $0.published.state } }

  /// Notes that the lack of memory in this run was told; whether it had been before.
  nonisolated func noteOOM() -> Bool {
    toldOOM.withLock { told in
      defer { told = true }
      return told
    }
  }

  private func set(_ state: ContainerState) { shared.withLock { $0.published.state = state } }

  func rename(_ name: String) { shared.withLock { $0.published.name = name } }

  /// Takes other limits; whoever holds the definition from before goes on with that one.
  func redefine(_ definition: ContainerDefinition) { shared.withLock { $0.definition = definition } }

  // MARK: Start

  /// Enters `starting`; throws when it cannot be started.
  func beginStart() throws {
    set(try state.starting(name))
    earlyExit = nil
    toldOOM.withLock { $0 = false }
  }

  /// The init runs. An end that was told before is returned, to be handled now.
  func didStart(pid: Int, at moment: Timestamp) -> ContainerState.Exited? {
    guard case .starting = state else { return nil }
    set(state.started(pid: pid, at: moment))
    guard let early = earlyExit, early.pid == nil || early.pid == pid else { return nil }
    earlyExit = nil
    return early.exit
  }

  /// The start failed with `code`; who waits for its end is answered.
  func startFailed(_ exit: ContainerState.Exited) {
    guard case .starting(let last) = state else { return }
    var exit = exit
    exit.startedAt = last?.startedAt
    set(.exited(exit))
    answer(WaitResult(code: exit.code, error: exit.error)) { $0 != .removed }
  }

  /// The state that a start left behind when the engine ended during it.
  func restore(_ state: ContainerState) { set(state) }

  // MARK: End

  /// Takes in that its init ended; nil when that is known or comes too early (it is kept for `didStart`).
  func noteExit(pid: Int?, _ exit: ContainerState.Exited) -> ContainerState? {
    switch state {
    case .starting:
      earlyExit = (pid, exit)
      return nil
    case .running(let running), .paused(let running):
      if let pid, running.pid != 0, pid != 0, pid != running.pid { return nil }
      var exit = exit
      exit.startedAt = running.startedAt
      set(state.ended(exit))
      return state
    case .removing(let last):
      guard last?.finishedAt != exit.finishedAt else { return nil }
      set(state.ended(exit))
      return state
    case .created, .exited, .dead:
      return nil
    }
  }

  /// Tells those who wait for an end of a run, once everything about it can be asked for.
  func announceExit(_ exit: ContainerState.Exited) {
    followers.end()
    answer(WaitResult(code: exit.code, error: exit.error)) { $0 != .removed }
  }

  /// Tells everyone who still waits that it is gone.
  func announceRemoval() {
    followers.end()
    let last = state.last
    answer(WaitResult(code: last?.code ?? 0, error: last?.error ?? "")) { _ in true }
  }

  /// Remembers the work that tidies up after a run; the next start waits for it.
  func setCleanup(_ task: Task<Void, Never>) { cleanup = task }

  func cleanupDone() async {
    let task = cleanup
    await task?.value
  }

  // MARK: Pause, removal

  func pause() throws { set(try state.pausing(name)) }
  func resume() throws { set(try state.resuming(name)) }

  /// Enters `removing`; returns what it was.
  func beginRemoval(force: Bool) throws -> ContainerState {
    let before = state
    set(try before.removing(name, force: force))
    return before
  }

  /// The removal failed: what is left can be removed by another try.
  func removalFailed(_ reason: String) { set(.dead(reason: reason, last: state.last)) }

  // MARK: Wait

  /// Waits for `condition`; the answer of a past end comes at once where the condition allows it.
  func wait(_ condition: Condition) async throws -> WaitResult {
    switch (condition, state) {
    case (.notRunning, .created): return WaitResult(code: 0)
    case (.notRunning, .exited(let exit)): return WaitResult(code: exit.code, error: exit.error)
    case (.notRunning, .dead(let reason, let last)): return WaitResult(code: last?.code ?? 0, error: reason)
    default: break
    }
    nextWaiter += 1
    let key = nextWaiter
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        if Task.isCancelled {
          continuation.resume(throwing: Fault(.cancelled, "the wait was taken back"))
        } else {
          waiters.append((key, condition, continuation))
        }
      }
    } onCancel: {
      Task { await self.cancelWait(key) }
    }
  }

  private func cancelWait(_ key: Int) {
    guard let index = waiters.firstIndex(where: { $0.key == key }) else { return }
    waiters.remove(at: index).continuation.resume(throwing: Fault(.cancelled, "the wait was taken back"))
  }

  private func answer(_ result: WaitResult, _ matches: (Condition) -> Bool) {
    let answered = waiters.filter { matches($0.condition) }
    waiters.removeAll { matches($0.condition) }
    for waiter in answered { waiter.continuation.resume(returning: result) }
  }
}
