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

  /// Whether a health check looks after it.
  var checksHealth: Bool {
    guard let test = config.healthcheck?.test, !test.isEmpty else { return false }
    return test != ["NONE"]
  }

  /// What its health check says; nil without one, and for a container that never ran. One that has ended is unhealthy.
  func health(_ published: Container.Published) -> HealthStatus? {
    guard checksHealth else { return nil }
    if published.state.running != nil { return published.health ?? .starting }
    return published.state.last?.startedAt == nil ? nil : .unhealthy
  }

  /// It goes when it ends.
  var autoRemove: Bool { hostConfig.autoRemove ?? false }
  /// Its writes to the database must survive a power failure.
  var durable: Bool { !autoRemove }
  /// The volumes that it has.
  var volumeNames: [String] { mounts.compactMap(\.volume) }
  /// Those that were made for want of a name.
  var anonymousVolumes: [String] { mounts.compactMap { $0.isNamed == true ? nil : $0.volume } }
  /// Volumes of it are filled from its image when they are empty.
  var copies: Bool { parent != nil && mounts.contains { $0.copies == true } }
  /// It mounts images.
  var hasImages: Bool { mounts.contains { $0.image != nil } }
  /// The images that must stay as long as it does.
  var imageIDs: [String] { [imageID] + mounts.compactMap { $0.image?.id } }
  /// The topmost layers of those.
  var parents: [String] { ([parent] + mounts.map { $0.image?.parent }).compactMap { $0 } }
  /// Its snapshots: its own, and those of the images that it mounts.
  var snapshotKeys: [String] { [id] + mounts.compactMap { $0.image?.key } }
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
///
/// All of it changes under one lock that is never held across a wait, and what a change means to the world is told under the
/// same lock (`tell`, which gets the container's name): so the events of a container are in the order of its states.
final class Container: Sendable {
  /// What lists show.
  struct Published: Sendable {
    var name: String
    var state: ContainerState
    var restarts: Restarts
    /// The verdict of its health check in this run; nil before the first word of it, and without one.
    var health: HealthStatus?

    init(name: String, state: ContainerState, restarts: Restarts = Restarts(), health: HealthStatus? = nil) {
      self.name = name
      self.state = state
      self.restarts = restarts
      self.health = health
    }
  }

  /// For what somebody waits.
  enum Condition: Sendable, Equatable {
    case notRunning, nextExit, removed
    /// The run that began then has ended.
    case endOfRun(Timestamp)
  }

  /// Tells of a change; called with the container's name.
  typealias Tell = (_ name: String) -> Void

  private struct Shared {
    var definition: ContainerDefinition
    var published: Published
    var waiters: [(key: Int, condition: Condition, continuation: CheckedContinuation<WaitResult, any Error>)] = []
    var nextWaiter = 0
    /// What the task service said before it answered to the start.
    var earlyExit: (pid: Int?, exit: ContainerState.Exited)?
    var earlyHealth: HealthState?
    /// The last word of the health check: what inspect shows when the container has ended.
    var lastHealth: HealthState?
    var toldOOM = false
    var cleanup: Task<Void, Never>?
    /// Its end does not remove it although `--rm` was given: it is started again at once.
    var isKept = false

    var state: ContainerState {
      get { published.state }
      set { published.state = newValue }
    }

    mutating func answered(
      _ matches: (Condition) -> Bool
    ) -> [CheckedContinuation<WaitResult, any Error>] {
      let answered = waiters.filter { matches($0.condition) }
      if !answered.isEmpty { waiters.removeAll { matches($0.condition) } }
      return answered.map(\.continuation)
    }
  }

  let id: String
  /// Starts, removals, renames, pauses, updates: one at a time.
  let lane = Lane()
  /// The threads that follow its log.
  let followers = LogFollowers()
  private let shared: Mutex<Shared>

  init(_ definition: ContainerDefinition, name: String, state: ContainerState, restarts: Restarts = Restarts()) {
    id = definition.id
    shared = Mutex(
      Shared(definition: definition, published: Published(name: name, state: state, restarts: restarts)))
  }

  var definition: ContainerDefinition { shared.withLock { $0.definition } }
  var published: Published { shared.withLock { $0.published } }
  var name: String { shared.withLock { $0.published.name } }
  var state: ContainerState { shared.withLock { $0.published.state } }
  var restarts: Restarts { shared.withLock { $0.published.restarts } }
  var lastHealth: HealthState? { shared.withLock { $0.lastHealth } }

  /// Tells of the lack of memory in this run, once.
  func noteOOM(_ tell: Tell) {
    shared.withLock { shared in
      guard shared.state.running != nil, !shared.toldOOM else { return }
      shared.toldOOM = true
      tell(shared.published.name)
    }
  }

  /// Takes other limits; whoever holds the definition from before goes on with that one.
  func redefine(_ definition: ContainerDefinition, _ tell: Tell) {
    shared.withLock { shared in
      shared.definition = definition
      tell(shared.published.name)
    }
  }

