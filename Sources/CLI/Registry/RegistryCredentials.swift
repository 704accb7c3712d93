internal import Protocol

/// What is known of somebody at a registry.
struct RegistryCredentials: Equatable {
  var server: String
  var username = ""
  var password = ""
  /// An OAuth2 refresh token, in place of a password.
  var identityToken = ""
  /// A bearer token.
  var registryToken = ""

  /// Nothing is known yet.
  init(server: String) { self.server = server }

  /// Whether there is nothing to prove anything with.
  var isEmpty: Bool { username.isEmpty && password.isEmpty && identityToken.isEmpty && registryToken.isEmpty }

  /// As calls carry it.
  var auth: RegistryAuth {
    func given(_ text: String) -> String? { text.isEmpty ? nil : text }
    return RegistryAuth(
      username: given(username), password: given(password), identityToken: given(identityToken),
      registryToken: given(registryToken), serverAddress: server)
  }
}

/// The names under which credentials of registries are kept.
enum RegistryServer {
  /// Docker Hub's.
  static let hub = "https://index.docker.io/v1/"
  private static let hubHosts: Set<String> = ["docker.io", "index.docker.io", "registry-1.docker.io"]

  /// The key for what a person gives to `login`: a host, or an address, of which the host counts. Nothing is Docker Hub.
  static func key(_ argument: String?) -> String {
    guard let argument, !argument.isEmpty else { return hub }
    let host = host(of: argument)
    return hubHosts.contains(host) ? hub : host
  }

  /// The host, with its port, of a key.
  static func host(of key: String) -> String {
    var rest = Substring(key)
    for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
    return String(rest.prefix { $0 != "/" })
  }
}
