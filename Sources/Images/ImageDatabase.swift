internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import GRDB
internal import GarbageCollection
internal import Linux
internal import OCI
internal import SystemPackage

/// The names and facts of images in SQLite; content is in the content store beside it.
///
///     image  one row per manifest: its descriptor, the configuration (= image id), created, platform, labels
///     layer  (manifest, position) → blob descriptor, diffID, chainID, size of the plain tar if known
///     unstored  digests of layers whose blobs are not kept, because the snapshot service makes them again (`UnstoredBlobs`)
///     name   (repository, tag) → manifest, when it was tagged
///     pulled (repository, tag or digest, platform) → what the registry called it, an index or a manifest, and our manifest
///     image_use  image id → when it was last used, whether it is pinned
///     lease, lease_hold  see `LeaseRows`: what is held are digests of blobs
///
/// One writer: `write` runs on the queue's own thread, one after the other, so what it also does on disk (publishing and
/// removing blobs, `index.json`) is in the same order as the transactions.
struct ImageDatabase: Sendable {
  private let queue: DatabaseQueue

  /// Opens the database and brings its schema up to date.
  init(path: FilePath) throws(Fault) {
    var configuration = Configuration()
    configuration.journalMode = .wal
    configuration.busyMode = .timeout(5)
    configuration.label = "images"
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA cache_size = -512")
    }
    do {
      // SQLite gives its journal the rights of the database: they are set before it writes anything.
      _ = try openat2(nil, path.string, [.readWrite, .create, .noFollow], mode: 0o600)
    } catch {
      throw Self.fault(error, path)
    }
    do {
      queue = try DatabaseQueue(path: path.string, configuration: configuration)
      // Rule 8: content is on disk before a row names it, a row that was acknowledged stays after a power loss, and content
      // goes after its rows. Not while the database is prepared: GRDB sets NORMAL after that, for its WAL mode.
      try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
      try Self.migrator.migrate(queue)
    } catch {
      throw Self.fault(error)
    }
  }

  private static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 images, layers and names") { database in
      try database.execute(
        sql: """
          CREATE TABLE image (
            manifest TEXT NOT NULL PRIMARY KEY, manifest_type TEXT NOT NULL, manifest_size INTEGER NOT NULL,
            id TEXT NOT NULL, config_type TEXT NOT NULL, config_size INTEGER NOT NULL,
            created TEXT, os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT, labels TEXT NOT NULL,
            added REAL NOT NULL
          ) STRICT;
          CREATE INDEX image_id ON image (id);
          CREATE TABLE layer (
            manifest TEXT NOT NULL REFERENCES image (manifest) ON DELETE CASCADE, position INTEGER NOT NULL,
            digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
            diff_id TEXT NOT NULL, chain_id TEXT NOT NULL,
            PRIMARY KEY (manifest, position)
          ) STRICT, WITHOUT ROWID;
          CREATE INDEX layer_digest ON layer (digest);
          CREATE TABLE name (
            repository TEXT NOT NULL, tag TEXT NOT NULL,
            manifest TEXT NOT NULL REFERENCES image (manifest), tagged REAL NOT NULL,
            PRIMARY KEY (repository, tag)
          ) STRICT, WITHOUT ROWID;
          CREATE INDEX name_manifest ON name (manifest);
          """)
    }
    migrator.registerMigration("2 expanded sizes of layers") { database in
      try database.execute(sql: "ALTER TABLE layer ADD COLUMN expanded_size INTEGER")
    }
    migrator.registerMigration("3 leases, use and pins") { database in
      try database.execute(sql: LeaseRows.schema)
      try database.execute(
        sql: """
          CREATE TABLE image_use (
            id TEXT NOT NULL PRIMARY KEY, used REAL NOT NULL, pinned INTEGER NOT NULL
          ) STRICT, WITHOUT ROWID;
          """)
    }
    migrator.registerMigration("4 what registries call images") { database in
      try database.execute(
        sql: """
          CREATE TABLE pulled (
            repository TEXT NOT NULL, reference TEXT NOT NULL, platform TEXT NOT NULL, digest TEXT NOT NULL,
            manifest TEXT NOT NULL REFERENCES image (manifest) ON DELETE CASCADE,
            PRIMARY KEY (repository, reference, platform)
          ) STRICT, WITHOUT ROWID;
          CREATE INDEX pulled_manifest ON pulled (manifest);
          """)
    }
    migrator.registerMigration("5 layers that are not stored") { database in
      try database.execute(sql: "CREATE TABLE unstored (digest TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID")
    }
    return migrator
  }

  /// Whether every commit is on disk when it returns.
  var isDurable: Bool {
    get throws(Fault) { try read { try Int.fetchOne($0, sql: "PRAGMA synchronous") == 2 } }
  }

  /// Runs `body` on a consistent state.
  func read<Result>(_ body: (Database) throws -> Result) throws(Fault) -> Result {
    do { return try queue.read(body) } catch { throw Self.fault(error) }
  }

  /// Runs `change` in one immediate transaction, and `after` on the state that it left before any other write begins.
  func write<Result>(
    _ change: (Database) throws -> Result, after: (Database, Result) throws -> Void = { _, _ in }
  ) throws(Fault) -> Result {
    do {
      return try queue.writeWithoutTransaction { database in
        var result: Result?
        try database.inTransaction(.immediate) {
          result = try change(database)
          return .commit
        }
        // inTransaction either ran its block to the end or threw.
        let value = result!
        try after(database, value)
        return value
      }
    } catch {
      throw Self.fault(error)
    }
  }

  private static func fault(_ error: Errno, _ path: FilePath) -> Fault {
    switch error {
    case .noSpace, .diskQuotaExceeded:
      Fault(
        .noSpace, "the image database \(path) cannot be made: the disk is full; free some space", cause: ["\(error)"])
    case .readOnlyFileSystem:
      Fault(
        .readOnly, "the image database \(path) is on a read-only file system; mount it writable", cause: ["\(error)"])
    default:
      Fault(.permissionDenied, "the image database \(path) cannot be opened", cause: ["\(error)"])
    }
  }

  /// Any error of a database access as a fault in plain words.
  static func fault(_ error: any Error) -> Fault {
    guard let error = error as? DatabaseError else { return Fault(describing: error) }
    let cause = [error.message ?? "SQLite error \(error.extendedResultCode.rawValue)"]
    switch error.resultCode {
    case .SQLITE_FULL:
      return Fault(.noSpace, "the image database cannot grow: the disk is full; free some space", cause: cause)
    case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM:
      return Fault(.readOnly, "the image database cannot be written; check its folder's rights and mount", cause: cause)
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      return Fault(.locked, "another process holds the image database; try again", cause: cause)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB:
      return Fault(.corrupt, "the image database is damaged", cause: cause)
    default:
      return Fault(.internal, "the image database failed", cause: cause)
    }
  }
}