  func rename(_ name: String, _ tell: Tell) {
    shared.withLock { shared in
      shared.published.name = name
      tell(name)
    }
  }

  // MARK: Start

  /// Enters `starting`; throws when it cannot be started.
  func beginStart() throws {
    try shared.withLock { shared in
      shared.state = try shared.state.starting(shared.published.name)
      shared.published.restarts.startedByHand()
      Self.beginRun(&shared)
    }
  }

  /// Enters `starting` by its restart policy; false when that is not wanted any more.
  func beginRestart() -> Bool {
    shared.withLock { shared in
      guard let starting = shared.state.startingAgain else { return false }
      shared.state = starting
      Self.beginRun(&shared)
      return true
    }
  }

  private static func beginRun(_ shared: inout Shared) {
    shared.earlyExit = nil
    shared.earlyHealth = nil
    shared.lastHealth = nil
    shared.published.health = nil
    shared.toldOOM = false
    shared.isKept = false
  }

  /// What was said of a run before it was known to have begun: to be handled now.
  struct Early {
    var exit: ContainerState.Exited?
    var health: HealthState?
  }

  /// The init runs.
  func didStart(pid: Int, at moment: Timestamp, _ tell: Tell) -> Early {
    shared.withLock { shared in
      guard case .starting = shared.state else { return Early() }
      shared.state = shared.state.started(pid: pid, at: moment)
      tell(shared.published.name)
      var early = Early(health: shared.earlyHealth)
      if let exit = shared.earlyExit, exit.pid == nil || exit.pid == pid { early.exit = exit.exit }
      shared.earlyExit = nil
      shared.earlyHealth = nil
      return early
    }
  }

  /// The start failed with `exit`; who waits for its end is answered.
  func startFailed(_ exit: ContainerState.Exited) {
    let answered = shared.withLock { shared -> [CheckedContinuation<WaitResult, any Error>] in
      guard case .starting(let last) = shared.state else { return [] }
      var exit = exit
      exit.startedAt = last?.startedAt
      shared.state = .exited(exit)
      return shared.answered { $0 != .removed }
    }
    for continuation in answered { continuation.resume(returning: WaitResult(code: exit.code, error: exit.error)) }
  }

  /// The state that a start left behind when the engine ended during it, or what the task service says.
  func restore(_ state: ContainerState) { shared.withLock { $0.state = state } }

  /// Waits to be started by its restart policy, from `due` on; only what has ended can.
  func awaitStart(due: Timestamp) {
    shared.withLock { shared in
      switch shared.state {
      case .exited(let last): shared.state = .restarting(.init(last: last, due: due))
      case .starting(.some(let last)): shared.state = .restarting(.init(last: last, due: due))
      default: break
      }
    }
  }

  // MARK: Supervision

  /// Sets the restart policy. What waits for its next start goes on waiting for it.
  func setPolicy(_ policy: RestartPolicy) { shared.withLock { $0.published.restarts.policy = policy } }

  /// A person wants it to stay as it is when it ends. True when that changes anything.
  func noteStopByHand() -> Bool {
    shared.withLock { shared in
      let before = shared.published.restarts
      shared.published.restarts.stoppedByHand = true
      shared.published.restarts.again = false
      return (before.policy != .never || before.again) && shared.published.restarts != before
    }
  }

  /// Its next end is followed by a start.
  func noteRestart() { shared.withLock { $0.published.restarts.again = true } }

  /// Its next end does not remove it.
  func keep(_ isKept: Bool) { shared.withLock { $0.isKept = isKept } }

  var isKept: Bool { shared.withLock { $0.isKept } }

  /// Gives up waiting for the next start; false when it does not wait.
  func cancelRestart(_ tell: Tell) -> Bool {
    let result = shared.withLock { shared -> (WaitResult, [CheckedContinuation<WaitResult, any Error>])? in
      guard case .restarting(let waiting) = shared.state else { return nil }
      shared.published.restarts.stoppedByHand = true
      shared.published.restarts.again = false
      shared.state = .exited(waiting.last)
      tell(shared.published.name)
      return (
        WaitResult(code: waiting.last.code, error: waiting.last.error), shared.answered { $0 != .removed }
      )
    }
    guard let (answer, waiters) = result else { return false }
    for waiter in waiters { waiter.resume(returning: answer) }
    return true
  }

  /// Takes in what the health check says; `tell` is called when the verdict has changed since the last word.
  func noteHealth(_ health: HealthState, _ tell: Tell) {
    shared.withLock { shared in
      if case .starting = shared.state {
        shared.earlyHealth = health
        return
      }
      guard shared.state.running != nil else { return }
      shared.lastHealth = health
      guard (shared.published.health ?? .starting) != health.status else { return }
      shared.published.health = health.status
      tell(shared.published.name)
    }
  }

