public import Faults
internal import FoundationEssentials
internal import OCI
internal import Synchronization

extension RegistryClient {
  /// Checks `credentials` at the registry `domain`, as Docker's login does: whoever may read `/v2/` is let in.
  ///
  /// - Returns: a refresh token, when the registry's token service gives one in place of the password.
  /// - Throws: `permissionDenied` when they are not accepted; what `send` throws.
  public func login(_ domain: String, _ credentials: RegistryCredentials) async throws(Fault) -> String? {
    await authorizer.forget(credentials)
    let request = RegistryRequest("GET", .path("/"), what: "the login to \(domain)", scopes: [])
    var last: Fault?
    // Mirrors know nothing of anybody: the registry itself says whether the credentials are right.
    for endpoint in try endpoints(of: domain, needing: []) where endpoint.isRegistry {
      do throws(Fault) {
        _ = try await send(request, to: endpoint, credentials: credentials)
        return try await authorizer.identityToken(endpoint, credentials)
      } catch {
        switch error.code {
        case .permissionDenied:
          throw Fault(
            .permissionDenied, "\(domain) does not accept these credentials: check name and password",
            cause: error.cause)
        case .cancelled: throw error
        default: last = last ?? error
        }
      }
    }
    throw last ?? Fault(.unavailable, "the registry \(domain) has no endpoint that takes a login")
  }
}

extension Authorizer {
  /// Forgets tokens that were given for `credentials`: they say nothing of whether these are still good.
  func forget(_ credentials: RegistryCredentials) async { await tokens.forget(credentials) }

  /// A refresh token in place of the password; nil when the endpoint knows no tokens, or its token service gives none.
  func identityToken(_ endpoint: RegistryEndpoint, _ credentials: RegistryCredentials) async throws(Fault) -> String? {
    guard case .bearer(let realm, let service) = demands.withLock({ $0[endpoint.base.origin] }),
      !credentials.username.isEmpty, credentials.identityToken.isEmpty,
      RealmRule.refusal(realm: realm, registry: endpoint) == nil
    else { return nil }
    var address = realm.adding(query: "offline_token=true&client_id=\(Quoted.query(settings.userAgent))")
    if !service.isEmpty { address = address.adding(query: "service=\(Quoted.query(service))") }
    let isOwnHost = realm.host == endpoint.base.host
    let request = HTTPRequest(
      "GET", address, fields: [HTTPField("Authorization", credentials.basic)], answerLimit: settings.tokenBytes)
    // Who may log in was settled before: a service that gives no refresh tokens is none that fails.
    guard
      let answer = try? await transport.exchange(
        request, tls: isOwnHost ? endpoint.tls : endpoint.tls.elsewhere, refusesLinkLocal: !isOwnHost),
      (200..<300).contains(answer.status),
      (try? answer.body.withUnsafeBytes({ try StrictJSON.check($0, named: "") })) != nil,
      let token = (try? JSONDecoder().decode(RefreshAnswer.self, from: answer.body))?.refreshToken,
      !token.isEmpty, token.utf8.count <= 64 << 10, token.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
    else { return nil }
    return token
  }

  private struct RefreshAnswer: Decodable {
    var refreshToken: String?

    private enum CodingKeys: String, CodingKey {
      case refreshToken = "refresh_token"
    }
  }
}
