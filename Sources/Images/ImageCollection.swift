internal import ContentStore
public import Faults
internal import FoundationEssentials
internal import GRDB
public import GarbageCollection
internal import OCI

/// What a collection removed.
public struct Collected: Sendable, Equatable {
  /// The number of blobs.
  public var blobs = 0
  /// The bytes of disk that they took.
  public var bytes: Int64 = 0
}

/// Which content stays: what images need, what leases hold, and what running calls count on. An image goes only by name
/// (`remove`); content goes by itself when nothing needs it.
extension ImageStore {
  /// Removes content that nothing needs, and what cut transfers left long ago.
  @discardableResult
  public func collect() throws(Fault) -> Collected {
    var collected = try changeAndCollect { _ in }.collected
    collected.bytes += try content.removeOldPartials()
    return collected
  }

  /// Opens the lease `name`, or renews it.
  public func lease(_ name: String, seconds: Double) throws(Fault) {
    try database.write { try LeaseRows.open($0, name, seconds: seconds) }
  }

  /// Ends the lease `name`; what it alone held goes.
  public func release(_ name: String) throws(Fault) {
    let held = try database.write { try LeaseRows.close($0, name) }
    if !held.isEmpty { try collect() }
  }

  /// The valid leases.
  public func leases() throws(Fault) -> [Lease] { try database.read { try LeaseRows.all($0) } }

  /// Holds the content of the image that `reference` means under a lease.
  func hold(_ reference: String, _ lease: String) throws(Fault) {
    try database.write { database in
      let row = try Self.find(database, reference).row
      let layers = try ImageQueries.layers(database, manifest: row.manifest.digest)
      try LeaseRows.hold(
        database, lease,
        [row.manifest.digest.rawValue, row.id.rawValue] + layers.map(\.descriptor.digest.rawValue))
    }
  }

  /// Removes what the graph of rows, leases, calls and files says; runs between two writes of the database.
  func collect(_ database: Database) throws -> Collected {
    try ImageQueries.forgetUnstored(database)
    var graph = try Self.graph(database)
    graph.add(.call("running"), needs: holds.held.map { .blob($0) }, isRoot: true)
    var blobs: [String: Digest] = [:]
    for digest in try content.list().keys {
      blobs[digest.rawValue] = digest
      graph.add(.blob(digest.rawValue))
    }
    var collected = Collected()
    for case .blob(let name) in graph.garbage {
      guard let digest = blobs[name] else { continue }
      collected.bytes += try content.remove(digest)
      collected.blobs += 1
    }
    return collected
  }

  /// Names, images and leases, and the blobs and layers that they need.
  static func graph(_ database: Database) throws -> ObjectGraph {
    var graph = ObjectGraph()
    for row in try Row.fetchAll(database, sql: "SELECT manifest, id FROM image") {
      let manifest: String = row["manifest"]
      graph.add(.image(manifest), needs: [.blob(manifest), .blob(row["id"])], isRoot: true)
    }
    let unstored = try ImageQueries.unstored(database)
    for row in try Row.fetchAll(database, sql: "SELECT manifest, digest, chain_id FROM layer") {
      let digest: String = row["digest"]
      // A layer that can be made again of its files needs no blob: what is there of it goes when nobody holds it.
      graph.add(
        .image(row["manifest"]), needs: (unstored.contains(digest) ? [] : [.blob(digest)]) + [.layer(row["chain_id"])])
    }
    for name in try Row.fetchAll(database, sql: "SELECT repository, tag, manifest FROM name") {
      let (repository, tag): (String, String) = (name["repository"], name["tag"])
      graph.add(.name("\(repository):\(tag)"), needs: [.image(name["manifest"])], isRoot: true)
    }
    for lease in try LeaseRows.all(database) {
      graph.add(.lease(lease.name), needs: lease.holds.map { .blob($0) }, isRoot: true)
    }
    return graph
  }
}
