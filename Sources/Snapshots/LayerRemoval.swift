internal import Faults
internal import GRDB

extension Database {
  /// Removes the rows of `layers` and gives the contents that nothing needs any more, whose rows are gone too.
  ///
  /// Throws `conflict` when a layer or snapshot that stays stands on one of them.
  ///
  /// - Parameter pinned: diffIDs and chainIDs that stay whatever happens.
  func removeLayers(_ layers: [String], pinned: Set<String>) throws -> [ContentRecord] {
    let leaving = Set(layers)
    for chainID in layers {
      if pinned.contains(chainID) {
        throw Fault(.conflict, "the layer \(chainID) is being unpacked")
      }
      if let key = try String.fetchOne(self, sql: "SELECT key FROM snapshot WHERE parent = ?", arguments: [chainID]) {
        throw Fault(.conflict, "the layer \(chainID) is below the snapshot \(key): remove that first")
      }
      let children = try String.fetchAll(
        self, sql: "SELECT chain_id FROM layer WHERE parent = ?", arguments: [chainID])
      if let child = children.first(where: { !leaving.contains($0) }) {
        throw Fault(.conflict, "the layer \(chainID) is below the layer \(child): remove that first")
      }
    }
    // Children were made after their parents, so the newest goes first.
    let ordered = try self.layers().map(\.chainID).filter { leaving.contains($0) }.reversed()
    for chainID in ordered { try run("DELETE FROM layer WHERE chain_id = ?", [chainID]) }
    let unused = try Row.fetchAll(self, sql: "SELECT * FROM content WHERE id NOT IN (SELECT content FROM layer)")
      .map(ContentRecord.init).filter { content in content.diffID.map { !pinned.contains($0) } ?? true }
    for content in unused { try run("DELETE FROM content WHERE id = ?", [content.id]) }
    return unused
  }
}
