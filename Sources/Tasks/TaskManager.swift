internal import Cgroups
public import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
public import Logging
internal import OCI
public import Protocol
internal import ShimCore
internal import Synchronization
public import SystemPackage

/// All tasks of one state folder: starts shims, finds them again after a restart, and ends what they leave.
///
/// The manager may be killed at any moment. What it knows is rebuilt from the task folders (`TaskFolder`): the shims live on
/// in sessions of their own, and hold a lock on their folder as long as they live.
///
/// ```
/// create   folder, lock → filter, config.json, task.json → spawn (the shim inherits the lock) → its first line
/// running  the shim's words keep `ManagedTask` current; events go to `events`
/// end      pidfd of the shim readable → exit.json is the truth; without one the shim was killed: kill what it left,
///          write exit.json, tell
/// delete   kill → shim ends → cgroup and folder are removed
/// ```
public final class TaskManager: Sendable {
  /// A container that takes longer to make is given up, and one that takes longer to come back from a checkpoint.
  private static let mostSecondsToStart = 60
  private static let mostSecondsToRestore = 600

  /// Where containers live whose description names no cgroup.
  private static let cgroupParent = "/gantry"

  /// Who may connect to containers' streams besides root.
  let group: UInt32?
  let tasksFolder: FilePath
  let criu: FilePath?
  let log: Logger
  let launcher: ShimLauncher
  let monitor: ShimMonitor
  let filters = FilterCache()
  let tasks = Mutex<[String: ManagedTask]>([:])
  /// Calls that wait for children of their own.
  let ownChildren = Mutex(0)
  let loggerPath: FilePath
  private let lock: FolderLock

  /// What happens to tasks, from `recover` on.
  public let events = EventHub<TaskAPI.TaskEvent>()

  /// Takes the state folder into use; `recover` must follow before any call.
  ///
  /// - Parameters:
  ///   - state: such as `/run/gantry`; `tasks/` is made below, 0700.
  ///   - shim: the gantry-shim executable.
  ///   - logger: the gantry-logger executable; by default beside the shim's.
  ///   - criu: the executable of CRIU, for checkpoints; nil looks for it on the path.
  ///
  /// Fails with `locked` when another task service uses the folder.
  public init(
    state: FilePath, shim: FilePath, logger: FilePath? = nil, criu: FilePath? = nil, group: UInt32? = nil,
    log: Logger
  ) throws(Fault) {
    self.criu = criu
    self.group = group
    loggerPath = logger ?? shim.removingLastComponent().appending("gantry-logger")
    tasksFolder = state.appending("tasks")
    self.log = log
    for folder in [state, tasksFolder] where mkdir(folder.string, folder == state ? 0o755 : 0o700) != 0 {
      guard errno == EEXIST else {
        let code: FaultCode = errno == EROFS ? .readOnly : errno == ENOSPC ? .noSpace : .permissionDenied
        throw Fault(code, "the folder \(folder) cannot be made: \(Errno(rawValue: errno))")
      }
    }
    try Self.open(tasksFolder, to: group)
    // Children of a shim that is killed become ours, so that they are waited for whatever process 1 is.
    try? Children.becomeSubreaper()
    lock = try FolderLock(tasksFolder, owner: "gantry-taskd")
    launcher = try ShimLauncher(executable: shim, tasks: tasksFolder)
    do {
      monitor = try ShimMonitor()
    } catch {
      throw Fault(.internal, "no thread can be started to watch shims", cause: ["\(error)"])
    }
  }

  // MARK: The table

  func folder(of id: String) -> TaskFolder { TaskFolder(tasksFolder.appending(id)) }

  /// The task of that name; fails with `notFound`.
  func task(_ id: String) throws(Fault) -> ManagedTask {
    guard let task = tasks.withLock({ $0[id] }) else { throw Fault(.notFound, "there is no task \(id)") }
    return task
  }

  func insert(_ task: ManagedTask) throws(Fault) {
    let free = tasks.withLock { tasks in
      if tasks[task.id] != nil { return false }
      tasks[task.id] = task
      return true
    }
    guard free else { throw Fault(.alreadyExists, "there is a task \(task.id) already: delete it first") }
  }

  func forget(_ task: ManagedTask) { tasks.withLock { $0[task.id] = nil } }

  /// Publishes an event about `task`.
  func tell(
    _ type: TaskAPI.TaskEventType, _ task: ManagedTask, exec: String? = nil, pid: Int32? = nil,
    exit: ExitStatus? = nil, time: String? = nil, health: HealthState? = nil
  ) {
    let time = time ?? LogTime.now().text
    events.publish { sequence in
      TaskAPI.TaskEvent(
        sequence: sequence, time: time, type: type, id: task.id, exec: exec, pid: pid.map(Int64.init), exit: exit,
        health: health)
    }
  }

