import Faults

/// Where a container is in its life. Each case carries what exists only then.
///
///     created ──start──▶ starting ──▶ running ◀──▶ paused
///        ▲                │    ▲         │           │
///        │            (fails)  │      (exit)      (exit)
///        │                │  (due)       ├───────────┤
///        │                │    │         ▼           ▼
///        │                │    └── restarting    exited ──start──▶ starting …
///        │                ▼             │           ▲
///        └──(never ran)── exited ◀──(stop, kill)────┘
///     any but running and restarting ──remove──▶ removing ──(cannot be cleaned)──▶ dead
///
/// An end leads to `restarting` when the container's restart policy says so (`Restarts`), and to `exited` when it does not.
/// A restart is a start like any other, with a task of its own: the gateway waits, and a gateway that is killed meanwhile
/// finds the row and waits for what is left of the time. To clients `restarting` is a kind of running, as in Docker.
enum ContainerState: Sendable, Equatable {
  /// It never ran.
  case created
  /// Its task is being made; what it was before, for a start that fails.
  case starting(last: Exited?)
  /// Its init runs.
  case running(Running)
  /// Its processes are frozen.
  case paused(Running)
  /// It ran, or a start of it failed.
  case exited(Exited)
  /// It ran, and waits to be started again by its restart policy.
  case restarting(Restarting)
  /// It is being taken apart.
  case removing(last: Exited?)
  /// It could not be taken apart; another remove tries again.
  case dead(reason: String, last: Exited?)

  /// What exists while a container runs.
  struct Running: Sendable, Equatable {
    /// Process id of its init on the host.
    var pid: Int
    /// When the init was started.
    var startedAt: Timestamp
    /// The end before this run, if it ran before.
    var last: Exited?
  }

  /// How a container's last run ended.
  struct Exited: Sendable, Equatable {
    /// 0 to 255; 128 + n after signal n.
    var code: Int
    /// When that run began; nil when the start failed.
    var startedAt: Timestamp?
    /// When it ended.
    var finishedAt: Timestamp
    /// Whether the kernel's memory limit killed it.
    var oomKilled = false
    /// Why it could not start, or how it was lost.
    var error: String = ""
  }

  /// What exists while a container waits for its next start.
  struct Restarting: Sendable, Equatable {
    /// The end of the run before.
    var last: Exited
    /// When it is started.
    var due: Timestamp
  }

  /// Docker's word for the state.
  var word: String {
    switch self {
    case .created, .starting: "created"
    case .running: "running"
    case .paused: "paused"
    // A container that never ran stays `created`, also after a start that failed.
    case .exited(let exit): exit.startedAt == nil ? "created" : "exited"
    case .restarting: "restarting"
    case .removing: "removing"
    case .dead: "dead"
    }
  }

  /// The running container, paused or not.
  var running: Running? {
    switch self {
    case .running(let running), .paused(let running): running
    default: nil
    }
  }

  /// What lists show without `--all`: it runs, or is about to again.
  var isUp: Bool {
    switch self {
    case .running, .paused, .restarting: true
    default: false
    }
  }

  /// The end of the last run that ended.
  var last: Exited? {
    switch self {
    case .created: nil
    case .starting(let last), .removing(let last), .dead(_, let last): last
    case .running(let running), .paused(let running): running.last
    case .exited(let exited): exited
    case .restarting(let waiting): waiting.last
    }
  }

  /// The state while a start is under way, or why it cannot be started.
  func starting(_ name: String) throws -> ContainerState {
    switch self {
    case .created: return .starting(last: nil)
    case .exited(let exited): return .starting(last: exited)
    case .running, .paused, .restarting: throw Fault(.notModified, "Container \(name) is already running")
    case .starting: throw Fault(.conflict, "Container \(name) is being started")
    case .removing, .dead: throw Fault(.conflict, "Container \(name) is marked for removal and cannot be started")
    }
  }

  /// The state while its restart policy starts it; nil when that is not wanted any more.
  var startingAgain: ContainerState? {
    if case .restarting(let waiting) = self { return .starting(last: waiting.last) }
    return nil
  }

  /// The state when the init runs.
  func started(pid: Int, at moment: Timestamp) -> ContainerState {
    .running(Running(pid: pid, startedAt: moment, last: last))
  }

  /// The state after `exit`: ends a run; a container that is being removed goes on being removed.
  func ended(_ exit: Exited) -> ContainerState {
    switch self {
    case .removing: .removing(last: exit)
    case .dead(let reason, _): .dead(reason: reason, last: exit)
    default: .exited(exit)
    }
  }

  /// The frozen state, or why it cannot be frozen.
  func pausing(_ name: String) throws -> ContainerState {
    switch self {
    case .running(let running): return .paused(running)
    case .paused: throw Fault(.conflict, "Container \(name) is already paused")
    case .restarting: throw Self.isRestarting(name)
    default: throw Fault(.conflict, "Container \(name) is not running")
    }
  }

  /// The thawed state, or why it cannot be thawed.
  func resuming(_ name: String) throws -> ContainerState {
    switch self {
    case .paused(let running): return .running(running)
    default: throw Fault(.conflict, "Container \(name) is not paused")
    }
  }

  /// Docker's refusal of what needs a running container.
  static func isRestarting(_ name: String) -> Fault {
    Fault(.conflict, "Container \(name) is restarting, wait until the container is running")
  }

  /// The state while it is taken apart, or why that cannot be: it runs and `force` was not asked.
  func removing(_ name: String, force: Bool) throws -> ContainerState {
    switch self {
    case .running where !force:
      throw Fault(
        .conflict,
        "cannot remove container \"\(name)\": container is running: stop the container before removing or force remove"
      )
    case .paused where !force:
      throw Fault(
        .conflict,
        "cannot remove container \"\(name)\": container is paused and must be unpaused first, or force remove")
    case .restarting where !force:
      throw Fault(
        .conflict,
        "cannot remove container \"\(name)\": container is restarting: stop the container before removing or force remove"
      )
    case .starting where !force:
      throw Fault(.conflict, "cannot remove container \"\(name)\": it is being started")
    case .removing:
      throw Fault(.conflict, "removal of container \(name) is already in progress")
    default: return .removing(last: last)
    }
  }
}
