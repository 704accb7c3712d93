internal import GRDB
internal import OCI

/// A row of `pulled`: what a registry called an image when it was fetched.
struct PulledRow {
  var repository: String
  /// A tag, or a digest.
  var reference: String
  var platform: String
  /// The digest that the registry gave: of an index, or of the manifest itself.
  var digest: Digest
  var manifest: Digest

  /// `busybox@sha256:…`.
  var familiar: String { "\((try? Reference(parsing: repository))?.familiarName ?? repository)@\(digest)" }

  init(repository: String, reference: String, platform: String, digest: Digest, manifest: Digest) {
    self.repository = repository
    self.reference = reference
    self.platform = platform
    self.digest = digest
    self.manifest = manifest
  }

  init(_ row: Row) throws {
    repository = row["repository"]
    reference = row["reference"]
    platform = row["platform"]
    digest = try Digest(parsing: row["digest"])
    manifest = try Digest(parsing: row["manifest"])
  }
}

/// The statements about `pulled`.
enum PulledQueries {
  static func all(_ database: Database) throws -> [PulledRow] {
    try Row.fetchAll(database, sql: "SELECT * FROM pulled ORDER BY repository, reference, platform").map(PulledRow.init)
  }

  static func row(
    _ database: Database, repository: String, reference: String, platform: String
  ) throws -> PulledRow? {
    try Row.fetchOne(
      database, sql: "SELECT * FROM pulled WHERE repository = ? AND reference = ? AND platform = ?",
      arguments: [repository, reference, platform]
    ).map(PulledRow.init)
  }

  static func set(_ database: Database, _ row: PulledRow) throws {
    try database.execute(
      sql: """
        INSERT INTO pulled VALUES (?, ?, ?, ?, ?) ON CONFLICT (repository, reference, platform)
        DO UPDATE SET digest = excluded.digest, manifest = excluded.manifest
        """,
      arguments: [row.repository, row.reference, row.platform, row.digest.rawValue, row.manifest.rawValue])
  }
}
