internal import JSONRPC
internal import OCI
internal import Protocol

/// `gantry manifest push`: makes a list an image for several platforms at its registry.
struct ManifestPush: Command {
  static let about = About(
    usage: "[OPTIONS] MANIFEST_LIST", summary: "Push a manifest list to a repository", arity: .exactly(1),
    discussion: """
      Images of other repositories of the same registry are taken over there; nothing is uploaded but the list.
      """,
    examples: [("gantry manifest push --purge localhost:5000/box:1", "Push the list, and forget it here")])
  static let flags: [Flag<ManifestPush>] = [
    .toggle("insecure", nil, "Allow push to an insecure registry") { $0.insecure = $1 },
    .toggle("purge", "p", "Remove the local manifest list after push") { $0.purges = $1 },
  ]

  var insecure = false
  var purges = false
  var list = ""

  mutating func take(operands: [String]) throws { list = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let target = try Reference(parsing: list).withDefaultTag
    let store = try session.manifestStore()
    guard let manifests = try store.manifests(of: target), !manifests.isEmpty else {
      throw CommandFailure("No such manifest: \(target.familiar): make it with gantry manifest create")
    }
    let entries = try manifests.map { manifest in
      guard let platform = manifest.descriptor.platform, !platform.os.isEmpty, !platform.architecture.isEmpty else {
        throw CommandFailure(
          "manifest \(manifest.reference) must have an OS and Architecture to be pushed to a registry: set them with "
            + "gantry manifest annotate")
      }
      let name = try Reference(parsing: manifest.reference)
      return IndexEntry(repository: name.name, descriptor: manifest.descriptor)
    }
    let answer = try session.call(
      GatewayAPI.Method.imagePushIndex,
      .init(
        reference: target.canonical, mediaType: Self.indexType(of: manifests), manifests: entries,
        insecure: insecure ? true : nil, auth: session.registryAuth(domain: target.domain)))
    Output.write("\(answer.digest)\n")
    if purges { _ = try store.remove(target) }
    return 0
  }

  /// Docker's type for a list of Docker's manifests alone; OCI's when there is one of OCI's.
  static func indexType(of manifests: [ListedManifest]) -> String {
    manifests.allSatisfy { $0.descriptor.mediaType == MediaType.dockerManifest }
      ? MediaType.dockerIndex : MediaType.ociIndex
  }
}