  /// The verdict that the task service has; nothing is told.
  func restoreHealth(_ status: HealthStatus?) { shared.withLock { $0.published.health = status } }

  // MARK: End

  /// Takes in that its init ended, and decides what follows; nil when that is known or comes too early (it is kept for
  /// `didStart`).
  func noteExit(
    pid: Int?, _ exit: ContainerState.Exited, _ tell: (_ name: String, _ exit: ContainerState.Exited, _ oom: Bool) -> Void
  ) -> ContainerState? {
    shared.withLock { shared in
      switch shared.state {
      case .starting:
        shared.earlyExit = (pid, exit)
        return nil
      case .running(let running), .paused(let running):
        if let pid, running.pid != 0, pid != 0, pid != running.pid { return nil }
        var exit = exit
        exit.startedAt = running.startedAt
        let ran = exit.finishedAt.nanoseconds - running.startedAt.nanoseconds
        if let delay = shared.published.restarts.next(code: exit.code, ran: ran) {
          let due = Timestamp(nanoseconds: exit.finishedAt.nanoseconds + Int64(delay) * 1_000_000)
          shared.state = .restarting(.init(last: exit, due: due))
        } else {
          shared.state = shared.state.ended(exit)
        }
        tell(shared.published.name, exit, exit.oomKilled && !shared.toldOOM)
        return shared.state
      case .removing(let last):
        guard last?.finishedAt != exit.finishedAt else { return nil }
        shared.state = shared.state.ended(exit)
        tell(shared.published.name, exit, exit.oomKilled && !shared.toldOOM)
        return shared.state
      case .created, .exited, .restarting, .dead:
        return nil
      }
    }
  }

  /// Tells those who wait for an end of a run, once everything about it can be asked for.
  func announceExit(_ exit: ContainerState.Exited) {
    followers.end()
    let answered = shared.withLock { $0.answered { $0 != .removed } }
    for continuation in answered { continuation.resume(returning: WaitResult(code: exit.code, error: exit.error)) }
  }

  /// Tells everyone who still waits that it is gone.
  func announceRemoval(_ tell: Tell) {
    followers.end()
    let (last, answered) = shared.withLock { shared in
      tell(shared.published.name)
      return (shared.state.last, shared.answered { _ in true })
    }
    let result = WaitResult(code: last?.code ?? 0, error: last?.error ?? "")
    for continuation in answered { continuation.resume(returning: result) }
  }

  /// Remembers the work that tidies up after a run; the next start waits for it.
  func setCleanup(_ task: Task<Void, Never>) { shared.withLock { $0.cleanup = task } }

  func cleanupDone() async { await shared.withLock { $0.cleanup }?.value }

  // MARK: Pause, removal

  func pause(_ tell: Tell) throws {
    try shared.withLock { shared in
      shared.state = try shared.state.pausing(shared.published.name)
      tell(shared.published.name)
    }
  }

  func resume(_ tell: Tell) throws {
    try shared.withLock { shared in
      shared.state = try shared.state.resuming(shared.published.name)
      tell(shared.published.name)
    }
  }

  /// Enters `removing`; returns what it was.
  func beginRemoval(force: Bool) throws -> ContainerState {
    try shared.withLock { shared in
      let before = shared.state
      shared.state = try before.removing(shared.published.name, force: force)
      return before
    }
  }

  /// The removal failed: what is left can be removed by another try.
  func removalFailed(_ reason: String) {
    shared.withLock { $0.state = .dead(reason: reason, last: $0.state.last) }
  }

  // MARK: Wait

  /// Waits for `condition`; the answer of a past end comes at once where the condition allows it.
  func wait(_ condition: Condition) async throws -> WaitResult {
    let key = shared.withLock { shared in
      shared.nextWaiter += 1
      return shared.nextWaiter
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let answer = shared.withLock { shared -> Result<WaitResult, any Error>? in
          if Task.isCancelled { return .failure(Fault(.cancelled, "the wait was taken back")) }
          switch (condition, shared.state) {
          case (.endOfRun(let began), let state) where state.running?.startedAt != began:
            return .success(WaitResult(code: state.last?.code ?? 0, error: state.last?.error ?? ""))
          case (.notRunning, .created): return .success(WaitResult(code: 0))
          case (.notRunning, .exited(let exit)): return .success(WaitResult(code: exit.code, error: exit.error))
          case (.notRunning, .dead(let reason, let last)):
            return .success(WaitResult(code: last?.code ?? 0, error: reason))
          default:
            shared.waiters.append((key, condition, continuation))
            return nil
          }
        }
        if let answer { continuation.resume(with: answer) }
      }
    } onCancel: {
      let waiter = shared.withLock { shared -> CheckedContinuation<WaitResult, any Error>? in
        guard let index = shared.waiters.firstIndex(where: { $0.key == key }) else { return nil }
        return shared.waiters.remove(at: index).continuation
      }
      waiter?.resume(throwing: Fault(.cancelled, "the wait was taken back"))
    }
  }
}
