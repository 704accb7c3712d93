internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI

/// Where the files of an OCI image layout come from: an archive that was read, or a folder.
protocol LayoutSource {
  /// The bytes of a small file of the layout, by its path from the top.
  func document(_ path: String, _ what: String) throws(Fault) -> Data
  /// The bytes of a blob that is a document, verified.
  func document(_ descriptor: Descriptor, _ what: String) throws(Fault) -> Data
  /// Whether the layout has a file, by its path from the top.
  func has(_ path: String) -> Bool
  /// A layer, verified.
  func blob(_ descriptor: Descriptor) throws(Fault) -> ImportPlan.Source
}

/// The images of an OCI image layout (OCI image specification 1.1, image-layout.md), also of its Docker dialect.
///
/// An index with several platforms becomes one image: the one for `platform`, or for this machine.
struct LayoutReader {
  let source: any LayoutSource
  let limits: ImportLimits
  /// What the caller asked for; nil is this machine's, and a single image of any platform.
  let platform: Platform?
  /// The repository for names that are only a tag: the folder's name.
  let fallbackRepository: String?

  /// How deep indexes may refer to indexes.
  static let depthLimit = 4

  /// The images that `index.json` names.
  func plans() throws(Fault) -> [ImportPlan] {
    guard source.has("oci-layout") else {
      throw Fault(.invalidArgument, "this folder is not an OCI image layout: it has no file oci-layout")
    }
    let layout = try ImageDocument.decode(
      ImageLayout.self, from: try source.document("oci-layout", "the layout's version"), named: "the file oci-layout")
    guard layout.imageLayoutVersion == ImageLayout.version else {
      throw Fault(
        .unsupported, "the image layout has version \(layout.imageLayoutVersion.prefix(20)); only 1.0.0 is read")
    }
    let index = try ImageDocument.decode(
      ImageIndex.self, from: try source.document("index.json", "the layout's index"), named: "the file index.json")
    guard index.schemaVersion == 2 else {
      throw Fault(.unsupported, "index.json has schema version \(index.schemaVersion); only version 2 is read")
    }
    var plans: [ImportPlan] = []
    for group in groups(index.manifests.filter { !PlatformChoice.isCompanion($0) }) {
      let manifest = try choose(group.candidates, depth: 0)
      if let known = plans.firstIndex(where: { $0.record.manifest.digest == manifest.digest }) {
        plans[known].names += group.names
      } else {
        plans.append(try plan(manifest, names: group.names))
      }
      guard plans.count <= limits.images else {
        throw Fault(.limitExceeded, "the layout has more than \(limits.images) images, which is the limit at once")
      }
    }
    return plans
  }

  private struct Group {
    var names: [Reference]
    var candidates: [Descriptor]
  }

  /// Descriptors of the same name are one image for several platforms; so are those without a name when all of them say
  /// their platform and no two say the same.
  private func groups(_ descriptors: [Descriptor]) -> [Group] {
    var groups: [Group] = []
    var byName: [String: Int] = [:]
    var unnamed: [Descriptor] = []
    for descriptor in descriptors {
      guard let name = name(of: descriptor) else {
        unnamed.append(descriptor)
        continue
      }
      if let known = byName[name.canonical] {
        groups[known].candidates.append(descriptor)
      } else {
        byName[name.canonical] = groups.count
        groups.append(Group(names: [name], candidates: [descriptor]))
      }
    }
    let platforms = unnamed.compactMap(\.platform?.normalized)
    if unnamed.count > 1, platforms.count == unnamed.count, Set(platforms).count == unnamed.count {
      groups.append(Group(names: [], candidates: unnamed))
    } else {
      groups += unnamed.map { Group(names: [], candidates: [$0]) }
    }
    return groups
  }

