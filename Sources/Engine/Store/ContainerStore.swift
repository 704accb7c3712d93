import Faults
import Foundation
import GRDB
import Protocol
import Synchronization

/// The containers on disk: one row each, with its configuration as JSON and its state in columns.
///
///     containers ── id, name, created, image, image_id, parent, config, host_config, mounts, user_namespace,
///                   one_shot, phase, pid, started, finished, exit_code, oom, error
///                   restart_policy (JSON; NULL: as in host_config), restarts, backoff (ms), by_hand, again
///     volume ────── name, created, labels, options, anonymous, doomed     (the folder is volumes/<name>; doomed: it goes,
///                   at the latest at the next start; who has it is in `mounts` of the containers)
///
/// One connection writes, in order. `durable` writes reach the disk before they return (`synchronous=FULL`); the others
/// survive a kill of this process, but a power failure may take the latest with it: that is right for `--rm` containers,
/// which a power failure ends anyway.
final class ContainerStore: Sendable {
  let queue: DatabaseQueue
  private let full = Mutex(false)

  /// Opens, creates or migrates the database at `path`. A damaged one is refused and left as it is: to go on without it
  /// would take every running container for a stranger.
  init(path: String) throws {
    do {
      queue = try ContainerStore.open(path)
    } catch let error as DatabaseError where error.resultCode == .SQLITE_NOTADB || error.resultCode == .SQLITE_CORRUPT {
      throw Fault(
        .corrupt,
        "The container database \(path) is damaged. Move it away (with its -wal and -shm) to start without its containers, "
          + "or restore it from a backup", cause: ["\(error)"])
    } catch let error as DatabaseError {
      throw ContainerStore.fault(error, path)
    }
  }

