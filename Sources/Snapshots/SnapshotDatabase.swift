internal import Faults
internal import Foundation
internal import GRDB
internal import GarbageCollection
internal import Linux
internal import SystemPackage

/// The rows of the service in SQLite:
///
///     content   one row per folder with a layer's files: diffID (none for a committed snapshot), place, size
///       ↑
///     layer     one row per chainID: its parent layer and its content; equal diffIDs share one content
///       ↑
///     snapshot  one row per writable or read-only snapshot: key, parent layer, place of its folder
///     lease, lease_hold  see `LeaseRows`: what is held are chainIDs and diffIDs
///
/// A `place` that is NULL is set aside: the folder was not there at a start. Unpacking the layer again heals it.
struct SnapshotDatabase: Sendable {
  private let queue: DatabaseQueue

  /// Opens the database and brings its schema up to date.
  init(_ path: FilePath) throws {
    var configuration = Configuration()
    configuration.journalMode = .wal
    configuration.busyMode = .timeout(5)
    configuration.label = "snapshots"
    configuration.prepareDatabase { database in
      // A row may be lost in a power failure, never torn: content is synced before its row, and a layer whose row is lost
      // is unpacked again.
      try database.execute(sql: "PRAGMA synchronous = NORMAL")
      try database.execute(sql: "PRAGMA cache_size = -512")
    }
    // SQLite gives its journal the rights of the database: they are set before it writes anything.
    _ = try openat2(nil, path.string, [.readWrite, .create, .noFollow], mode: 0o600)
    queue = try DatabaseQueue(path: path.string, configuration: configuration)
    try Self.migrator.migrate(queue)
  }

  /// Named and append-only.
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 contents, layers and snapshots") { database in
      try database.execute(
        sql: """
          CREATE TABLE content (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, diff_id TEXT UNIQUE, place TEXT UNIQUE,
            bytes INTEGER NOT NULL, inodes INTEGER NOT NULL, is_opaque INTEGER NOT NULL
          ) STRICT;
          CREATE TABLE layer (
            sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, chain_id TEXT NOT NULL UNIQUE,
            parent TEXT REFERENCES layer (chain_id), content INTEGER NOT NULL REFERENCES content (id),
            created TEXT NOT NULL, labels TEXT NOT NULL
          ) STRICT;
          CREATE INDEX layer_parent ON layer (parent);
          CREATE INDEX layer_content ON layer (content);
          CREATE TABLE snapshot (
            sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
            parent TEXT REFERENCES layer (chain_id), place TEXT UNIQUE, is_volatile INTEGER NOT NULL,
            created TEXT NOT NULL, labels TEXT NOT NULL
          ) STRICT;
          CREATE INDEX snapshot_parent ON snapshot (parent);
          """)
    }
    migrator.registerMigration("2 leases") { database in try database.execute(sql: LeaseRows.schema) }
    return migrator
  }

  /// Runs `body` on a consistent state.
  func read<Result>(_ body: (Database) throws -> Result) throws(Fault) -> Result {
    do { return try queue.read(body) } catch { throw Self.fault(error) }
  }

  /// Runs `change` in one immediate transaction.
  func write<Result>(_ change: (Database) throws -> Result) throws(Fault) -> Result {
    do {
      return try queue.writeWithoutTransaction { database in
        var result: Result?
        try database.inTransaction(.immediate) {
          result = try change(database)
          return .commit
        }
        // inTransaction either ran its block to the end or threw.
        return result!
      }
    } catch {
      throw Self.fault(error)
    }
  }

  /// Any error of a database access as a fault in plain words.
  static func fault(_ error: any Error) -> Fault {
    if let error = error as? Errno { return Fault(storing: error, "the snapshot database") }
    guard let error = error as? DatabaseError else { return Fault(describing: error) }
    let cause = [error.message ?? "SQLite error \(error.extendedResultCode.rawValue)"]
    switch error.resultCode {
    case .SQLITE_FULL:
      return Fault(.noSpace, "the snapshot database cannot grow: the disk is full; free some space", cause: cause)
    case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM:
      return Fault(
        .readOnly, "the snapshot database cannot be written; check its folder's rights and mount", cause: cause)
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      return Fault(.locked, "another process holds the snapshot database", cause: cause)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB:
      return Fault(.corrupt, "the snapshot database is damaged", cause: cause)
    default:
      return Fault(.internal, "the snapshot database failed", cause: cause)
    }
  }
}