  /// Ends the shim that waits, and leaves no folder of ours in the cgroup hierarchies when no container is in them; for an
  /// orderly stop.
  public func close() {
    launcher.close()
    do throws(Fault) {
      try Cgroup.removeEmptyParents(of: "\(Self.cgroupParent)/container")
    } catch {
      log.notice("the cgroup \(Self.cgroupParent) stays", metadata: ["cause": "\(error)"])
    }
  }

  // MARK: Create

  /// Starts the shim for the next task, beside the caller. Without a thread the next task starts its own.
  func keepShimWaiting() { try? Thread { [self] in launcher.refill() }.start() }

  /// The same when a task has just been started: not while its short life may need the processors. The end of a task
  /// starts one at once.
  private func keepShimWaitingSoon() {
    Task { [weak self] in
      try? await Task.sleep(for: .milliseconds(50))
      self?.keepShimWaiting()
    }
  }

  /// Makes a container and, when asked, starts it; on failure nothing of it is left.
  func make(_ params: TaskAPI.CreateParams) async throws(Fault) -> TaskAPI.CreateResult {
    try Self.check(params)
    let folder = folder(of: params.id)
    let cgroup = params.spec.linux?.cgroupsPath ?? "\(Self.cgroupParent)/\(params.id)"
    let task = ManagedTask(id: params.id, folder: folder, cgroup: cgroup, checksHealth: params.health != nil)
    try insert(task)
    do throws(Fault) {
      let ready = try await launch(task, params)
      guard let pid = ready.pid else {
        throw ready.failure?.fault ?? Fault(.internal, "the shim of container \(params.id) said nothing")
      }
      keepShimWaitingSoon()
      let stream = ready.token.map { StreamAddress(socket: folder.path(.streams).string, token: $0) }
      return TaskAPI.CreateResult(pid: Int64(pid), stream: stream)
    } catch {
      await discard(task)
      throw error
    }
  }

  private static func check(_ params: TaskAPI.CreateParams) throws(Fault) {
    let letters = params.id.utf8
    guard (1...64).contains(letters.count), letters.first != UInt8(ascii: "."),
      letters.allSatisfy({
        ($0 | 0x20 >= 97 && $0 | 0x20 <= 122) || ($0 >= 48 && $0 <= 57) || $0 == 46 || $0 == 95 || $0 == 45
      })
    else {
      throw Fault(
        .invalidArgument,
        "\"\(params.id.prefix(100))\" is no task id: 1 to 64 letters, digits, `.`, `_` or `-`, no `.` first")
    }
    guard let process = params.spec.process, process.args?.isEmpty == false else {
      throw Fault(.invalidArgument, "task \(params.id): the specification says no program to run (process.args)")
    }
    guard !params.rootfs.isEmpty else {
      throw Fault(.invalidArgument, "task \(params.id): no root file system is given (rootfs)")
    }
    if let health = params.health { try health.validate() }
  }

  /// Writes the folder and starts the shim; returns its first line.
  private func launch(_ task: ManagedTask, _ params: TaskAPI.CreateParams) async throws(Fault) -> ShimReady {
    let folder = task.folder
    var restore: TaskOptions.Restore?
    if let images = params.restore {
      guard params.start else {
        throw Fault(.invalidArgument, "task \(params.id): processes of a checkpoint run at once: start must be true")
      }
      restore = TaskOptions.Restore(folder: images, criu: try criuProgram().string)
    }
    let lock = try makeFolder(folder)
    let filter = try filters.filter(params.spec, choice: params.seccomp)
    var spec = params.spec
    // The filter is compiled: what is left of the section is where its supervisor listens.
    spec.linux?.seccomp = params.spec.linux?.seccomp.flatMap { section in
      section.listenerPath.map {
        RuntimeSpec.Seccomp(defaultAction: "", listenerPath: $0, listenerMetadata: section.listenerMetadata)
      }
    }
    if let notes = params.annotations { spec.annotations = (spec.annotations ?? [:]).merging(notes) { $1 } }
    try folder.write(.config, spec, whole: false)
    if let filter { try folder.write(.filter, bytes: filter.bytes, whole: false) }
    try folder.write(
      .options,
      TaskOptions(
        id: params.id, cgroup: task.cgroup, rootfs: params.rootfs, stdin: params.stdin, hold: params.hold ?? false,
        log: params.log, logger: try logger(for: params.log), start: params.start,
        useInit: spec.annotations?["gantry.init"] == "true",
        attach: params.attach, filterFlags: filter?.flags ?? 0, health: params.health, restore: restore,
        group: group), whole: false)
    let shim = try launcher.launch(folder, lock: lock.rawValue)
    return try await adopt(
      task, shim, patience: restore == nil ? Self.mostSecondsToStart : Self.mostSecondsToRestore)
  }