  private static func open(_ path: String) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.journalMode = .wal
    configuration.busyMode = .timeout(5)
    configuration.label = "gantry.containers"
    configuration.prepareDatabase { db in
      try db.execute(sql: "PRAGMA synchronous = NORMAL")
      try db.execute(sql: "PRAGMA cache_size = -1024")
      try db.execute(sql: "PRAGMA mmap_size = 0")
    }
    let queue = try DatabaseQueue(path: path, configuration: configuration)
    try ContainerStore.migrations.migrate(queue)
    return queue
  }

  private static func fault(_ error: DatabaseError, _ path: String) -> Fault {
    switch error.resultCode {
    case .SQLITE_FULL:
      Fault(.noSpace, "No space is left for the container database \(path): free some", cause: ["\(error)"])
    case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CANTOPEN:
      Fault(.readOnly, "The container database \(path) cannot be written: check its folder", cause: ["\(error)"])
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      Fault(.locked, "The container database \(path) is held by another process", cause: ["\(error)"])
    case .SQLITE_IOERR:
      Fault(.noSpace, "The container database \(path) cannot be written: is its disk full?", cause: ["\(error)"])
    default: Fault(.internal, "The container database \(path) failed", cause: ["\(error)"])
    }
  }

  /// Append-only: a migration that was released is never changed.
  private static var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1-containers") { db in
      try db.execute(
        sql: """
          CREATE TABLE containers (
            id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, image TEXT NOT NULL,
            image_id TEXT NOT NULL, parent TEXT, config BLOB NOT NULL, host_config BLOB NOT NULL, mounts BLOB NOT NULL,
            one_shot INTEGER NOT NULL, phase TEXT NOT NULL, pid INTEGER, started INTEGER, finished INTEGER,
            exit_code INTEGER, oom INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT ''
          ) WITHOUT ROWID;
          CREATE TABLE volumes (
            id TEXT NOT NULL PRIMARY KEY, container TEXT NOT NULL, destination TEXT NOT NULL, created INTEGER NOT NULL
          ) WITHOUT ROWID;
          """)
    }
    migrator.registerMigration("2-restarts") { db in
      try db.execute(
        sql: """
          ALTER TABLE containers ADD COLUMN restart_policy BLOB;
          ALTER TABLE containers ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
          ALTER TABLE containers ADD COLUMN backoff INTEGER NOT NULL DEFAULT 0;
          ALTER TABLE containers ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0;
          ALTER TABLE containers ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
          """)
    }
    migrator.registerMigration("3-user-namespaces") { db in
      try db.execute(sql: "ALTER TABLE containers ADD COLUMN user_namespace BLOB")
    }
    migrator.registerMigration("4-volumes", migrate: ContainerStore.addVolumes)
    return migrator
  }

  func write(durable: Bool, _ body: @escaping @Sendable (Database) throws -> Void) async throws {
    do {
      try await queue.writeWithoutTransaction { db in
        let isFull = self.full.withLock { value in
          let before = value
          value = durable
          return before
        }
        if isFull != durable { try db.execute(sql: "PRAGMA synchronous = \(durable ? "FULL" : "NORMAL")") }
        try db.inTransaction(.immediate) {
          try body(db)
          return .commit
        }
      }
    } catch let error as DatabaseError {
      throw ContainerStore.fault(error, queue.path)
    }
  }

  /// Adds a container and the volumes that are made with it.
  func insert(_ row: ContainerRow, volumes: [Volume], durable: Bool) async throws {
    try await write(durable: durable) { db in
      let statement = try db.cachedStatement(
        sql: """
          INSERT INTO containers (id, name, created, image, image_id, parent, config, host_config, mounts, user_namespace,
            one_shot, phase)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
          """)
      try statement.execute(arguments: [
        row.id, row.name, row.created, row.image, row.imageID, row.parent, row.config, row.hostConfig, row.mounts,
        row.userNamespace, row.oneShot, row.phase,
      ])
      for volume in volumes { try ContainerStore.insert(volume, doomed: false, db) }
    }
  }

  /// Writes a container's state and what decides over its next start; a row that is gone stays gone.
  func update(id: String, state: ContainerState, restarts: Restarts, durable: Bool) async throws {
    let columns = StateColumns(state)
    try await write(durable: durable) { db in
      let statement = try db.cachedStatement(
        sql: """
          UPDATE containers SET phase = ?, pid = ?, started = ?, finished = ?, exit_code = ?, oom = ?, error = ?,
            restarts = ?, backoff = ?, by_hand = ?, again = ?
          WHERE id = ?
          """)
      try statement.execute(arguments: [
        columns.phase, columns.pid, columns.started, columns.finished, columns.exitCode, columns.oom, columns.error,
        restarts.count, restarts.backoff, restarts.stoppedByHand, restarts.again, id,
      ])
    }
  }

  /// Writes what decides over a container's next start, its policy too.
  func update(id: String, restarts: Restarts, durable: Bool) async throws {
    let policy = try JSONEncoder().encode(restarts.policy.wire)
    try await write(durable: durable) { db in
      try db.execute(
        sql: "UPDATE containers SET restart_policy = ?, restarts = ?, backoff = ?, by_hand = ?, again = ? WHERE id = ?",
        arguments: [policy, restarts.count, restarts.backoff, restarts.stoppedByHand, restarts.again, id])
    }
  }

  /// Writes that a run has begun, unless that run is already known to have ended (this comes late by design).
  func updateRunning(id: String, state: ContainerState, restarts: Restarts) async throws {
    guard let running = state.running else { return }
    try await write(durable: false) { db in
      try db.cachedStatement(
        sql: """
          UPDATE containers SET phase = 'running', pid = ?, started = ?, restarts = ?, backoff = ?, by_hand = ?, again = ?
          WHERE id = ? AND phase IN ('created', 'starting', 'exited', 'restarting')
            AND (finished IS NULL OR finished < ?)
          """
      ).execute(arguments: [
        running.pid, running.startedAt.nanoseconds, restarts.count, restarts.backoff, restarts.stoppedByHand,
        restarts.again, id, running.startedAt.nanoseconds,
      ])
    }
  }

  /// Writes a container's other limits.
  func update(id: String, hostConfig: Data) async throws {
    try await write(durable: true) { db in
      try db.execute(sql: "UPDATE containers SET host_config = ? WHERE id = ?", arguments: [hostConfig, id])
    }
  }

  /// Gives a container another name.
  func rename(id: String, name: String) async throws {
    try await write(durable: true) { db in
      try db.execute(sql: "UPDATE containers SET name = ? WHERE id = ?", arguments: [name, id])
    }
  }

  /// Deletes a container's row. The volumes that go with it are marked as doomed in the same step: their rows go when
  /// their folders have gone (`forgetVolumes`).
  func delete(id: String, dooming volumes: [String], durable: Bool) async throws {
    try await write(durable: durable) { db in
      try db.cachedStatement(sql: "DELETE FROM containers WHERE id = ?").execute(arguments: [id])
      for name in volumes { try ContainerStore.doom(name, db) }
    }
  }

  /// Runs one statement; for tests that make a row what no engine writes.
  func execute(_ sql: String) async throws { try await write(durable: false) { try $0.execute(sql: sql) } }

  /// Every container.
  func containers() async throws -> [ContainerRow] {
    try await queue.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM containers").map(ContainerRow.init(row:))
    }
  }
}

