internal import Faults
internal import FoundationEssentials
internal import GRDB
internal import OCI

/// A row of `name`.
struct NameRow {
  var repository: String
  var tag: String
  var manifest: Digest
  var tagged: Double

  /// `docker.io/library/busybox:latest`.
  var canonical: String { "\(repository):\(tag)" }

  /// `busybox:latest`; names in the database were normalised before, so the canonical form is never needed in fact.
  var familiar: String { (try? Reference(parsing: canonical))?.familiar ?? canonical }

  /// `busybox`.
  var familiarRepository: String { (try? Reference(parsing: repository))?.familiarName ?? repository }

  init(_ row: Row) throws {
    repository = row["repository"]
    tag = row["tag"]
    manifest = try Digest(parsing: row["manifest"])
    tagged = row["tagged"]
  }
}

/// A row of `image`.
struct ImageRow {
  var manifest: Descriptor
  var config: Descriptor
  var created: String?
  var os: String
  var architecture: String
  var variant: String?
  var labels: [String: String]
  var added: Double

  var id: Digest { config.digest }
  var platform: Platform { Platform(os: os, architecture: architecture, variant: variant) }

  init(_ row: Row) throws {
    manifest = Descriptor(
      mediaType: row["manifest_type"], digest: try Digest(parsing: row["manifest"]), size: row["manifest_size"])
    config = Descriptor(mediaType: row["config_type"], digest: try Digest(parsing: row["id"]), size: row["config_size"])
    created = row["created"]
    os = row["os"]
    architecture = row["architecture"]
    variant = row["variant"]
    let text: String = row["labels"]
    labels = try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
    added = row["added"]
  }
}

/// The statements; each takes an open access of `ImageDatabase`.
enum ImageQueries {
  static func images(_ database: Database) throws -> [ImageRow] {
    try Row.fetchAll(database, sql: "SELECT * FROM image ORDER BY added DESC, manifest").map(ImageRow.init)
  }

  static func image(_ database: Database, manifest: Digest) throws -> ImageRow? {
    try Row.fetchOne(database, sql: "SELECT * FROM image WHERE manifest = ?", arguments: [manifest.rawValue])
      .map(ImageRow.init)
  }

  /// The images with this id, newest first: the same configuration can have come with several manifests.
  static func images(_ database: Database, id: Digest) throws -> [ImageRow] {
    try Row.fetchAll(
      database, sql: "SELECT * FROM image WHERE id = ? ORDER BY added DESC, manifest", arguments: [id.rawValue]
    ).map(ImageRow.init)
  }

  /// The different ids that begin with the hexadecimal digits `prefix`; two at most, enough to know of an ambiguity.
  static func ids(_ database: Database, prefix: String) throws -> [Digest] {
    // The digits were checked, so no character of the pattern has a meaning of its own.
    try String.fetchAll(
      database, sql: "SELECT DISTINCT id FROM image WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2",
      arguments: ["sha256:" + prefix]
    ).map { try Digest(parsing: $0) }
  }

  static func names(_ database: Database) throws -> [NameRow] {
    try Row.fetchAll(database, sql: "SELECT * FROM name ORDER BY repository, tag").map(NameRow.init)
  }

  /// The names of all manifests of the image `id`.
  static func names(_ database: Database, id: Digest) throws -> [NameRow] {
    try Row.fetchAll(
      database,
      sql: """
        SELECT name.* FROM name JOIN image ON image.manifest = name.manifest WHERE image.id = ?
        ORDER BY repository, tag
        """, arguments: [id.rawValue]
    ).map(NameRow.init)
  }

  static func name(_ database: Database, repository: String, tag: String) throws -> NameRow? {
    try Row.fetchOne(
      database, sql: "SELECT * FROM name WHERE repository = ? AND tag = ?", arguments: [repository, tag]
    ).map(NameRow.init)
  }

