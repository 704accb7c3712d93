internal import ContentStore
public import Faults
public import FoundationEssentials
public import OCI
public import Registry

/// A manifest or an index at its registry.
public struct RemoteManifest: Sendable {
  public var digest: Digest
  public var mediaType: String
  /// The bytes as they are.
  public var content: Data
  /// The configuration's bytes; nil for an index.
  public var config: Data?
}

extension RegistryClient {
  private static let accepted = [
    MediaType.ociManifest, MediaType.dockerManifest, MediaType.ociIndex, MediaType.dockerIndex,
  ].joined(separator: ", ")

  /// Fetches what `reference` means at its registry, checked against its digest, and nothing else of the image than its
  /// configuration.
  ///
  /// Throws what `send` throws, `corrupt` for content that is not what it is called, `unsupported` for no image.
  public func manifest(
    of reference: Reference, credentials: RegistryCredentials
  ) async throws(Fault) -> RemoteManifest {
    let name = reference.withDefaultTag
    let what = "the manifest of \(name.familiar)"
    let key = name.digest?.rawValue ?? name.tag ?? Reference.defaultTag
    let (answer, endpoint) = try await send(
      RegistryRequest(
        "GET", .path("/\(name.path)/manifests/\(key)"), what: what, scopes: [.pull(name.path)],
        fields: [HTTPField("Accept", Self.accepted)]),
      registry: name.domain, needing: .resolve, credentials: credentials)
    let digest = Digest.of(answer.body, name.digest?.algorithm ?? .sha256)
    for told in [name.digest?.rawValue, answer.head["Docker-Content-Digest"]] where told != nil {
      guard told == digest.rawValue else {
        throw Fault(
          .corrupt, "\(endpoint.base.authority) sent \(digest) as \(what), which is \(told?.prefix(100) ?? "")")
      }
    }
    do { try answer.body.withUnsafeBytes { try StrictJSON.check($0, named: what) } } catch {
      throw Fault(describing: error)
    }
    let mediaType = answer.head.contentType ?? ""
    if MediaType.isIndex(mediaType) {
      _ = try ImageDocument.index(answer.body, mediaType: mediaType, digest: digest)
      return RemoteManifest(digest: digest, mediaType: mediaType, content: answer.body)
    }
    let manifest = try ImageDocument.manifest(answer.body, mediaType: mediaType, digest: digest)
    let config = try await send(
      RegistryRequest(
        "GET", .path("/\(name.path)/blobs/\(manifest.config.digest)"), what: "the configuration of \(name.familiar)",
        scopes: [.pull(name.path)]),
      to: endpoint, credentials: credentials
    ).body
    guard Digest.of(config, manifest.config.digest.algorithm) == manifest.config.digest else {
      throw Fault(.corrupt, "the configuration of \(name.familiar) at \(endpoint.base.authority) has another digest")
    }
    return RemoteManifest(digest: digest, mediaType: mediaType, content: answer.body, config: config)
  }

  /// The same client for registries that need neither TLS nor a certificate that is known.
  public var insecure: RegistryClient { RegistryClient(hosts: InsecureHosts(hosts), settings: settings) }
}

/// Takes every certificate, and plain HTTP where nothing speaks TLS.
private struct InsecureHosts: RegistryHosts {
  let hosts: any RegistryHosts

  init(_ hosts: any RegistryHosts) { self.hosts = hosts }

  func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint] {
    try hosts.endpoints(of: registry).flatMap { endpoint in
      var open = endpoint
      open.tls.skipVerify = true
      var plain = open
      plain.base.scheme = .http
      return open == plain ? [open] : [open, plain]
    }
  }
}
