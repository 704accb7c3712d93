internal import Faults
internal import FoundationEssentials
internal import OCI
internal import Registry

/// Brings images into one repository of a registry.
///
///     HEAD manifest ─ there ─────────────────────► PUT manifest under its tag
///        │ not there                                        ▲
///        └► blobs, several at once (`BlobUpload`) ──────────┘
struct RepositoryPush: Sendable {
  /// Blobs that are looked at or uploaded at the same time, as Docker's.
  static let parallelUploads = 5

  let repository: Reference
  let client: RegistryClient
  let credentials: RegistryCredentials
  let progress: @Sendable (PushProgress) -> Void

  private static let silent: @Sendable (PushProgress) -> Void = { _ in }

  private var scope: RegistryScope { .push(repository.path) }
  private var path: String { "/\(repository.path)" }

  func push(_ image: PushPlan.Image) async throws(Fault) -> PushedManifest {
    for blob in image.layers { progress(.prepare(blob.descriptor.digest, size: blob.descriptor.size)) }
    let (head, endpoint) = try await client.send(
      RegistryRequest(
        "HEAD", .path("\(path)/manifests/\(image.manifest.digest)"),
        what: "the manifest \(image.manifest.digest.short)",
        scopes: [scope], fields: [HTTPField("Accept", image.manifest.mediaType)], accepts: [404]),
      registry: repository.domain, needing: .push, credentials: credentials)
    if (200..<300).contains(head.status) {
      // A registry that has the manifest has its blobs, unless somebody removed some of them behind its back.
      do throws(Fault) {
        let pushed = try await put(image, endpoint)
        for blob in image.layers { progress(.exists(blob.descriptor.digest)) }
        progress(.tag(pushed))
        return pushed
      } catch {
        guard error.code == .invalidArgument || error.code == .notFound else { throw error }
      }
    }
    try await upload(image, endpoint)
    let pushed = try await put(image, endpoint)
    progress(.tag(pushed))
    return pushed
  }

  private func upload(_ image: PushPlan.Image, _ endpoint: RegistryEndpoint) async throws(Fault) {
    // People are told of layers alone, as by Docker.
    let layers = Set(image.layers.map(\.descriptor.digest))
    let uploads = image.blobs.map { blob in
      BlobUpload(
        blob: blob, repository: repository, client: client, endpoint: endpoint, credentials: credentials,
        progress: layers.contains(blob.descriptor.digest) ? progress : Self.silent)
    }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (index, upload) in uploads.enumerated() {
          if index >= Self.parallelUploads { try await group.next() }
          group.addTask { try await upload.run() }
        }
        try await group.waitForAll()
      }
    } catch {
      throw error is CancellationError ? Fault(.cancelled, "the push was taken back") : Fault(describing: error)
    }
  }

  private func put(_ image: PushPlan.Image, _ endpoint: RegistryEndpoint) async throws(Fault) -> PushedManifest {
    let digest = image.manifest.digest
    let answer = try await client.send(
      RegistryRequest(
        "PUT", .path("\(path)/manifests/\(image.tag)"), what: "the manifest of \(repository.familiarName):\(image.tag)",
        scopes: [scope], fields: [HTTPField("Content-Type", image.manifest.mediaType)], body: .data(image.document),
        isRepeatable: true),
      to: endpoint, credentials: credentials)
    if let told = answer.head["Docker-Content-Digest"], told != digest.rawValue {
      throw Fault(
        .corrupt,
        "\(endpoint.base.authority) took the manifest \(digest) for another one: it did not keep it byte for byte")
    }
    return PushedManifest(tag: image.tag, digest: digest, size: image.manifest.size)
  }
}
