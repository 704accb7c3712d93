internal import Faults
internal import GRDB
internal import GarbageCollection

extension Database {
  /// Contents, layers, snapshots and leases, and what they need.
  func graph() throws -> ObjectGraph {
    var graph = ObjectGraph()
    for content in try contents() { graph.add(.content(String(content.id))) }
    for layer in try layers() {
      graph.add(
        .layer(layer.chainID), needs: [.content(String(layer.content))] + (layer.parent.map { [.layer($0)] } ?? []))
    }
    for snapshot in try snapshots() {
      graph.add(.snapshot(snapshot.key), needs: snapshot.parent.map { [.layer($0)] } ?? [], isRoot: true)
    }
    for lease in try LeaseRows.all(self) {
      graph.add(.lease(lease.name), needs: try nodes(lease.holds), isRoot: true)
    }
    return graph
  }

  /// What names of chainIDs and diffIDs mean in the graph.
  func nodes(_ names: some Sequence<String>) throws -> [ObjectNode] {
    try names.flatMap { name -> [ObjectNode] in
      let content = try content(diffID: name).map { [ObjectNode.content(String($0.id))] }
      return [.layer(name)] + (content ?? [])
    }
  }

  /// Removes the rows of layers and contents that go; gives the contents, whose folders go after.
  func remove(_ garbage: [ObjectNode]) throws -> (layers: [String], contents: [ContentRecord]) {
    let records = try Dictionary(uniqueKeysWithValues: contents().map { (String($0.id), $0) })
    var layers: [String] = []
    var unused: [ContentRecord] = []
    for node in garbage {
      switch node {
      case .layer(let chainID):
        try run("DELETE FROM layer WHERE chain_id = ?", [chainID])
        layers.append(chainID)
      case .content(let id):
        guard let record = records[id] else { continue }
        try run("DELETE FROM content WHERE id = ?", [record.id])
        unused.append(record)
      default: break
      }
    }
    return (layers, unused)
  }

  /// Removes the rows of `layers` and gives the contents that nothing needs any more, whose rows are gone too.
  ///
  /// Throws `conflict` when a layer or snapshot that stays stands on one of them.
  ///
  /// - Parameter held: diffIDs and chainIDs that stay whatever happens.
  func removeLayers(_ layers: [String], held: Set<String>) throws -> [ContentRecord] {
    let leaving = Set(layers)
    for chainID in layers {
      if held.contains(chainID) {
        throw Fault(.conflict, "the layer \(chainID) is in use by a call or a lease")
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
    var graph = try self.graph()
    graph.add(.call("held"), needs: try nodes(held), isRoot: true)
    let kept = try self.layers().map(\.chainID).filter { !leaving.contains($0) }
    graph.add(.call("kept"), needs: kept.map { .layer($0) }, isRoot: true)
    return try remove(graph.garbage).contents
  }
}
