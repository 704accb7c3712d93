internal import Faults
internal import Glibc
internal import Linux
internal import Protocol
internal import ShimCore
internal import Synchronization

/// One task as taskd knows it: what its shim last said, and who waits for what.
///
/// The shim is the truth while it lives, `exit.json` afterwards; this is the copy that `list` and `wait` read. All changes
/// are made under one lock that is never held across a wait.
final class ManagedTask: Sendable {
  /// What exists at each point of a task's life.
  enum Stage: Sendable {
    /// Its shim has not reported yet.
    case creating
    /// The container exists.
    case live(Live)
    /// The container has ended; its shim may still be handing out the last output.
    case stopped(TaskOutcome)
  }

  struct Live: Sendable {
    enum Status: String, Sendable { case created, running, paused }
    var pid: Int32
    var status: Status
    var startedAt: String?
    /// The verdict of its health check; nil without one.
    var health: HealthStatus?
  }

  struct Exec: Sendable {
    var pid: Int32
    var exit: ExitStatus?
  }

  private struct State {
    var stage = Stage.creating
    var execs: [String: Exec] = [:]
    var endedExecs: [String] = []
    var shim: ShimHandle?
    var shimPid: Int32 = 0
    /// The shim's process has ended and everything it said has been heard.
    var shimEnded = false
    var deleting = false
    var removed = false
    /// The shim's process; nil before it was started and after its end was seen.
    var process: ProcessBox?
    var wasStarted = false
    var nextWaiter = 0
    var waiters: [Int: Waiter] = [:]
  }

  /// Somebody who is woken when a condition may have become true.
  private struct Waiter {
    var condition: @Sendable (borrowing Snapshot) -> Bool
    var continuation: CheckedContinuation<Void, Never>
  }

  /// What conditions look at.
  struct Snapshot {
    var stage: Stage
    var execs: [String: Exec]
    var shimEnded: Bool
    var shimPid: Int32
    var deleting: Bool
    /// Deleted: nothing more will happen.
    var removed: Bool
  }

  let id: String
  let folder: TaskFolder
  /// The container's cgroup path.
  let cgroup: String
  /// Its shim was told to look after its health.
  let checksHealth: Bool
  private let state = Mutex(State())

  init(id: String, folder: TaskFolder, cgroup: String, checksHealth: Bool = false) {
    self.id = id
    self.folder = folder
    self.cgroup = cgroup
    self.checksHealth = checksHealth
  }

  /// A consistent copy.
  var snapshot: Snapshot { state.withLock { Self.snapshot($0) } }

  /// The connection to the shim; fails with `conflict` when the container has ended, `unavailable` while none is there.
  func shim() throws(Fault) -> ShimHandle {
    try state.withLock { state throws(Fault) in
      if case .stopped = state.stage { throw Fault(.conflict, "container \(id) is not running") }
      guard let shim = state.shim, !state.shimEnded else {
        throw Fault(.unavailable, "the shim of container \(id) does not answer: try again")
      }
      return shim
    }
  }

  /// The connection, also after the container's end; nil when the shim is gone.
  var livingShim: ShimHandle? { state.withLock { $0.shimEnded ? nil : $0.shim } }

  /// Changes the state and wakes those whose condition holds now.
  private func change<Result>(_ body: (inout State) throws(Fault) -> Result) throws(Fault) -> Result {
    var ready: [CheckedContinuation<Void, Never>] = []
    let result = try state.withLock { state throws(Fault) in
      let result = try body(&state)
      if !state.waiters.isEmpty {
        let snapshot = Self.snapshot(state)
        for (number, waiter) in state.waiters where waiter.condition(snapshot) {
          ready.append(waiter.continuation)
          state.waiters[number] = nil
        }
      }
      return result
    }
    for continuation in ready { continuation.resume() }
    return result
  }

  private static func snapshot(_ state: borrowing State) -> Snapshot {
    Snapshot(
      stage: state.stage, execs: state.execs, shimEnded: state.shimEnded, shimPid: state.shimPid,
      deleting: state.deleting, removed: state.removed)
  }

