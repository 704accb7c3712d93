import Faults
import Foundation
import GRDB

/// The rows of volumes.
extension ContainerStore {
  /// The migration `4-volumes`: volumes with names, labels and options. Until then there were anonymous ones alone.
  static func addVolumes(_ db: Database) throws {
    try db.execute(
      sql: """
        CREATE TABLE volume (
          name TEXT NOT NULL PRIMARY KEY, created INTEGER NOT NULL, labels TEXT NOT NULL, options TEXT NOT NULL,
          anonymous INTEGER NOT NULL, doomed INTEGER NOT NULL
        ) WITHOUT ROWID;
        INSERT INTO volume
          SELECT id, created, '{"\(Volume.anonymousLabel)":""}', '{}', 1, container = '' FROM volumes;
        DROP TABLE volumes;
        """)
  }

  /// Adds volumes before their folders are made.
  ///
  /// - Parameter doomed: nil: anonymous ones are, until their container has a row.
  func insert(_ volumes: [Volume], durable: Bool, doomed: Bool? = nil) async throws {
    try await write(durable: durable) { db in
      for volume in volumes { try ContainerStore.insert(volume, doomed: doomed ?? volume.isAnonymous, db) }
    }
  }

  /// Marks a volume as one that goes, whatever happens from here on.
  func doom(_ name: String) async throws {
    try await write(durable: true) { try ContainerStore.doom(name, $0) }
  }

  /// Deletes the rows of volumes whose folders are gone.
  func forgetVolumes(_ names: [String]) async throws {
    guard !names.isEmpty else { return }
    try await write(durable: false) { db in
      for name in names { try db.execute(sql: "DELETE FROM volume WHERE name = ?", arguments: [name]) }
    }
  }

  /// Every volume; the doomed ones are to be removed.
  func volumes() async throws -> [(volume: Volume, isDoomed: Bool)] {
    try await queue.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM volume").map { row in
        let decoder = JSONDecoder()
        func map(_ column: String) -> [String: String] {
          (try? decoder.decode([String: String].self, from: Data((row[column] as String).utf8))) ?? [:]
        }
        let volume = Volume(
          name: row["name"], created: Timestamp(nanoseconds: row["created"]), labels: map("labels"),
          options: map("options"), isAnonymous: row["anonymous"])
        return (volume, row["doomed"])
      }
    }
  }

  static func insert(_ volume: Volume, doomed: Bool, _ db: Database) throws {
    func text(_ map: [String: String]) throws -> String {
      String(decoding: try JSONEncoder().encode(map), as: UTF8.self)
    }
    try db.cachedStatement(
      sql: """
        INSERT INTO volume (name, created, labels, options, anonymous, doomed) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET doomed = excluded.doomed
        """
    ).execute(arguments: [
      volume.name, volume.created.nanoseconds, try text(volume.labels), try text(volume.options), volume.isAnonymous,
      doomed,
    ])
  }

  static func doom(_ name: String, _ db: Database) throws {
    try db.execute(sql: "UPDATE volume SET doomed = 1 WHERE name = ?", arguments: [name])
  }
}