  /// Whether any tag of `repository` is the manifest `digest` or has the configuration `digest`.
  static func manifest(_ database: Database, repository: String, digest: Digest) throws -> Digest? {
    try String.fetchOne(
      database,
      sql: """
        SELECT image.manifest FROM name JOIN image ON image.manifest = name.manifest
        WHERE repository = ?1 AND (image.manifest = ?2 OR image.id = ?2)
        UNION ALL SELECT manifest FROM pulled WHERE repository = ?1 AND (digest = ?2 OR manifest = ?2) LIMIT 1
        """, arguments: [repository, digest.rawValue]
    ).map { try Digest(parsing: $0) }
  }

  static func layers(_ database: Database, manifest: Digest) throws -> [ImageRecord.Layer] {
    try Row.fetchAll(
      database, sql: "SELECT * FROM layer WHERE manifest = ? ORDER BY position", arguments: [manifest.rawValue]
    ).map { row in
      ImageRecord.Layer(
        descriptor: Descriptor(
          mediaType: row["media_type"], digest: try Digest(parsing: row["digest"]), size: row["size"]),
        diffID: try Digest(parsing: row["diff_id"]), chainID: try Digest(parsing: row["chain_id"]),
        expandedSize: row["expanded_size"])
    }
  }

  /// The sum of the layers' bytes by manifest.
  static func sizes(_ database: Database) throws -> [Digest: Int64] {
    var sizes: [Digest: Int64] = [:]
    for row in try Row.fetchAll(
      database, sql: "SELECT manifest, SUM(COALESCE(expanded_size, size)) AS size FROM layer GROUP BY manifest")
    {
      sizes[try Digest(parsing: row["manifest"])] = row["size"]
    }
    return sizes
  }

  static func chainIDs(_ database: Database) throws -> Set<Digest> {
    Set(try String.fetchAll(database, sql: "SELECT DISTINCT chain_id FROM layer").map { try Digest(parsing: $0) })
  }

  /// Adds the image, or only notes its return when it is known.
  static func insert(_ database: Database, _ image: ImageRecord, added: Double) throws {
    let labels = String(decoding: try ImageDocument.encode(image.labels), as: UTF8.self)
    try database.execute(
      sql: """
        INSERT INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (manifest) DO UPDATE SET added = excluded.added
        """,
      arguments: [
        image.manifest.digest.rawValue, image.manifest.mediaType, image.manifest.size, image.id.rawValue,
        image.config.mediaType, image.config.size, image.created, image.os, image.architecture, image.variant, labels,
        added,
      ])
    for (position, layer) in image.layers.enumerated() {
      try database.execute(
        sql: "INSERT INTO layer VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        arguments: [
          image.manifest.digest.rawValue, position, layer.descriptor.digest.rawValue, layer.descriptor.mediaType,
          layer.descriptor.size, layer.diffID.rawValue, layer.chainID.rawValue, layer.expandedSize,
        ])
    }
  }

  /// Makes `name` refer to `manifest`, whatever it referred to before.
  static func setName(_ database: Database, _ name: Reference, manifest: Digest, at time: Double) throws {
    try database.execute(
      sql: """
        INSERT INTO name VALUES (?, ?, ?, ?)
        ON CONFLICT (repository, tag) DO UPDATE SET manifest = excluded.manifest, tagged = excluded.tagged
        """,
      arguments: [name.name, name.tag ?? Reference.defaultTag, manifest.rawValue, time])
  }

  static func removeName(_ database: Database, repository: String, tag: String) throws {
    try database.execute(sql: "DELETE FROM name WHERE repository = ? AND tag = ?", arguments: [repository, tag])
    try database.execute(
      sql: "DELETE FROM pulled WHERE repository = ? AND reference = ?", arguments: [repository, tag])
  }

  static func removeImages(_ database: Database, id: Digest) throws {
    try database.execute(sql: "DELETE FROM image WHERE id = ?", arguments: [id.rawValue])
    try database.execute(sql: "DELETE FROM image_use WHERE id = ?", arguments: [id.rawValue])
  }
}
