internal import FoundationEssentials
internal import GRDB

/// A row of `content`: a folder with the files of one layer.
struct ContentRecord: Sendable, Equatable {
  var id: Int64
  var diffID: String?
  var place: SnapshotFolders.Place?
  var bytes: Int64
  var inodes: Int64
  var isOpaque: Bool

  init(_ row: Row) {
    id = row["id"]
    diffID = row["diff_id"]
    place = row["place"]
    bytes = row["bytes"]
    inodes = row["inodes"]
    isOpaque = row["is_opaque"]
  }
}

/// A row of `layer` with what it takes from its content.
struct LayerRecord: Sendable, Equatable {
  var chainID: String
  var parent: String?
  var content: Int64
  var created: String
  var labels: [String: String]
  var place: SnapshotFolders.Place?
  var bytes: Int64
  var inodes: Int64
  var isOpaque: Bool

  init(_ row: Row) {
    chainID = row["chain_id"]
    parent = row["parent"]
    content = row["content"]
    created = row["created"]
    labels = Labels.read(row["labels"])
    place = row["place"]
    bytes = row["bytes"]
    inodes = row["inodes"]
    isOpaque = row["is_opaque"]
  }
}

/// A row of `snapshot`.
struct SnapshotRecord: Sendable, Equatable {
  enum Kind: String { case active, view }

  var key: String
  var kind: Kind
  var parent: String?
  var place: SnapshotFolders.Place?
  var isVolatile: Bool
  var created: String
  var labels: [String: String]

  init(_ row: Row) {
    key = row["key"]
    kind = Kind(rawValue: row["kind"]) ?? .view
    parent = row["parent"]
    place = row["place"]
    isVolatile = row["is_volatile"]
    created = row["created"]
    labels = Labels.read(row["labels"])
  }

  init(
    key: String, kind: Kind, parent: String?, place: SnapshotFolders.Place?, isVolatile: Bool, labels: [String: String]
  ) {
    self.key = key
    self.kind = kind
    self.parent = parent
    self.place = place
    self.isVolatile = isVolatile
    self.labels = labels
    created = Labels.now()
  }
}

/// Labels as JSON text, and the time as RFC 3339 text.
enum Labels {
  static func read(_ text: String) -> [String: String] {
    (try? JSONDecoder().decode([String: String].self, from: Data(text.utf8))) ?? [:]
  }

  static func write(_ labels: [String: String]) -> String {
    if labels.isEmpty { return "{}" }
    guard let data = try? JSONEncoder().encode(labels) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  static func now() -> String {
    Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
  }
}

// MARK: - Statements

extension Database {
  func content(diffID: String) throws -> ContentRecord? {
    try row("SELECT * FROM content WHERE diff_id = ?", [diffID]).map(ContentRecord.init)
  }

  func contents() throws -> [ContentRecord] {
    try Row.fetchAll(self, sql: "SELECT * FROM content ORDER BY id").map(ContentRecord.init)
  }

  func layer(_ chainID: String) throws -> LayerRecord? {
    try row(layerColumns + " WHERE chain_id = ?", [chainID]).map(LayerRecord.init)
  }

  func layers() throws -> [LayerRecord] {
    try Row.fetchAll(self, sql: layerColumns + " ORDER BY sequence").map(LayerRecord.init)
  }

  /// The layer `chainID` and those below it, topmost first; empty when there is no such layer.
  func stack(_ chainID: String) throws -> [LayerRecord] {
    var stack: [LayerRecord] = []
    var next: String? = chainID
    while let chainID = next, let layer = try layer(chainID) {
      stack.append(layer)
      next = layer.parent
    }
    return stack
  }

  func snapshot(_ key: String) throws -> SnapshotRecord? {
    try row("SELECT * FROM snapshot WHERE key = ?", [key]).map(SnapshotRecord.init)
  }

  func snapshots() throws -> [SnapshotRecord] {
    try Row.fetchAll(self, sql: "SELECT * FROM snapshot ORDER BY sequence").map(SnapshotRecord.init)
  }

  func insert(_ snapshot: SnapshotRecord) throws {
    try run(
      "INSERT INTO snapshot (key, kind, parent, place, is_volatile, created, labels) VALUES (?, ?, ?, ?, ?, ?, ?)",
      [
        snapshot.key, snapshot.kind.rawValue, snapshot.parent, snapshot.place, snapshot.isVolatile, snapshot.created,
        Labels.write(snapshot.labels),
      ])
  }

  /// Adds a content and gives its id; an earlier one with the same diffID takes over the place.
  func insertContent(
    diffID: String?, place: SnapshotFolders.Place, bytes: Int64, inodes: Int64, isOpaque: Bool
  ) throws -> Int64 {
    if let diffID, let old = try content(diffID: diffID) {
      try run(
        "UPDATE content SET place = ?, bytes = ?, inodes = ?, is_opaque = ? WHERE id = ?",
        [place, bytes, inodes, isOpaque, old.id])
      return old.id
    }
    try run(
      "INSERT INTO content (diff_id, place, bytes, inodes, is_opaque) VALUES (?, ?, ?, ?, ?)",
      [diffID, place, bytes, inodes, isOpaque])
    return lastInsertedRowID
  }

  func insertLayer(chainID: String, parent: String?, content: Int64, labels: [String: String]) throws {
    try run(
      "INSERT OR IGNORE INTO layer (chain_id, parent, content, created, labels) VALUES (?, ?, ?, ?, ?)",
      [chainID, parent, content, Labels.now(), Labels.write(labels)])
  }

  /// One statement, compiled once per connection.
  func run(_ sql: String, _ arguments: StatementArguments) throws {
    try cachedStatement(sql: sql).execute(arguments: arguments)
  }

  private func row(_ sql: String, _ arguments: StatementArguments) throws -> Row? {
    try Row.fetchOne(cachedStatement(sql: sql), arguments: arguments)
  }
}

private let layerColumns = """
  SELECT chain_id, parent, content, created, labels, place, bytes, inodes, is_opaque
  FROM layer JOIN content ON content.id = layer.content
  """
