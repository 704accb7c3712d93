public import Faults
public import FoundationEssentials
internal import GRDB
public import OCI

/// What lists and descriptions of images show.
extension ImageStore {
  /// All images, the newest first.
  public func list() throws(Fault) -> [ImageSummary] { try database.read { try Self.list($0) } }

  static func list(_ database: Database) throws -> [ImageSummary] {
    let sizes = try ImageQueries.sizes(database)
    var names: [Digest: [NameRow]] = [:]
    for name in try ImageQueries.names(database) { names[name.manifest, default: []].append(name) }
    var pulled: [Digest: [PulledRow]] = [:]
    for row in try PulledQueries.all(database) { pulled[row.manifest, default: []].append(row) }
    var order: [Digest] = []
    var summaries: [Digest: ImageSummary] = [:]
    for row in try ImageQueries.images(database) {
      let own = names[row.manifest.digest] ?? []
      if summaries[row.id] == nil {
        order.append(row.id)
        summaries[row.id] = ImageSummary(
          id: row.id, repoTags: [], repoDigests: [], created: row.created, size: sizes[row.manifest.digest] ?? 0,
          labels: row.labels, architecture: row.architecture, os: row.os, variant: row.variant,
          manifest: row.manifest.digest)
      }
      summaries[row.id]?.repoTags += own.map(\.familiar)
      summaries[row.id]?.repoDigests += Self.repoDigests(own, pulled[row.manifest.digest] ?? [])
    }
    return order.compactMap { summaries[$0] }.sorted { ($0.created ?? "") > ($1.created ?? "") }
  }

  /// What a registry calls the image, where it came from one; else its manifest.
  static func repoDigests(_ names: [NameRow], _ pulled: [PulledRow]) -> [String] {
    var digests: [String] = []
    let known = Set(pulled.map(\.repository))
    for text in pulled.map(\.familiar)
      + names.filter({ !known.contains($0.repository) }).map({ "\($0.familiarRepository)@\($0.manifest)" })
    where !digests.contains(text) {
      digests.append(text)
    }
    return digests
  }

  /// Everything about one image.
  public func inspect(_ reference: String) throws(Fault) -> ImageDetails {
    let (found, layers, names, pulled) = try database.read { database in
      let found = try Self.find(database, reference)
      return (
        found, try ImageQueries.layers(database, manifest: found.row.manifest.digest),
        try ImageQueries.names(database, id: found.row.id),
        try PulledQueries.all(database).filter { $0.manifest == found.row.manifest.digest }
      )
    }
    let data = try content.read(found.row.id)
    return ImageDetails(
      id: found.row.id, repoTags: names.map(\.familiar), repoDigests: Self.repoDigests(names, pulled),
      manifest: found.row.manifest,
      config: try ImageDocument.decode(ImageConfig.self, from: data, named: "the configuration \(found.row.id)"),
      configData: data, layers: layers.map(\.diffID), size: layers.reduce(0) { $0 + $1.shownSize },
      lastTagged: names.map(\.tagged).max())
  }

  /// How the image came to be, newest first, as Docker lists it.
  public func history(_ reference: String) throws(Fault) -> [HistoryEntry] {
    let (found, layers, names) = try database.read { database in
      let found = try Self.find(database, reference)
      return (
        found, try ImageQueries.layers(database, manifest: found.row.manifest.digest),
        try ImageQueries.names(database, id: found.row.id)
      )
    }
    let config = try ImageDocument.decode(
      ImageConfig.self, from: try content.read(found.row.id), named: "the configuration \(found.row.id)")
    var rest = layers[...]
    var entries = (config.history ?? []).map { line in
      let size = line.emptyLayer == true ? 0 : rest.popFirst()?.shownSize ?? 0
      return HistoryEntry(
        id: "<missing>", created: line.created, createdBy: line.createdBy ?? "", size: size,
        comment: line.comment ?? "", tags: [])
    }
    // Images without a history, and layers that it does not speak of.
    for layer in rest {
      entries.append(
        HistoryEntry(
          id: "<missing>", created: config.created, createdBy: "", size: layer.shownSize, comment: "", tags: []))
    }
    entries.reverse()
    if !entries.isEmpty {
      entries[0].id = found.row.id.rawValue
      entries[0].tags = names.map(\.familiar)
    }
    return entries
  }

  /// The number and size of all blobs.
  public func usage() throws(Fault) -> Usage {
    let blobs = try content.list()
    return Usage(blobs: blobs.count, bytes: blobs.values.reduce(0, +))
  }
}

/// Everything about one image.
public struct ImageDetails: Sendable {
  /// Docker's image id.
  public var id: Digest
  /// Names with tags, familiar.
  public var repoTags: [String]
  /// Names with the manifest's digest, familiar.
  public var repoDigests: [String]
  /// The manifest.
  public var manifest: Descriptor
  /// The configuration.
  public var config: ImageConfig
  /// The configuration as the image has it, with what `ImageConfig` does not know.
  public var configData: Data
  /// The layers' diffIDs, lowest first.
  public var layers: [Digest]
  /// The sum of the layers' sizes in bytes.
  public var size: Int64
  /// When a name was last given, in seconds since 1970; nil without a name.
  public var lastTagged: Double?
}
