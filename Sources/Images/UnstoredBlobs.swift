internal import ContentStore
public import Faults
internal import GRDB
internal import GarbageCollection
internal import Logging
public import OCI
public import SystemPackage
internal import Tar

/// Blobs of layers that are not stored, because the snapshot service can make their bytes again from the layer's files.
///
/// Their digests are rows of `unstored`. When somebody needs the bytes, they come in by an ingest like any other blob, under
/// a lease; when it ends, and nothing else holds them, they are collected like any blob that nothing needs.
extension ImageStore {
  /// The layers of images that are not stored for good, each blob once.
  public func missing(_ references: [String], platform: Platform? = nil) throws(Fault) -> [LayerSource] {
    var seen: Set<Digest> = []
    var missing: [LayerSource] = []
    for reference in references {
      for image in try savedImages(reference, platform: platform) {
        let (layers, unstored) = try database.read { database in
          (try ImageQueries.layers(database, manifest: image.row.manifest.digest), try ImageQueries.unstored(database))
        }
        for layer in layers {
          let digest = layer.descriptor.digest
          guard content.size(of: digest) == nil || unstored.contains(digest.rawValue) else { continue }
          guard seen.insert(layer.descriptor.digest).inserted else { continue }
          missing.append(
            LayerSource(
              descriptor: layer.descriptor, diffID: layer.diffID, chainID: layer.chainID,
              path: content.path(of: layer.descriptor.digest).string))
        }
      }
    }
    return missing
  }

  /// Holds the blob `digest`, which an image must have, under a lease. Whether it is there.
  public func hold(_ digest: Digest, lease: String) throws(Fault) -> Bool {
    try database.write { database in
      guard try ImageQueries.isLayer(database, digest) else {
        throw Fault(.notFound, "no image has the layer \(digest)")
      }
      try LeaseRows.hold(database, lease, [digest.rawValue])
    }
    return content.size(of: digest) != nil
  }

  /// Takes the bytes of a held blob from an open socket or file, to the end, and makes the blob visible when they are right.
  public func receive(
    _ digest: Digest, _ size: Int64, from descriptor: Int32, isCancelled: () -> Bool = { false }
  ) throws(Fault) -> FilePath {
    let ingest = try content.ingest(digest.algorithm)
    do {
      let source = DescriptorSource(descriptor, name: "the layer \(digest)", chunkSize: 1 << 20)
      while true {
        if isCancelled() { throw Fault(.cancelled, "the blob is not wanted any more") }
        let chunk = try source.next()
        if chunk.isEmpty { break }
        guard ingest.size + Int64(chunk.count) <= size else {
          throw Fault(.corrupt, "the layer \(digest) has more than its \(size) bytes")
        }
        try ingest.append(chunk)
      }
      try restore(try ingest.finish(expected: digest, expectedSize: size))
      return content.path(of: digest)
    } catch {
      ingest.cancel()
      throw Fault(describing: error)
    }
  }

  /// Makes the blob visible. Its row says that it is not kept for good.
  private func restore(_ blob: StagedBlob) throws(Fault) {
    try database.write { database in
      guard try ImageQueries.isLayer(database, blob.digest) else {
        throw Fault(.conflict, "the image of the layer \(blob.digest) was removed meanwhile")
      }
      try ImageQueries.addUnstored(database, blob.digest)
      try content.publish([blob])
    }
  }

  /// Ends holds of a call. Blobs that can be made again go with the last.
  func endHold(_ digests: [Digest]) {
    holds.release(digests.map(\.rawValue))
    let unstored = try? database.read { try ImageQueries.unstored($0) }
    guard digests.contains(where: { unstored?.contains($0.rawValue) ?? false }) else { return }
    do throws(Fault) { try collect() } catch {
      log.warning("blobs that can be made again are still stored", metadata: ["error": "\(error)"])
    }
  }
}

extension ImageQueries {
  static func addUnstored(_ database: Database, _ digest: Digest) throws {
    try database.execute(sql: "INSERT OR IGNORE INTO unstored VALUES (?)", arguments: [digest.rawValue])
  }

  /// The blob was stored for good, as every other one.
  static func removeUnstored(_ database: Database, _ digest: Digest) throws {
    try database.execute(sql: "DELETE FROM unstored WHERE digest = ?", arguments: [digest.rawValue])
  }

  /// All of them.
  static func unstored(_ database: Database) throws -> Set<String> {
    Set(try String.fetchAll(database, sql: "SELECT digest FROM unstored"))
  }

  static func isLayer(_ database: Database, _ digest: Digest) throws -> Bool {
    try Bool.fetchOne(database, sql: "SELECT 1 FROM layer WHERE digest = ? LIMIT 1", arguments: [digest.rawValue])
      ?? false
  }

  /// Forgets what no image has any more.
  static func forgetUnstored(_ database: Database) throws {
    try database.execute(sql: "DELETE FROM unstored WHERE digest NOT IN (SELECT digest FROM layer)")
  }
}
