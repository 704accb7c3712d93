public import Faults
public import FoundationEssentials
public import OCI

/// A manifest or index as a registry sent it; its digest is not checked yet.
public struct FetchedManifest: Sendable {
  /// The bytes.
  public var data: Data
  /// The `Content-Type`, without parameters; nil when the registry did not say.
  public var mediaType: String?
  /// The digest that the registry names, if it does.
  public var claimed: Digest?
}

/// What a tag leads to, as a registry says without sending it.
public struct ManifestHead: Sendable {
  /// The digest that the registry names; nil when it does not.
  public var digest: Digest?
  /// The `Content-Type`.
  public var mediaType: String?
  /// The length in bytes.
  public var size: Int64?
}

extension RegistryClient {
  /// The types of manifests that are asked for; those of schema 1 only so that the refusal can explain.
  static let manifestTypes = [
    MediaType.ociIndex, MediaType.ociManifest, MediaType.dockerIndex, MediaType.dockerManifest,
  ]

  /// Fetches what `reference`, a tag or a digest, leads to in `repository`. At most 4 MiB.
  public func manifest(
    _ reference: String, of repository: String, registry: String, credentials: RegistryCredentials = .anonymous
  ) async throws(Fault) -> FetchedManifest {
    let answer = try await manifestRequest("GET", reference, repository, registry, credentials)
    return FetchedManifest(
      data: answer.body, mediaType: answer.head.contentType,
      claimed: answer.head["Docker-Content-Digest"].flatMap { try? Digest(parsing: $0) })
  }

  /// Asks what `reference` leads to.
  public func manifestHead(
    _ reference: String, of repository: String, registry: String, credentials: RegistryCredentials = .anonymous
  ) async throws(Fault) -> ManifestHead {
    let answer = try await manifestRequest("HEAD", reference, repository, registry, credentials)
    return ManifestHead(
      digest: answer.head["Docker-Content-Digest"].flatMap { try? Digest(parsing: $0) },
      mediaType: answer.head.contentType, size: answer.head.contentLength)
  }

  private func manifestRequest(
    _ method: String, _ reference: String, _ repository: String, _ registry: String,
    _ credentials: RegistryCredentials
  ) async throws(Fault) -> HTTPAnswer {
    let isDigest = reference.contains(":")
    let request = RegistryRequest(
      method, .path("/\(repository)/manifests/\(reference)"),
      what: "the manifest of \(repository)\(isDigest ? "@" : ":")\(reference)", scopes: [.pull(repository)],
      fields: [HTTPField("Accept", Self.manifestTypes.joined(separator: ", "))])
    return try await send(
      request, registry: registry, needing: isDigest ? .pull : .resolve, credentials: credentials
    ).answer
  }
}
