public import Faults
internal import Synchronization
internal import SystemPackage

/// Where the content of a registry is asked for: its mirrors in order, then the registry itself.
///
/// For the host of an image's name, the first of these that says anything of mirrors decides:
///
/// 1. `registries.HOST` of gantry.json, and for Docker Hub `registry-mirrors` before it;
/// 2. `HOST/hosts.toml` in the first folder of certificates that has one (then that of `_default`);
/// 3. nobody: the registry alone.
///
/// `HOST/{*.crt,*.cert,*.key}` (Docker's) and `insecure-registries` count for every place that 1 and 3 name.
public final class RegistryPlaces: Sendable {
  private let configuration: LiveConfiguration
  private let report: @Sendable (String) -> Void
  /// The last `hosts.toml` of each folder that could be read.
  private let known = Mutex<[FilePath: HostsFile]>([:])

  /// - Parameter report: gets one sentence when a file that was right before no longer is.
  public init(_ configuration: LiveConfiguration, report: @escaping @Sendable (String) -> Void) {
    self.configuration = configuration
    self.report = report
  }

  /// The places for the registry `domain` (the host of an image's name, with its port), in the order in which to ask them.
  /// Reads files and may ask the resolver: to be called where waiting is allowed.
  ///
  /// Throws `invalidArgument` for a `hosts.toml` that is wrong and was not right before.
  public func places(for domain: String) throws(Fault) -> [RegistryPlace] {
    let file = configuration.current
    let settings = file.registries[domain]
    var mirrors = settings?.mirrors ?? []
    if domain == Self.hub { mirrors = file.registryMirrors + mirrors }
    if settings == nil, mirrors.isEmpty, let hosts = try hostsFile(domain) {
      return hosts.places(of: domain, upstream: upstream(domain, file))
    }
    return mirrors.map { address in
      var host = RegistryPlace(address: address.withAPI, capabilities: [.pull, .resolve], isMirror: true)
      dress(&host, file)
      return host
    } + [upstream(domain, file)]
  }

  private static let hub = "docker.io"

  private func upstream(_ domain: String, _ file: ConfigurationFile) -> RegistryPlace {
    let authority = domain == Self.hub ? "registry-1.docker.io" : domain
    var host = RegistryPlace(address: RegistryAddress(authority: authority).withAPI)
    dress(&host, file)
    return host
  }

  /// Adds certificates, headers and the insecure switch of the host's own settings.
  private func dress(_ host: inout RegistryPlace, _ file: ConfigurationFile) {
    let authority = host.address.authority
    let name = authority == "registry-1.docker.io" ? Self.hub : authority
    let settings = file.registries[name] ?? RegistryEntry()
    let folder = CertificateFolder.first(for: name, in: configuration.certificateFolders)
    host.authorities = settings.ca.map { [$0] } ?? folder.authorities
    host.clientCertificates =
      settings.clientCertificate.map { [.init(certificate: $0, key: settings.clientKey)] } ?? folder.clientCertificates
    host.headers = settings.headers
    if settings.insecure ?? isInsecure(authority, file) {
      host.skipsVerification = true
      host.allowsPlain = true
    }
  }

  private func isInsecure(_ authority: String, _ file: ConfigurationFile) -> Bool {
    // Without a network in the list there is no reason to ask the resolver.
    let host = RegistryAddress.host(of: authority)
    let hasNetworks = file.insecureRegistries.contains { if case .network = $0 { true } else { false } }
    let addresses = hasNetworks || Network.isLocalName(host) ? Network.addresses(of: host) : []
    return (InsecureRegistry.always + file.insecureRegistries).contains { $0.matches(authority, addresses) }
  }

  private func hostsFile(_ domain: String) throws(Fault) -> HostsFile? {
    for name in CertificateFolder.names(of: domain) + ["_default"] {
      for folder in configuration.certificateFolders.map({ $0.appending(name) }) {
        do throws(Fault) {
          guard let file = try HostsFile(folder: folder) else { continue }
          known.withLock { $0[folder] = file }
          return file
        } catch {
          guard let old = known.withLock({ $0[folder] }) else { throw error }
          report("\(error.message); what it said before stays")
          return old
        }
      }
    }
    return nil
  }
}

extension RegistryAddress {
  /// The address with `/v2` at its end, where the API of registries begins.
  var withAPI: RegistryAddress {
    var result = self
    if !path.hasSuffix("/v2") { result.path += "/v2" }
    return result
  }
}
