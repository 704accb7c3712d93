public import Faults

/// One place where a registry's content is reached: the registry itself or a mirror of it.
public struct RegistryEndpoint: Hashable, Sendable {
  /// What an endpoint may be asked for.
  public struct Capabilities: OptionSet, Hashable, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Fetching content by its digest.
    public static let pull = Capabilities(rawValue: 1)
    /// Finding out what a tag means.
    public static let resolve = Capabilities(rawValue: 2)
    /// Storing content.
    public static let push = Capabilities(rawValue: 4)
    /// Everything, as a registry itself can.
    public static let all: Capabilities = [.pull, .resolve, .push]
  }

  /// How TLS is spoken with an endpoint.
  public struct TLS: Hashable, Sendable {
    /// Files of certificate authorities to trust besides none but the system's when empty; one file.
    public var caFile: String?
    /// Further such files.
    public var moreCAFiles: [String] = []
    /// A folder of certificate authorities, named by their hashes.
    public var caFolder: String?
    /// The client's certificate, PEM.
    public var certificate: String?
    /// The key of `certificate`, PEM.
    public var key: String?
    /// Accept any certificate.
    public var skipVerify: Bool

    /// By default the system's authorities.
    public init(
      caFile: String? = nil, caFolder: String? = nil, certificate: String? = nil, key: String? = nil,
      skipVerify: Bool = false
    ) {
      self.caFile = caFile
      self.caFolder = caFolder
      self.certificate = certificate
      self.key = key
      self.skipVerify = skipVerify
    }

    /// What holds for a token service on another host: the client's certificate is not shown to it.
    var elsewhere: TLS { TLS(skipVerify: skipVerify) }
  }

  /// Scheme and host; its target is the folder of the registry API, `/v2` unless the configuration says otherwise.
  public var base: WebAddress
  public var capabilities: Capabilities
  public var tls: TLS
  /// Fields for every request to this endpoint's own host.
  public var headers: [HTTPField]
  /// Whether this is the registry itself and not a mirror: the user's credentials are for it, its refusals are final.
  public var isRegistry: Bool
  /// The registry's name, for the query `ns=` that containerd's mirrors get; nil for none.
  public var namespace: String?
  /// Milliseconds for a connection; nil for the client's own bound.
  public var connectMilliseconds: Int?

  /// Makes an endpoint; `base` gets the target `/v2` when it has none.
  public init(
    base: WebAddress, capabilities: Capabilities = .all, tls: TLS = TLS(), headers: [HTTPField] = [],
    isRegistry: Bool = true, namespace: String? = nil
  ) {
    self.base = base.target == "/" ? base.with(target: "/v2") : base
    self.capabilities = capabilities
    self.tls = tls
    self.headers = headers
    self.isRegistry = isRegistry
    self.namespace = namespace
  }

  /// Whether what passes can be read by others on the way: credentials may then go to plain realms too.
  public var isInsecure: Bool { base.scheme == .http || tls.skipVerify }
}

/// Says where the content of a registry is: mirrors, the registry itself, and how TLS is spoken with each.
///
/// Endpoints are asked in order; the next one is tried when one has not what is wanted, refuses, or cannot be reached.
public protocol RegistryHosts: Sendable {
  /// The endpoints of `registry`, the host part of an image's name (`docker.io`, `localhost:5000`), in order.
  func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint]
}

/// Without any configuration: the registry itself, over https; `docker.io` is registry-1.docker.io; this machine's own
/// registries and those of `insecure` any certificate, and http when https is not spoken there.
public struct DefaultHosts: RegistryHosts {
  /// Registries (`host` or `host:port`) that need no valid certificate.
  public var insecure: Set<String>

  public init(insecure: Set<String> = []) { self.insecure = insecure }

  public func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint] {
    let host = registry == "docker.io" ? "registry-1.docker.io" : registry
    let base = try WebAddress(scheme: .https, authority: host)
    guard base.isLoopback || insecure.contains(registry) else { return [RegistryEndpoint(base: base)] }
    var plain = base
    plain.scheme = .http
    return [RegistryEndpoint(base: base, tls: .init(skipVerify: true)), RegistryEndpoint(base: plain)]
  }
}
