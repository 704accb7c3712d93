public import Faults
internal import FoundationEssentials
internal import GRDB
public import OCI

/// An image as the engine's graph has it.
public struct GraphImage: Sendable, Equatable {
  /// Docker's image id.
  public var id: Digest
  /// The manifest's digest.
  public var manifest: Digest
  /// The names with tags, in familiar form.
  public var names: [String]
  /// Whether it is never removed to make room.
  public var isPinned: Bool
  /// When it came, was named, or was last used: seconds since 1970.
  public var used: Double
  /// Its layers, lowest first: positions in `ImageGraph.layers`.
  public var layers: [Int]
}

/// A layer that images have.
public struct GraphLayer: Sendable, Equatable {
  /// The name of the stack up to and including this layer.
  public var chainID: Digest
  /// The blob.
  public var descriptor: Descriptor
  /// The bytes of disk that the blob takes; 0 when it is not there.
  public var stored: Int64
}

/// All images with what they need.
public struct ImageGraph: Sendable, Equatable {
  /// The images, in the order of their manifests.
  public var images: [GraphImage] = []
  /// The layers, each once.
  public var layers: [GraphLayer] = []
  /// The bytes of disk of all content, also of what no image needs.
  public var bytes: Int64 = 0
}

extension ImageStore {
  /// The images and what they need, as one consistent state.
  public func imageGraph() throws(Fault) -> ImageGraph {
    let content = content
    return try database.read { database in
      var graph = ImageGraph()
      var names: [Digest: [NameRow]] = [:]
      for name in try ImageQueries.names(database) { names[name.manifest, default: []].append(name) }
      let uses = try Dictionary(
        uniqueKeysWithValues: Row.fetchAll(database, sql: "SELECT * FROM image_use").map { row in
          (row["id"] as String, (used: row["used"] as Double, isPinned: row["pinned"] as Bool))
        })
      var positions: [Digest: Int] = [:]
      for row in try ImageQueries.images(database) {
        let own = names[row.manifest.digest] ?? []
        let use = uses[row.id.rawValue]
        var image = GraphImage(
          id: row.id, manifest: row.manifest.digest, names: own.map(\.familiar), isPinned: use?.isPinned ?? false,
          used: max(row.added, own.map(\.tagged).max() ?? 0, use?.used ?? 0), layers: [])
        for layer in try ImageQueries.layers(database, manifest: row.manifest.digest) {
          if positions[layer.chainID] == nil {
            positions[layer.chainID] = graph.layers.count
            graph.layers.append(
              GraphLayer(
                chainID: layer.chainID, descriptor: layer.descriptor,
                stored: content.allocated(layer.descriptor.digest)))
          }
          image.layers.append(positions[layer.chainID] ?? 0)
        }
        graph.images.append(image)
      }
      graph.bytes = try content.list().keys.reduce(0) { $0 + content.allocated($1) }
      return graph
    }
  }

  /// Keeps the image that `reference` means from being removed to make room, or allows it again. Returns its id.
  public func pin(_ reference: String, _ pinned: Bool) throws(Fault) -> Digest {
    try database.write { database in
      let id = try Self.find(database, reference).row.id
      try database.execute(
        sql: """
          INSERT INTO image_use VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET pinned = excluded.pinned
          """, arguments: [id.rawValue, 0, pinned])
      return id
    }
  }

  /// Notes that images were used; ids that are gone are passed over.
  public func noteUse(_ ids: [Digest], at time: Double? = nil) throws(Fault) {
    let time = time ?? Date().timeIntervalSince1970
    try database.write { database in
      for id in ids where try !ImageQueries.images(database, id: id).isEmpty {
        try database.execute(
          sql: """
            INSERT INTO image_use VALUES (?, ?, FALSE) ON CONFLICT (id) DO UPDATE SET used = max(used, excluded.used)
            """, arguments: [id.rawValue, time])
      }
    }
  }
}
