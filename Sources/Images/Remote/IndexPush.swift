internal import ContentStore
public import Faults
internal import FoundationEssentials
public import OCI
public import Registry

/// An index that is made at a registry of manifests that are there.
public struct IndexPush: Sendable {
  /// One manifest, and the repository that has it.
  public struct Entry: Sendable {
    public var repository: Reference
    public var descriptor: Descriptor

    public init(repository: Reference, descriptor: Descriptor) {
      self.repository = repository
      self.descriptor = descriptor
    }
  }

  private static let mostManifests = 1000

  private let target: Reference
  private let mediaType: String
  private let entries: [Entry]
  private let client: RegistryClient
  private let credentials: RegistryCredentials

  /// - Parameter target: name and tag of the index.
  public init(
    target: Reference, mediaType: String, entries: [Entry], client: RegistryClient, credentials: RegistryCredentials
  ) throws(Fault) {
    guard MediaType.isIndex(mediaType) else {
      throw Fault(.invalidArgument, "\(mediaType.prefix(100)) is not the type of an index")
    }
    guard (1...Self.mostManifests).contains(entries.count) else {
      throw Fault(.invalidArgument, "an index lists 1 to \(Self.mostManifests) manifests, not \(entries.count)")
    }
    if let stranger = entries.first(where: { $0.repository.domain != target.domain }) {
      throw Fault(
        .invalidArgument,
        "cannot use source images from a different registry than the target image: "
          + "\(stranger.repository.domain) != \(target.domain)")
    }
    self.target = target.withDefaultTag
    self.mediaType = mediaType
    self.entries = entries
    self.client = client
    self.credentials = credentials
  }

  /// Brings the manifests into the index's repository, then puts the index there.
  public func push() async throws(Fault) -> (digest: Digest, size: Int64) {
    var moved: Set<Digest> = []
    for entry in entries where entry.repository.path != target.path {
      if moved.insert(entry.descriptor.digest).inserted { try await bring(entry) }
    }
    let document = try ImageDocument.encode(ImageIndex(manifests: entries.map(\.descriptor), mediaType: mediaType))
    let digest = Digest.of(document)
    try await put(document, mediaType, key: target.digest?.rawValue ?? target.tag ?? Reference.defaultTag)
    return (digest, Int64(document.count))
  }

  private func put(_ document: Data, _ mediaType: String, key: String) async throws(Fault) {
    _ = try await client.send(
      RegistryRequest(
        "PUT", .path("/\(target.path)/manifests/\(key)"), what: "the index \(target.familiarName):\(key)",
        scopes: [.push(target.path)], fields: [HTTPField("Content-Type", mediaType)], body: .data(document),
        isRepeatable: true),
      registry: target.domain, needing: .push, credentials: credentials)
  }

  /// Mounts what a manifest of another repository is made of, and puts the manifest under its digest.
  private func bring(_ entry: Entry) async throws(Fault) {
    let source = entry.repository.withDigest(entry.descriptor.digest)
    let found = try await client.manifest(of: source, credentials: credentials)
    guard MediaType.isManifest(found.mediaType) else {
      throw Fault(.unsupported, "\(source.familiar) is an index: an index lists images, not other indexes")
    }
    let manifest = try ImageDocument.manifest(found.content, mediaType: found.mediaType, digest: found.digest)
    for blob in [manifest.config] + manifest.layers { try await mount(blob.digest, from: entry.repository) }
    try await put(found.content, found.mediaType, key: found.digest.rawValue)
  }

  private func mount(_ blob: Digest, from source: Reference) async throws(Fault) {
    let answer = try await client.send(
      RegistryRequest(
        "POST", .path("/\(target.path)/blobs/uploads/?mount=\(blob)&from=\(source.path)"),
        what: "the blob \(blob.short) of \(source.familiarName)", scopes: [.push(target.path), .pull(source.path)]),
      registry: target.domain, needing: .push, credentials: credentials)
    guard answer.answer.status == 201 else {
      throw Fault(
        .unsupported,
        "\(target.domain) does not take blobs of \(source.familiarName) over into \(target.familiarName): push that image to \(target.familiarName) first, and list it from there"
      )
    }
  }
}