  /// The name that a descriptor's annotations give; nil when they give none, or only a tag without a repository.
  private func name(of descriptor: Descriptor) -> Reference? {
    if let text = descriptor.annotations?[AnnotationKey.containerdImageName],
      let name = try? ArchiveNames.reference(text)
    {
      return name
    }
    guard let text = descriptor.annotations?[AnnotationKey.refName], !text.isEmpty else { return nil }
    if text.contains("/") || text.contains(":") { return try? ArchiveNames.reference(text) }
    // umoci and buildx write a bare tag here, skopeo whatever it was told.
    let looksLikeTag = text == Reference.defaultTag || text.first.map { $0.isNumber } ?? false
    if looksLikeTag {
      return fallbackRepository.flatMap { try? ArchiveNames.reference("\($0):\(text)") }
    }
    return try? ArchiveNames.reference(text)
  }

  /// The manifest that suits the platform best.
  private func choose(_ candidates: [Descriptor], depth: Int) throws(Fault) -> Descriptor {
    guard depth < Self.depthLimit else {
      throw Fault(.corrupt, "the layout's indexes refer to one another more than \(Self.depthLimit) levels deep")
    }
    if candidates.count == 1, let only = candidates.first {
      guard MediaType.isIndex(only.mediaType) else { return only }
      let index = try ImageDocument.index(
        try source.document(only, "the index"), mediaType: only.mediaType, digest: only.digest)
      return try choose(index.manifests.filter { !PlatformChoice.isCompanion($0) }, depth: depth + 1)
    }
    let best = try PlatformChoice.best(candidates, for: platform ?? Platform.host, in: "the layout")
    return try choose([best], depth: depth + 1)
  }

  private func plan(_ descriptor: Descriptor, names: [Reference]) throws(Fault) -> ImportPlan {
    let data = try source.document(descriptor, "the manifest")
    let manifest = try ImageDocument.manifest(data, mediaType: descriptor.mediaType, digest: descriptor.digest)
    guard manifest.layers.count <= limits.layers else {
      throw Fault(
        .limitExceeded,
        "the image \(descriptor.digest.short) has \(manifest.layers.count) layers; at most \(limits.layers) are accepted"
      )
    }
    let configData = try source.document(manifest.config, "the configuration")
    let config = try ImageDocument.decode(
      ImageConfig.self, from: configData, named: "the configuration \(manifest.config.digest)")
    let bare = Descriptor(mediaType: descriptor.mediaType, digest: descriptor.digest, size: Int64(data.count))
    let record = try ImageRecord(manifest: bare, document: manifest, config: config)
    if let platform, config.platform.distance(from: platform) == nil {
      throw Fault(
        .notFound, "the image \(record.id.short) is for \(config.platform), not for \(platform.normalized)")
    }
    var blobs: [Digest: ImportPlan.Source] = [
      descriptor.digest: .data(data), manifest.config.digest: .data(configData),
    ]
    for layer in manifest.layers where blobs[layer.digest] == nil {
      blobs[layer.digest] = try source.blob(layer)
    }
    return ImportPlan(record: record, names: names, blobs: blobs)
  }
}

/// A layout in an archive.
struct ArchiveLayout: LayoutSource {
  let members: ImportMembers

  func document(_ path: String, _ what: String) throws(Fault) -> Data { try members.document(path, what) }

  func document(_ descriptor: Descriptor, _ what: String) throws(Fault) -> Data {
    let data = try members.document(path(descriptor.digest), what)
    try descriptor.check(digest: Digest.of(data, descriptor.digest.algorithm), size: Int64(data.count), what)
    return data
  }

  func has(_ path: String) -> Bool { members.has(path) }

  func blob(_ descriptor: Descriptor) throws(Fault) -> ImportPlan.Source {
    let member = try members.member(path(descriptor.digest))
    guard let digest = member.digest, let source = ImportPlan.Source(member) else {
      throw Fault(.corrupt, "the layer \(descriptor.digest) of the archive is a link to nothing")
    }
    try descriptor.check(digest: digest, size: member.size, "the layer")
    return source
  }

  private func path(_ digest: Digest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }
}

extension Descriptor {
  /// Throws `corrupt` when content has not the digest and size that this descriptor names.
  func check(digest found: Digest, size length: Int64, _ what: String) throws(Fault) {
    guard found == digest else { throw Fault(.corrupt, "\(what) that should be \(digest) is \(found)") }
    guard length == size else {
      throw Fault(.corrupt, "\(what) \(digest) has \(length) bytes instead of \(size)")
    }
  }
}
