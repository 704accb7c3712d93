public import Configuration
public import Faults

/// Endpoints as the engine's configuration names them (`RegistryPlaces`).
public struct ConfiguredHosts: RegistryHosts {
  private let places: RegistryPlaces

  /// Asks `places` anew for each request: a changed configuration counts at once.
  public init(_ places: RegistryPlaces) { self.places = places }

  public func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint] {
    var endpoints: [RegistryEndpoint] = []
    for place in try places.places(for: registry) {
      let endpoint = try RegistryEndpoint(place)
      endpoints.append(endpoint)
      guard place.allowsPlain, endpoint.base.scheme == .https else { continue }
      var plain = endpoint
      plain.base.scheme = .http
      endpoints.append(plain)
    }
    return endpoints
  }
}

extension RegistryEndpoint {
  init(_ place: RegistryPlace) throws(Fault) {
    var base = try WebAddress(scheme: place.address.isSecure ? .https : .http, authority: place.address.authority)
    base.target = place.address.path.isEmpty ? "/" : place.address.path
    self.init(
      base: base, capabilities: Capabilities(rawValue: Int(place.capabilities.rawValue)),
      tls: TLS(
        caFile: place.authorities.first, certificate: place.clientCertificates.first?.certificate,
        key: place.clientCertificates.first?.key, skipVerify: place.skipsVerification),
      headers: place.headers.map { HTTPField($0.name, $0.value) }, isRegistry: !place.isMirror,
      namespace: place.namespace)
    // The initializer takes a base without a path for one of which nothing is known; here everything is.
    self.base = base
    tls.moreCAFiles = Array(place.authorities.dropFirst())
    connectMilliseconds = place.connectTimeout
  }
}
