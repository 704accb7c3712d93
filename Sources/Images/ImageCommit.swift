internal import ContentStore
public import Faults
internal import FoundationEssentials
internal import GRDB
internal import JSONRPC
public import OCI

/// What an image is to be made of.
public struct CommitRequest: Sendable {
  /// The image below; nil for none.
  public var parent: Digest?
  /// The new layer's diffID and the bytes of its archive; nil when only the configuration is new.
  public var layer: (diffID: Digest, size: Int64)?
  /// What a container of the image runs.
  public var execution: ImageConfig.Execution
  /// When, RFC 3339.
  public var created: String
  public var author: String?
  public var comment: String?
  /// The command that made it.
  public var createdBy: String?
  public var names: [String] = []

  /// Makes a request.
  public init(parent: Digest?, layer: (diffID: Digest, size: Int64)?, execution: ImageConfig.Execution, created: String)
  {
    self.parent = parent
    self.layer = layer
    self.execution = execution
    self.created = created
  }
}

extension ImageStore {
  /// Makes an image of another one's layers and a new layer, whose blob is not stored: the snapshot service has its files.
  ///
  /// Throws `notFound` when the parent is not there, `limitExceeded` when it has as many layers as an image may have.
  public func commit(_ request: CommitRequest) throws(Fault) -> ImageSummary {
    var names: [Reference] = []
    for text in request.names {
      let name = try Reference(parsing: text).withDefaultTag
      guard name.digest == nil else {
        throw Fault(.invalidArgument, "an image cannot be named with a digest: \(name.familiar)")
      }
      names.append(name)
    }
    let parent = try request.parent.map { id throws(Fault) in try parentImage(id) }
    let (manifest, config, configData) = try documents(request, parent)
    let manifestData = try ImageDocument.encode(manifest)
    let descriptor = Descriptor(
      mediaType: MediaType.ociManifest, digest: Digest.of(manifestData), size: Int64(manifestData.count))
    let record = try ImageRecord(manifest: descriptor, document: manifest, config: config)
    let blobs = [try content.stage(configData), try content.stage(manifestData)]
    let (layer, given) = (request.layer, names)
    return try change { database in
      if let parent {
        // Its layers' blobs stay only as long as an image has them.
        guard try ImageQueries.image(database, manifest: parent.manifest.digest) != nil else {
          throw Fault(.conflict, "the image \(parent.id.short) was removed while an image on it was made")
        }
      }
      try content.publish(blobs)
      let now = Date().timeIntervalSince1970
      try ImageQueries.insert(database, record, added: now)
      if let layer, content.size(of: layer.diffID) == nil { try ImageQueries.addUnstored(database, layer.diffID) }
      for name in given { try ImageQueries.setName(database, name, manifest: descriptor.digest, at: now) }
      guard let summary = try Self.list(database).first(where: { $0.id == record.id }) else {
        throw Self.noSuchImage(record.id.rawValue)
      }
      return summary
    }
  }

  private struct Parent {
    var id: Digest
    var manifest: Descriptor
    var layers: [Descriptor]
    var config: Data
  }

  private func parentImage(_ id: Digest) throws(Fault) -> Parent {
    let (row, layers) = try database.read { database in
      guard let row = try ImageQueries.images(database, id: id).first else { throw Self.noSuchImage(id.rawValue) }
      return (row, try ImageQueries.layers(database, manifest: row.manifest.digest))
    }
    return Parent(
      id: id, manifest: row.manifest, layers: layers.map(\.descriptor), config: try content.read(row.id))
  }

  /// The manifest and the configuration: the parent's, with what this program does not know of it, and what is new.
  private func documents(
    _ request: CommitRequest, _ parent: Parent?
  ) throws(Fault) -> (ImageManifest, ImageConfig, Data) {
    var document: [String: JSONValue] = [:]
    if let parent {
      document = try ImageDocument.decode(
        [String: JSONValue].self, from: parent.config, named: "the configuration \(parent.id)")
      // Docker's notes of one container and of the build that made the parent are not true of the child.
      for key in ["container", "container_config", "id", "parent", "moby.buildkit.buildinfo.v1", "author", "comment"] {
        document[key] = nil
      }
    } else {
      let host = Platform.host
      document["os"] = .string(host.os)
      document["architecture"] = .string(host.architecture)
      if let variant = host.variant { document["variant"] = .string(variant) }
    }
    let known = try parent.map { parent throws(Fault) in
      try ImageDocument.decode(ImageConfig.self, from: parent.config, named: "the configuration \(parent.id)")
    }
    let diffIDs = (known?.rootfs.diffIDs ?? []) + (request.layer.map { [$0.diffID] } ?? [])
    guard diffIDs.count <= limits.layers else {
      throw Fault(.limitExceeded, "an image has at most \(limits.layers) layers: squash some of the one below")
    }
    let step = ImageConfig.History(
      created: request.created, createdBy: request.createdBy, author: request.author, comment: request.comment,
      emptyLayer: request.layer == nil ? true : nil)
    document["config"] = try json(request.execution)
    document["rootfs"] = try json(ImageConfig.RootFS(diffIDs: diffIDs))
    document["history"] = try json((known?.history ?? []) + [step])
    document["created"] = .string(request.created)
    if let author = request.author { document["author"] = .string(author) }
    if let comment = request.comment { document["comment"] = .string(comment) }
    let data = try ImageDocument.encode(document)
    let config = try ImageDocument.decode(ImageConfig.self, from: data, named: "the new image's configuration")
    var layers = (parent?.layers ?? []).map { layer in
      // The manifest is OCI's; its layers are what they were, by OCI's name of their type.
      var layer = layer
      layer.mediaType = MediaType.oci(layer.mediaType)
      return layer
    }
    if let layer = request.layer {
      layers.append(Descriptor(mediaType: MediaType.ociLayer, digest: layer.diffID, size: layer.size))
    }
    let descriptor = Descriptor(mediaType: MediaType.ociConfig, digest: Digest.of(data), size: Int64(data.count))
    return (ImageManifest(config: descriptor, layers: layers), config, data)
  }

  private func json(_ value: some Encodable) throws(Fault) -> JSONValue {
    try ImageDocument.decode(JSONValue.self, from: try ImageDocument.encode(value), named: "the new configuration")
  }
}
