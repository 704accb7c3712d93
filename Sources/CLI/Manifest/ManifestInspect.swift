internal import FoundationEssentials
internal import OCI

/// `gantry manifest inspect`: a manifest or a list, of this machine's lists or of a registry.
struct ManifestInspect: Command {
  static let about = About(
    usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST", summary: "Display an image manifest, or manifest list",
    arity: .atLeast(1),
    examples: [
      ("gantry manifest inspect localhost:5000/box:1", "What the registry has, without pulling it"),
      ("gantry manifest inspect -v localhost:5000/box:1", "With names, descriptors and platforms"),
    ])
  static let flags: [Flag<ManifestInspect>] = [
    .toggle("insecure", nil, "Allow communication with an insecure registry") { $0.insecure = $1 },
    .toggle("verbose", "v", "Output additional info including layers and platform") { $0.verbose = $1 },
  ]

  var insecure = false
  var verbose = false
  var list: String?
  var name = ""

  mutating func take(operands: [String]) throws {
    guard operands.count <= 2 else {
      throw CommandFailure.usage("'gantry manifest inspect' requires at most 2 arguments")
    }
    list = operands.count == 2 ? operands[0] : nil
    name = operands.last ?? ""
  }

  func run(in session: Session) throws -> Int32 {
    let wanted = try Reference(parsing: name).withDefaultTag
    let store = try session.manifestStore()
    if let list {
      let target = try Reference(parsing: list).withDefaultTag
      guard let manifest = try store.manifest(of: wanted, in: target) else {
        throw CommandFailure("No such manifest: \(wanted.familiar) in \(target.familiar)")
      }
      return try show(manifest)
    }
    if let manifests = try store.manifests(of: wanted) {
      if verbose { return try show(manifests) }
      let index = ImageIndex(
        manifests: manifests.map(\.descriptor), mediaType: ManifestPush.indexType(of: manifests))
      return try show(try ImageDocument.encode(index))
    }
    let found = try session.remoteManifest(wanted, insecure: insecure)
    let content = Data(found.content.utf8)
    guard verbose else { return try show(content) }
    if found.config != nil { return try show(try session.listedManifest(wanted, insecure: insecure)) }
    let index = try ImageDocument.index(
      content, mediaType: found.mediaType, digest: try Digest(parsing: found.digest))
    return try show(
      try index.manifests.map { descriptor in
        var manifest = try session.listedManifest(wanted.withDigest(descriptor.digest), insecure: insecure)
        manifest.descriptor.platform = descriptor.platform
        return manifest
      })
  }

  private func show(_ value: some Encodable) throws -> Int32 {
    if !verbose, let manifest = value as? ListedManifest { return try show(manifest.raw) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try show(try encoder.encode(value))
  }

  /// The document as it is, in lines.
  private func show(_ document: Data) throws -> Int32 {
    do {
      Output.write(try OrderedJSON(parsing: Array(document)).pretty + "\n")
    } catch {
      throw CommandFailure("the manifest of \(name) is not JSON")
    }
    return 0
  }
}
