internal import Archive
internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI

/// The archive of `docker save` since Docker 1.10, and of `podman save`:
///
///     manifest.json     [{"Config": NAME, "RepoTags": [NAME:TAG], "Layers": [NAME]}]
///     CONFIG.json       the configuration; its digest is the image's id
///     NAME/layer.tar    the layers, often plain, sometimes links to one another
///
/// An image gets an OCI manifest whose layers are the archive's bytes as they are.
struct DockerArchive {
  let members: ImportMembers
  let content: ContentStore
  let limits: ImportLimits

  private struct Entry: Decodable {
    var config: String
    var repoTags: [String]?
    var layers: [String]?

    private enum CodingKeys: String, CodingKey {
      case config = "Config"
      case repoTags = "RepoTags"
      case layers = "Layers"
    }
  }

  /// The images of `manifest.json`.
  func plans() throws(Fault) -> [ImportPlan] {
    var plans: [ImportPlan] = []
    for entry in try entries() {
      let config = try members.document(entry.config, "the image's configuration")
      try checkName(entry.config, of: config)
      plans.append(
        try plan(config: config, layers: entry.layers ?? [], names: try ArchiveNames.references(entry.repoTags ?? [])))
    }
    return plans
  }

  /// The names in `manifest.json` by image id, for archives that are OCI layouts as well.
  func names() throws(Fault) -> [Digest: [Reference]] {
    var names: [Digest: [Reference]] = [:]
    for entry in try entries() {
      guard let tags = entry.repoTags, !tags.isEmpty, let id = try members.member(entry.config).digest else { continue }
      names[id, default: []] += try ArchiveNames.references(tags)
    }
    return names
  }

  private func entries() throws(Fault) -> [Entry] {
    let entries = try ImageDocument.decode(
      [Entry].self, from: try members.document("manifest.json", "the list of images"),
      named: "the archive's manifest.json")
    guard entries.count <= limits.images else {
      throw Fault(
        .limitExceeded, "the archive has \(entries.count) images; at most \(limits.images) are imported at once")
    }
    return entries
  }

  /// A configuration that is named by its digest must have it.
  private func checkName(_ name: String, of config: Data) throws(Fault) {
    let last = name.split(separator: "/").last.map(String.init) ?? name
    let stem = last.hasSuffix(".json") ? String(last.dropLast(5)) : last
    guard let digest = try? Digest(parsing: "sha256:" + stem) else { return }
    guard Digest.of(config) == digest else {
      throw Fault(.corrupt, "the configuration \(ImportMembers.shown(name)) in the archive does not have that digest")
    }
  }

  /// One image of a configuration and the names of its layers, lowest first.
  func plan(config data: Data, layers names: [String], names references: [Reference]) throws(Fault) -> ImportPlan {
    let id = Digest.of(data)
    let config = try ImageDocument.decode(ImageConfig.self, from: data, named: "the configuration \(id)")
    guard names.count <= limits.layers else {
      throw Fault(
        .limitExceeded, "the image \(id.short) has \(names.count) layers; at most \(limits.layers) are accepted")
    }
    guard names.count == config.rootfs.diffIDs.count else {
      throw Fault(
        .corrupt,
        "the image \(id.short) has \(names.count) layers in manifest.json but \(config.rootfs.diffIDs.count) in its configuration"
      )
    }
    var blobs: [Digest: ImportPlan.Source] = [id: .data(data)]
    var layers: [Descriptor] = []
    for (name, diffID) in zip(names, config.rootfs.diffIDs) {
      let (descriptor, source) = try layer(name, diffID)
      blobs[descriptor.digest] = source
      layers.append(descriptor)
    }
    let configDescriptor = Descriptor(mediaType: MediaType.ociConfig, digest: id, size: Int64(data.count))
    let manifest = ImageManifest(config: configDescriptor, layers: layers)
    let manifestData = try ImageDocument.encode(manifest)
    let digest = Digest.of(manifestData)
    blobs[digest] = .data(manifestData)
    let descriptor = Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: Int64(manifestData.count))
    return ImportPlan(
      record: try ImageRecord(manifest: descriptor, document: manifest, config: config), names: references, blobs: blobs
    )
  }

  /// The descriptor and the bytes of the layer in the member `name`.
  private func layer(_ name: String, _ diffID: Digest) throws(Fault) -> (Descriptor, ImportPlan.Source) {
    let member = try members.member(name)
    guard let digest = member.digest, let source = ImportPlan.Source(member) else {
      throw Fault(.corrupt, "the layer \(ImportMembers.shown(name)) of the archive is a link to nothing")
    }
    func described(_ mediaType: String) -> Descriptor {
      Descriptor(mediaType: mediaType, digest: digest, size: member.size)
    }
    let head: Data
    switch member {
    case .memory(let data, _): head = data.prefix(6)
    case .staged(let blob): head = try blob.head(6)
    case .stored, .link: head = try content.head(digest, 6)
    }
    switch head.withUnsafeBytes({ Compression(head: $0) }) {
    case .gzip: return (described(MediaType.ociLayerGzip), source)
    case .zstd: return (described(MediaType.ociLayerZstd), source)
    case .none:
      guard digest == diffID else {
        throw Fault(
          .corrupt,
          "the layer \(ImportMembers.shown(name)) of the archive is \(digest), but the image's configuration says \(diffID)"
        )
      }
      return (described(MediaType.ociLayer), source)
    case .xz, .bzip2:
      // OCI has no type for these: the layer is stored as its plain tar, which is what the diffID names.
      let plain = try LayerExpansion.expand(source, digest: digest, expected: diffID, content: content, limits: limits)
      return (Descriptor(mediaType: MediaType.ociLayer, digest: diffID, size: plain.size), .staged(plain))
    }
  }
}

/// Names as archives write them.
enum ArchiveNames {
  static func references(_ texts: [String]) throws(Fault) -> [Reference] {
    var references: [Reference] = []
    for text in texts where text != "<none>:<none>" { references.append(try reference(text)) }
    return references
  }

  static func reference(_ text: String) throws(Fault) -> Reference {
    do throws(Fault) {
      let reference = try Reference(parsing: text)
      return reference.digest == nil
        ? reference.withDefaultTag : try reference.withTag(reference.tag ?? Reference.defaultTag)
    } catch {
      throw Fault(
        .corrupt, "the archive gives an image a name that is none: \(ImportMembers.shown(text))", cause: [error.message]
      )
    }
  }
}