  /// Lets members of the group reach sockets in the folder by their names; the folder's list stays closed to them.
  private static func open(_ folder: FilePath, to group: UInt32?) throws(Fault) {
    guard chown(folder.string, UInt32.max, group ?? 0) == 0, chmod(folder.string, group == nil ? 0o700 : 0o710) == 0
    else {
      throw Fault(.permissionDenied, "the folder \(folder) cannot be given to its group: \(Errno(rawValue: errno))")
    }
  }

  /// Makes the folder and returns it open and locked. Fails with `alreadyExists` when a shim lives in one of that name; a
  /// folder without one is what a crash left, and is replaced.
  private func makeFolder(_ folder: TaskFolder) throws(Fault) -> OwnedDescriptor {
    for _ in 0..<2 {
      if mkdir(folder.path.string, 0o700) == 0 {
        guard let lock = try folder.lock() else { break }
        try Self.open(folder.path, to: group)
        return lock
      }
      guard errno == EEXIST else {
        let code: FaultCode = errno == EROFS ? .readOnly : errno == ENOSPC ? .noSpace : .internal
        throw Fault(code, "the folder \(folder.path) cannot be made: \(Errno(rawValue: errno))")
      }
      guard try folder.lock() != nil else { break }
      try folder.remove()
    }
    throw Fault(.alreadyExists, "a shim is at work in \(folder.path): it belongs to a task that was not found")
  }

  /// Connects a new shim with its task and waits for its first line.
  private func adopt(
    _ task: ManagedTask, _ shim: consuming ShimLauncher.Started, patience: Int
  ) async throws(Fault) -> ShimReady {
    let ready = Promise<Result<ShimReady, Fault>>()
    let pid = shim.process.pid
    let handle = try ShimHandle(id: task.id, socket: shim.socket, monitor: monitor) { [self] result in
      if case .success(let line) = result { began(task, line) }
      ready.fulfil(result)
    } onEvent: { [weak self] event in
      self?.heard(event, task)
    } onEnd: { [weak self] in
      self?.connectionEnded(task)
    }
    task.connected(handle, pid: pid)
    watch(shim.process.takePidFD(), task)
    let timer = Task {
      guard (try? await Task.sleep(for: .seconds(patience))) != nil else { return }
      ready.fulfil(
        .failure(
          Fault(
            .deadlineExceeded, "container \(task.id) did not start within \(patience) s: a mount waits"))
      )
    }
    defer { timer.cancel() }
    return try await ready.value.get()
  }

  /// Takes a new shim's first line: on the monitor's thread, before any event of it.
  private func began(_ task: ManagedTask, _ ready: ShimReady) {
    guard let pid = ready.pid else { return }
    task.became(
      .init(
        pid: pid, status: ready.startedAt == nil ? .created : .running, startedAt: ready.startedAt,
        health: task.checksHealth ? .starting : nil))
    if let startedAt = ready.startedAt { tell(.start, task, pid: pid, time: startedAt) }
  }
}

/// A value that is there later, for one waiter.
final class Promise<Value: Sendable>: Sendable {
  private enum State {
    case empty
    case waiting(CheckedContinuation<Value, Never>)
    case full(Value)
  }

  private let state = Mutex(State.empty)

  /// Sets the value; later ones are ignored.
  func fulfil(_ value: Value) {
    let waiter: CheckedContinuation<Value, Never>? = state.withLock { state in
      switch state {
      case .empty:
        state = .full(value)
        return nil
      case .waiting(let waiter):
        state = .full(value)
        return waiter
      case .full: return nil
      }
    }
    waiter?.resume(returning: value)
  }

  /// The value, if it is there.
  var now: Value? { state.withLock { if case .full(let value) = $0 { value } else { nil } } }

  /// Waits for the value.
  var value: Value {
    get async {
      await withCheckedContinuation { continuation in
        let value: Value? = state.withLock { state in
          if case .full(let value) = state { return value }
          state = .waiting(continuation)
          return nil
        }
        if let value { continuation.resume(returning: value) }
      }
    }
  }
}
