internal import Faults
internal import FoundationEssentials
internal import Synchronization

/// Gives requests their `Authorization`: by what an endpoint asked for the last time, or asks for now.
final class Authorizer: Sendable {
  /// What an endpoint wants.
  enum Demand {
    case basic
    case bearer(realm: WebAddress, service: String)
  }

  let transport: HTTPTransport
  let settings: RegistrySettings
  let tokens = TokenCache()
  /// By origin of the endpoint.
  let demands = Mutex<[String: Demand]>([:])

  init(transport: HTTPTransport, settings: RegistrySettings) {
    self.transport = transport
    self.settings = settings
  }

  /// What to send along without having been asked; nil for nothing.
  func authorization(
    _ endpoint: RegistryEndpoint, _ scopes: [RegistryScope], _ credentials: RegistryCredentials
  ) async throws(Fault) -> String? {
    if !credentials.registryToken.isEmpty { return "Bearer \(credentials.registryToken)" }
    switch demands.withLock({ $0[endpoint.base.origin] }) {
    case nil: return nil
    case .basic: return credentials.isAnonymous ? nil : credentials.basic
    case .bearer(let realm, let service):
      if !credentials.isAnonymous, RealmRule.refusal(realm: realm, registry: endpoint) != nil { return nil }
      return try await bearer(realm, service, scopes.map(\.text), endpoint, credentials, rejected: nil)
    }
  }

  /// What to send after the endpoint asked; nil when there is nothing better than what it refused.
  func answer(
    _ challenges: [Challenge], _ endpoint: RegistryEndpoint, _ scopes: [RegistryScope],
    _ credentials: RegistryCredentials, rejected: String?
  ) async throws(Fault) -> String? {
    if !credentials.registryToken.isEmpty { return nil }
    if let challenge = challenges.first(where: { $0.scheme == "bearer" }) {
      guard let text = challenge.parameters["realm"] else {
        throw Fault(.unavailable, "\(endpoint.base.authority) asks for a token without saying where to get it")
      }
      let realm = try WebAddress(parsing: text)
      let service = challenge.parameters["service"] ?? ""
      note(.bearer(realm: realm, service: service), endpoint)
      var wanted = scopes.map(\.text)
      // The endpoint knows best: a mirror may have another name for the repository.
      if let scope = challenge.parameters["scope"], !scope.isEmpty, scope.utf8.count <= 1024 {
        let asked = scope.split(separator: " ").map(String.init)
        wanted = asked + wanted.filter { own in !asked.contains { $0.hasPrefix(own.prefix { $0 != "," }) } }
      }
      return try await bearer(realm, service, wanted, endpoint, credentials, rejected: rejected)
    }
    if challenges.contains(where: { $0.scheme == "basic" }) {
      note(.basic, endpoint)
      guard !credentials.isAnonymous, credentials.basic != rejected else { return nil }
      return credentials.basic
    }
    return nil
  }

  private func note(_ demand: Demand, _ endpoint: RegistryEndpoint) {
    demands.withLock { demands in
      if demands.count >= 256 { demands = [:] }
      demands[endpoint.base.origin] = demand
    }
  }

  // MARK: Tokens

  private func bearer(
    _ realm: WebAddress, _ service: String, _ scopes: [String], _ endpoint: RegistryEndpoint,
    _ credentials: RegistryCredentials, rejected: String?
  ) async throws(Fault) -> String {
    if !credentials.isAnonymous, let why = RealmRule.refusal(realm: realm, registry: endpoint) {
      throw Fault(
        .permissionDenied,
        "\(endpoint.base.authority) wants your credentials sent to \(realm), which is not done: \(why)")
    }
    let key = TokenCache.Key(realm: realm, service: service, scopes: scopes, credentials: credentials)
    let refused = rejected.flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil }
    let token = try await tokens.token(key, rejected: refused) { () throws(Fault) in
      try await self.fetch(key, endpoint)
    }
    return "Bearer \(token)"
  }

  /// Asks the token service: with a refresh token as OAuth2 has it, else as distribution has it.
  private func fetch(_ key: TokenCache.Key, _ endpoint: RegistryEndpoint) async throws(Fault) -> TokenCache.Token {
    var request: HTTPRequest
    if !key.credentials.identityToken.isEmpty {
      var form = [
        "grant_type=refresh_token", "client_id=\(settings.userAgent)", "service=\(Quoted.query(key.service))",
        "refresh_token=\(Quoted.query(key.credentials.identityToken))",
      ]
      if !key.scopes.isEmpty { form.append("scope=\(Quoted.query(key.scopes.joined(separator: " ")))") }
      request = HTTPRequest(
        "POST", key.realm, fields: [HTTPField("Content-Type", "application/x-www-form-urlencoded")],
        body: .data(Data(form.joined(separator: "&").utf8)))
    } else {
      var address = key.realm
      if !key.service.isEmpty { address = address.adding(query: "service=\(Quoted.query(key.service))") }
      for scope in key.scopes { address = address.adding(query: "scope=\(Quoted.query(scope))") }
      request = HTTPRequest("GET", address)
      if !key.credentials.isAnonymous {
        request.fields.append(HTTPField("Authorization", key.credentials.basic))
      }
    }
    request.answerLimit = settings.tokenBytes
    let isOwnHost = key.realm.host == endpoint.base.host
    var failures = 0
    while true {
      let failure: Fault
      do {
        let answer = try await transport.exchange(
          request, tls: isOwnHost ? endpoint.tls : endpoint.tls.elsewhere, refusesLinkLocal: !isOwnHost)
        let refusal = RegistryRefusal(answer: answer)
        switch answer.status {
        case 200..<300: return try TokenAnswer.read(answer.body, realm: key.realm)
        case 400, 401, 403:
          throw Fault(
            .permissionDenied,
            key.credentials.isAnonymous
              ? "\(endpoint.base.authority) lets nobody in without credentials: log in with gantry login"
              : "\(endpoint.base.authority) does not accept these credentials: log in again with gantry login",
            cause: refusal.words.map { [$0] } ?? [])
        case 429, 500...: failure = refusal.fault("a token")
        default: throw refusal.fault("a token")
        }
      } catch let error as HTTPTransport.Failure {
        let words = Quoted.plain(error.words, 300)
        if error.kind == .cancelled {
          throw Fault(.cancelled, "the request for a token was taken back", cause: [words])
        }
        failure = Fault(.unavailable, "the token service \(key.realm) does not answer as it should", cause: [words])
        if [.malformed, .tooLarge, .untrusted].contains(error.kind) { throw failure }
      } catch {
        throw Fault(describing: error)
      }
      failures += 1
      guard failures <= 2 else { throw failure }
      do { try await Task.sleep(for: .milliseconds(settings.backOffMilliseconds << failures)) } catch {
        throw Fault(.cancelled, "the request for a token was taken back")
      }
    }
  }
}
