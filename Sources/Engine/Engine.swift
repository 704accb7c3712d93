public import Configuration
public import Faults
import JSONRPC
import Linux
public import Logging
import OCI
public import Protocol
import Synchronization

/// Where the engine keeps its state and what it may assume.
public struct EngineSettings: Sendable {
  /// The folder that lasts: `ROOT/gateway` (database, containers' files, volumes).
  public var folder: String
  /// The folder of sockets: `/run/gantry`.
  public var state: String
  /// The group that may use the sockets; nil for root alone.
  public var group: UInt32?
  /// The services that it is made of, for `system.status`.
  public var services: [ServiceEndpoint]
  /// Whose subordinate ids containers get: nil for none, `default`, `USER` or `USER:GROUP`.
  public var userRemap: String?
  /// The folder of passwd, group, subuid and subgid.
  public var accounts: String
  /// `gantry.json` as it is now; nil where there is none.
  public var configuration: LiveConfiguration?

  /// Takes them.
  public init(
    folder: String, state: String, group: UInt32?, services: [ServiceEndpoint] = [], userRemap: String? = nil,
    accounts: String = "/etc", configuration: LiveConfiguration? = nil
  ) {
    self.folder = folder
    self.state = state
    self.group = group
    self.services = services
    self.userRemap = userRemap
    self.accounts = accounts
    self.configuration = configuration
  }
}

/// Containers, their images' names, events: composed from an image, a snapshot and a task service, which know nothing of
/// each other. It is what answers on gantry.sock, and works the same over other implementations of the three.
///
/// A container's row is the truth about what it is; the task service is the truth about whether it runs. `load` and
/// `tasksReturned` bring them together, at start and whenever a service came back.
public final class Engine: Sendable {
  let images: any ImageService
  let snapshots: any SnapshotService
  let tasks: any TaskService
  let settings: EngineSettings
  let machine: Machine
  let store: ContainerStore
  let streams: StreamServer
  let log: Logger
  let directory = ContainerDirectory()
  let events: EventHub
  let volumes = VolumeDirectory()
  let execs = ExecDirectory()
  let tombstones = Tombstones()
  let imageCache = ImageCache()
  let imageUse = ImageUse()
  let background = BackgroundWork()
  let copies = CopyDirectory()
  /// For work that blocks: it must take none of Swift's own threads.
  let blocking = WorkPool(limit: 4)
  let userNamespaces: UserNamespaces
  /// What waits for its time or for a container's end, and is given up at a shutdown.
  let pending = PendingWork()
  /// Starts by restart policy and at the engine's start: so many at once.
  let restartLane = Lane(width: 4)
  /// What waiting is measured by; tests bring their own.
  let clock: any Clock<Duration>
  /// Walks through volumes: measuring and deleting them.
  let disk = WorkPool(limit: 2)
  let startedAt = Timestamp.now()
  /// Containers whose rows cannot be read: nothing of theirs is touched.
  let unreadable = Mutex<Set<String>>([])

  /// Opens the database in `settings.folder` and listens for streams; call `load` before the first request.
  public convenience init(
    images: any ImageService, snapshots: any SnapshotService, tasks: any TaskService, settings: EngineSettings,
    log: Logger
  ) throws {
    try self.init(
      images: images, snapshots: snapshots, tasks: tasks, settings: settings, machine: .read(), log: log)
  }

  init(
    images: any ImageService, snapshots: any SnapshotService, tasks: any TaskService, settings: EngineSettings,
    machine: Machine, log: Logger, clock: any Clock<Duration> = ContinuousClock()
  ) throws {
    self.images = images
    self.snapshots = snapshots
    self.tasks = tasks
    self.settings = settings
    self.machine = machine
    self.log = log
    userNamespaces = try UserNamespaces(remap: settings.userRemap, folder: settings.accounts)
    self.clock = clock
    for folder in [settings.folder, settings.folder + "/containers", settings.folder + "/volumes"] {
      try Folders.make(folder, mode: 0o711)
    }
    store = try ContainerStore(path: settings.folder + "/containers.db")
    events = EventHub(journal: EventJournal(path: settings.folder + "/events.json", log: log))
    streams = StreamServer(path: settings.state + "/gantry-streams.sock", group: settings.group)
    try streams.start()
  }

  /// Lets work under way finish (cleanups), and stops to give out streams. Containers go on.
  public func shutdown() async {
    streams.stop()
    pending.close()
    await tellUse()
    await background.close()
    await events.close()
  }

  var builder: SpecBuilder { SpecBuilder(machine: machine) }

  func files(_ id: String) -> ContainerFiles {
    ContainerFiles(folder: "\(settings.folder)/containers/\(id)", id: id)
  }

  /// Publishes an event of a container: its name, image and labels go with it.
  func publish(_ action: String, _ container: Container, _ attributes: [String: String] = [:]) {
    publish(action, container.definition, name: container.name, attributes)
  }

  /// The same where the name is known: within a change of the container.
  func publish(
    _ action: String, _ definition: ContainerDefinition, name: String, _ attributes: [String: String] = [:]
  ) {
    var all = definition.config.labels ?? [:]
    all["image"] = definition.image
    all["name"] = name
    all.merge(attributes) { _, own in own }
    events.publish(Event("container", action, actor: definition.id, attributes: all))
  }
}

/// Runs `body` to its end even when the caller goes away: a change that has begun is not left half done.
func shielded<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws(Fault) -> Result {
  switch await Task(operation: body).result {
  case .success(let value): return value
  case .failure(let error): throw Fault(describing: error)
  }
}

/// Runs `body`; nil when it fails with one of `codes`, as when what it works on is gone already.
@discardableResult
func allowing<Result>(_ codes: FaultCode..., body: () async throws -> Result) async throws -> Result? {
  do {
    return try await body()
  } catch let fault as Fault {
    guard codes.contains(fault.code) else { throw fault }
    return nil
  }
}

/// Runs `body` and lets every error out as a fault.
func faulted<Result>(_ body: () async throws -> Result) async throws(Fault) -> Result {
  do {
    return try await body()
  } catch is CancellationError {
    throw Fault(.cancelled, "the call was taken back")
  } catch {
    throw Fault(describing: error)
  }
}
