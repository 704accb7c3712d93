internal import Faults
internal import FoundationEssentials
internal import OCI

/// What a request to a repository may do.
public struct RegistryScope: Hashable, Sendable {
  /// `repository:library/busybox:pull`
  public var text: String

  public init(repository: String, actions: [String]) {
    text = "repository:\(repository):\(actions.joined(separator: ","))"
  }

  /// Reading a repository.
  public static func pull(_ repository: String) -> RegistryScope {
    RegistryScope(repository: repository, actions: ["pull"])
  }

  /// Writing to a repository.
  public static func push(_ repository: String) -> RegistryScope {
    RegistryScope(repository: repository, actions: ["pull", "push"])
  }
}

/// Bearer tokens by realm, scopes and who asks, each fetched once however many requests need it.
actor TokenCache {
  struct Key: Hashable {
    var realm: WebAddress
    var service: String
    var scopes: [String]
    var credentials: RegistryCredentials
  }

  struct Token: Sendable {
    var value: String
    var expires: ContinuousClock.Instant
  }

  private static let most = 256

  private var tokens: [Key: Token] = [:]
  private var fetches: [Key: Task<Token, any Error>] = [:]

  /// The token for `key`, fetched when there is none that is still good. `rejected` is one that the registry did not take.
  func token(
    _ key: Key, rejected: String?, _ fetch: @escaping @Sendable () async throws(Fault) -> Token
  ) async throws(Fault) -> String {
    if let known = tokens[key], known.value != rejected, known.expires > .now { return known.value }
    let task: Task<Token, any Error>
    if let running = fetches[key] {
      task = running
    } else {
      task = Task { try await fetch() }
      fetches[key] = task
    }
    do {
      let token = try await task.value
      fetches[key] = nil
      if tokens.count >= Self.most { tokens = tokens.filter { $0.value.expires > .now } }
      if tokens.count >= Self.most { tokens = [:] }
      tokens[key] = token
      return token.value
    } catch {
      fetches[key] = nil
      throw Fault(describing: error)
    }
  }

  /// Forgets the tokens of `credentials`.
  func forget(_ credentials: RegistryCredentials) { tokens = tokens.filter { $0.key.credentials != credentials } }
}

/// The answer of a token service (distribution's token specification, and OAuth2's).
struct TokenAnswer: Decodable {
  var token: String?
  var accessToken: String?
  var expiresIn: Double?

  private enum CodingKeys: String, CodingKey {
    case token
    case accessToken = "access_token"
    case expiresIn = "expires_in"
  }

  /// The token with the time until which it is used.
  static func read(_ data: Data, realm: WebAddress) throws(Fault) -> TokenCache.Token {
    let name = "the answer of the token service \(realm)"
    do {
      try data.withUnsafeBytes { try StrictJSON.check($0, named: name) }
      let answer = try JSONDecoder().decode(TokenAnswer.self, from: data)
      guard let value = answer.token ?? answer.accessToken, !value.isEmpty, value.utf8.count <= 64 << 10,
        value.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
      else { throw Fault(.corrupt, "\(name) has no usable token") }
      // Without a word about it a token is good for 60 s. A little is kept back for the way.
      let seconds = min(max(answer.expiresIn ?? 60, 0), 86_400)
      return .init(value: value, expires: .now + .seconds(max(seconds * 0.9 - 2, 1)))
    } catch let fault as Fault {
      throw fault
    } catch {
      throw Fault(.corrupt, "\(name) is not what a token service says")
    }
  }
}