/// A container's row.
struct ContainerRow: Sendable {
  var id: String
  var name: String
  /// Nanoseconds since 1970, as all times here.
  var created: Int64
  /// The image as it was asked for.
  var image: String
  /// `sha256:` and the digest of the image's config.
  var imageID: String
  /// chainID of the image's topmost layer; nil for an image without layers.
  var parent: String?
  /// JSON of the merged configuration.
  var config: Data
  var hostConfig: Data
  /// JSON of its bind and volume mounts.
  var mounts: Data
  /// JSON of its ids outside; nil when they are the host's.
  var userNamespace: Data?
  /// Made by one call that also starts it: without a task it never came to be.
  var oneShot: Bool
  var phase: String
  var state: ContainerState
  /// JSON of the restart policy, when it was changed; nil: as in the host configuration.
  var policy: Data?
  var restarts = Restarts()

  init(
    id: String, name: String, created: Int64, image: String, imageID: String, parent: String?, config: Data,
    hostConfig: Data, mounts: Data, userNamespace: Data? = nil, oneShot: Bool, state: ContainerState
  ) {
    self.id = id
    self.name = name
    self.created = created
    self.image = image
    self.imageID = imageID
    self.parent = parent
    self.config = config
    self.hostConfig = hostConfig
    self.mounts = mounts
    self.userNamespace = userNamespace
    self.oneShot = oneShot
    self.state = state
    phase = StateColumns(state).phase
  }

  init(row: Row) {
    id = row["id"]
    name = row["name"]
    created = row["created"]
    image = row["image"]
    imageID = row["image_id"]
    parent = row["parent"]
    config = row["config"]
    hostConfig = row["host_config"]
    mounts = row["mounts"]
    userNamespace = row["user_namespace"]
    oneShot = row["one_shot"]
    phase = row["phase"]
    state =
      StateColumns(
        phase: row["phase"], pid: row["pid"], started: row["started"], finished: row["finished"],
        exitCode: row["exit_code"],
        oom: row["oom"], error: row["error"], backoff: row["backoff"]
      ).state
    policy = row["restart_policy"]
    if let policy, let wire = try? JSONDecoder().decode(GatewayAPI.RestartPolicy.self, from: policy) {
      restarts.policy = (try? RestartPolicy(wire)) ?? .never
    }
    restarts.count = row["restarts"]
    restarts.backoff = row["backoff"]
    restarts.stoppedByHand = row["by_hand"]
    restarts.again = row["again"]
  }
}

/// A container's state, as columns.
struct StateColumns: Equatable {
  var phase: String
  var pid: Int?
  var started: Int64?
  var finished: Int64?
  var exitCode: Int?
  var oom = false
  var error = ""
  /// Milliseconds from the end to the next start, for one that waits for it.
  var backoff = 0

  init(
    phase: String, pid: Int?, started: Int64?, finished: Int64?, exitCode: Int?, oom: Bool, error: String, backoff: Int
  ) {
    self.phase = phase
    self.pid = pid
    self.started = started
    self.finished = finished
    self.exitCode = exitCode
    self.oom = oom
    self.error = error
    self.backoff = backoff
  }

  init(_ state: ContainerState) {
    phase = state.word
    if case .starting = state { phase = "starting" }
    if let last = state.last {
      started = last.startedAt?.nanoseconds
      finished = last.finishedAt.nanoseconds
      exitCode = last.code
      oom = last.oomKilled
      error = last.error
    }
    if let running = state.running {
      pid = running.pid
      started = running.startedAt.nanoseconds
    }
    if case .dead(let reason, _) = state { error = reason }
    if case .restarting(let waiting) = state {
      backoff = Int((waiting.due.nanoseconds - waiting.last.finishedAt.nanoseconds) / 1_000_000)
    }
  }

  private var last: ContainerState.Exited? {
    guard let finished, let exitCode else { return nil }
    return ContainerState.Exited(
      code: exitCode, startedAt: started.map(Timestamp.init(nanoseconds:)),
      finishedAt: Timestamp(nanoseconds: finished),
      oomKilled: oom, error: error)
  }

  /// The state they stand for. An unknown phase of a newer version is an ended container, never a lost one.
  var state: ContainerState {
    switch phase {
    case "created": return last.map { .exited($0) } ?? .created  // a start may have failed
    case "starting": return .starting(last: last)
    case "running", "paused":
      var before = last
      before?.startedAt = nil
      let running = ContainerState.Running(
        pid: pid ?? 0, startedAt: Timestamp(nanoseconds: started ?? 0), last: before)
      return phase == "paused" ? .paused(running) : .running(running)
    case "removing": return .removing(last: last)
    case "restarting":
      guard let last else { return .created }
      let due = Timestamp(nanoseconds: last.finishedAt.nanoseconds + Int64(backoff) * 1_000_000)
      return .restarting(.init(last: last, due: due))
    case "dead": return .dead(reason: error, last: last)
    default: return last.map { .exited($0) } ?? .created
    }
  }
}