  /// Waits until `condition` holds; fails with `cancelled` when the surrounding work is.
  func wait(until condition: @escaping @Sendable (borrowing Snapshot) -> Bool) async throws(Fault) {
    let number = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now = state.withLock { state in
          if Task.isCancelled || condition(Self.snapshot(state)) { return true }
          state.waiters[number] = Waiter(condition: condition, continuation: continuation)
          return false
        }
        if now { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: number) }?.continuation.resume()
    }
    if Task.isCancelled { throw Fault(.cancelled, "the wait for container \(id) was taken back") }
  }

  // MARK: What becomes known

  func connected(_ shim: ShimHandle, pid: Int32) {
    try? change { state in
      state.shim = shim
      state.shimPid = pid
    }
  }

  func became(_ live: Live) {
    try? change { state in
      switch state.stage {
      case .creating, .live: state.stage = .live(live)
      case .stopped: break
      }
    }
  }

  func set(_ status: Live.Status, startedAt: String? = nil) {
    try? change { state in
      guard case .live(var live) = state.stage else { return }
      live.status = status
      live.startedAt = startedAt ?? live.startedAt
      state.stage = .live(live)
    }
  }

  func set(_ health: HealthStatus) {
    try? change { state in
      guard case .live(var live) = state.stage else { return }
      live.health = health
      state.stage = .live(live)
    }
  }

  /// Takes the container's end; false when it was known.
  func stopped(_ outcome: TaskOutcome) -> Bool {
    (try? change { state in
      if case .stopped = state.stage { return false }
      state.stage = .stopped(outcome)
      for (exec, exit) in outcome.execs where state.execs[exec]?.exit == nil { state.execs[exec]?.exit = exit }
      // What ran beside an init that has ended has ended with it; its own status came before this or is lost with it.
      for (exec, value) in state.execs where value.exit == nil {
        state.execs[exec]?.exit = ExitStatus(
          code: 137, signal: 9, oomKilled: false, finishedAt: outcome.exit.finishedAt,
          error: "the container ended")
      }
      return true
    }) ?? false
  }

  func execStarted(_ exec: String, pid: Int32) {
    try? change { state in
      if state.execs[exec] == nil { state.execs[exec] = Exec(pid: pid) }
    }
  }

  /// Takes an exec's end. The last 256 ended ones are kept for those who ask late.
  func execEnded(_ exec: String, pid: Int32, _ exit: ExitStatus) {
    try? change { state in
      guard state.execs[exec]?.exit == nil else { return }
      state.execs[exec] = Exec(pid: pid, exit: exit)
      state.endedExecs.append(exec)
      if state.endedExecs.count > 256 { state.execs[state.endedExecs.removeFirst()] = nil }
    }
  }

  /// The connection goes with it: the two hold each other until here.
  func shimHasEnded() {
    try? change { state in
      state.shimEnded = true
      state.shim = nil
    }
  }

  func wasRemoved() { try? change { $0.removed = true } }

  /// The shim's process, to be watched.
  var process: ProcessBox? {
    get { state.withLock { $0.process } }
    set {
      state.withLock { state in
        state.process = newValue
        state.wasStarted = state.wasStarted || newValue != nil
      }
    }
  }

  /// Whether a shim was ever started.
  var hasProcess: Bool { state.withLock { $0.wasStarted } }

  /// Takes the process out: its end was seen. Nil when it was taken before.
  func takeProcess() -> ProcessBox? { state.withLock { $0.process.take() } }

  /// Kills the shim, and with it (by its parent-death signal) the container's init.
  func killShim() { try? process?.process.signal(SIGKILL) }

  /// Waits until `condition` holds, at most so long; returns whether it does.
  func waits(
    milliseconds: Int, until condition: @escaping @Sendable (borrowing Snapshot) -> Bool
  ) async -> Bool {
    if condition(snapshot) { return true }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await self.wait(until: condition) }
      group.addTask { try? await Task.sleep(for: .milliseconds(milliseconds)) }
      await group.next()
      group.cancelAll()
    }
    return condition(snapshot)
  }

  /// Lets one caller delete the task; fails with `conflict` when another is at it.
  func beginDelete() throws(Fault) {
    try change { state throws(Fault) in
      guard !state.deleting else { throw Fault(.conflict, "container \(id) is being deleted already") }
      state.deleting = true
    }
  }

  /// The deletion did not succeed.
  func abandonDelete() { try? change { $0.deleting = false } }
}
