import Faults
import FoundationEssentials
import Images
import JSONRPC
import OCI
import Protocol
import Registry

/// What the image service answers about registries: decodes, calls, encodes.
extension Handlers {
  func login(_ params: ImageAPI.LoginParams, _ context: CallContext) async throws(Fault) -> ImageAPI.LoginResult {
    let domain = try Self.domain(ofServer: params.auth.serverAddress ?? "")
    let token = try await registry.login(domain, RegistryCredentials(params.auth))
    return .init(status: "Login Succeeded", identityToken: token)
  }

  func push(_ params: ImageAPI.PushParams, _ context: CallContext) async throws(Fault) -> ImageAPI.PushResult {
    let request = PushRequest(
      reference: params.reference, allTags: params.allTags ?? false, platform: params.platform,
      credentials: try Self.credentials(params.auth, for: try Reference(parsing: params.reference)))
    let pushed = try await store.push(request, client: registry) { context.progress($0.message) }
    return .init(pushed: pushed.map { .init(tag: $0.tag, digest: $0.digest.rawValue, size: $0.size) })
  }

  func search(_ params: ImageAPI.SearchParams, _ context: CallContext) async throws(Fault) -> ImageAPI.SearchResult {
    var search = try RepositorySearch(
      term: params.term, limit: params.limit.map { Int(clamping: $0) } ?? RepositorySearch.standardLimit)
    for (name, values) in params.filters ?? [:] {
      for value in values { try Self.apply(name, value, to: &search) }
    }
    let found = try await registry.search(
      search, credentials: try Self.credentials(params.auth, forDomain: search.domain))
    return .init(
      results: found.map {
        .init(
          name: $0.name, description: $0.description, starCount: Int64($0.stars), isOfficial: $0.isOfficial,
          isAutomated: $0.isAutomated)
      })
  }

  func tags(_ params: ImageAPI.TagsParams, _ context: CallContext) async throws(Fault) -> ImageAPI.TagsResult {
    let name = try Reference(parsing: params.repository)
    guard name.isNameOnly else {
      throw Fault(.invalidArgument, "\(name.familiar): give the name of a repository without a tag or digest")
    }
    let limit = params.limit ?? 10_000
    guard (1...100_000).contains(limit) else {
      throw Fault(.invalidArgument, "limit \(limit) is outside the range of [1, 100000]")
    }
    let found = try await registry.tags(
      of: name, limit: Int(limit), credentials: try Self.credentials(params.auth, for: name))
    return .init(repository: name.familiarName, tags: found.tags, isComplete: found.isComplete)
  }

  func remoteManifest(
    _ params: ImageAPI.RemoteManifestParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.RemoteManifestResult {
    let name = try Reference(parsing: params.reference)
    let client = params.insecure == true ? registry.insecure : registry
    let found = try await client.manifest(of: name, credentials: try Self.credentials(params.auth, for: name))
    return .init(
      digest: found.digest.rawValue, mediaType: found.mediaType,
      content: String(decoding: found.content, as: UTF8.self),
      config: found.config.map { String(decoding: $0, as: UTF8.self) })
  }

  func pushIndex(
    _ params: ImageAPI.PushIndexParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.PushIndexResult {
    let target = try Reference(parsing: params.reference)
    var entries: [IndexPush.Entry] = []
    for entry in params.manifests {
      entries.append(.init(repository: try Reference(parsing: entry.repository), descriptor: entry.descriptor))
    }
    let push = try IndexPush(
      target: target, mediaType: params.mediaType, entries: entries,
      client: params.insecure == true ? registry.insecure : registry,
      credentials: try Self.credentials(params.auth, for: target))
    let (digest, size) = try await push.push()
    return .init(digest: digest.rawValue, size: size)
  }

  private static func apply(_ name: String, _ value: String, to search: inout RepositorySearch) throws(Fault) {
    func flag() throws(Fault) -> Bool {
      switch value {
      case "true", "1": return true
      case "false", "0": return false
      default: throw Fault(.invalidArgument, "invalid filter '\(name)=\(value.prefix(60))': write true or false")
      }
    }
    switch name {
    case "stars":
      guard let stars = Int(value), stars >= 0 else {
        throw Fault(.invalidArgument, "invalid filter 'stars=\(value.prefix(60))': write a number")
      }
      search.stars = max(search.stars ?? 0, stars)
    case "is-official": search.isOfficial = try flag()
    case "is-automated": search.isAutomated = try flag()
    default:
      throw Fault(
        .invalidArgument, "invalid filter '\(name.prefix(60))': there are stars, is-official and is-automated")
    }
  }
}

extension Handlers {
  /// The credentials of a call about the registry of `name`.
  static func credentials(_ auth: RegistryAuth?, for name: Reference) throws(Fault) -> RegistryCredentials {
    try credentials(auth, forDomain: name.domain)
  }

  /// The credentials of a call about the registry `domain`: those of another one are refused, not sent there.
  static func credentials(_ auth: RegistryAuth?, forDomain domain: String) throws(Fault) -> RegistryCredentials {
    guard let auth else { return .anonymous }
    if let server = auth.serverAddress, !server.isEmpty, try self.domain(ofServer: server) != domain {
      throw Fault(.invalidArgument, "the credentials are for \(server.prefix(200)), but the call is about \(domain)")
    }
    return RegistryCredentials(auth)
  }

  /// The host of a server's address, as image names have it.
  static func domain(ofServer server: String) throws(Fault) -> String {
    var rest = Substring(server.lowercased())
    for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
    let host = String(rest.prefix { $0 != "/" })
    if host.isEmpty || ["index.docker.io", "registry-1.docker.io", "docker.io"].contains(host) {
      return Reference.defaultDomain
    }
    let name: Reference
    do throws(Fault) { name = try Reference(parsing: "\(host)/x") } catch {
      throw Fault(
        .invalidArgument, "\"\(server.prefix(200))\" is not the address of a registry: write host or host:port")
    }
    // A single word is no host in a name, but is one here.
    return name.domain == Reference.defaultDomain ? host : name.domain
  }
}

extension RegistryCredentials {
  init(_ auth: RegistryAuth) {
    self.init(
      username: auth.username ?? "", password: auth.password ?? "", identityToken: auth.identityToken ?? "",
      registryToken: auth.registryToken ?? "")
  }
}

extension Images.PushProgress {
  /// The same for the wire.
  var message: Protocol.PushProgress {
    switch self {
    case .prepare(let digest, let size): .init(stage: "prepare", id: digest.rawValue, current: 0, total: size)
    case .exists(let digest): .init(stage: "exists", id: digest.rawValue, current: 0)
    case .mounted(let digest, let source): .init(stage: "mount", id: digest.rawValue, current: 0, source: source)
    case .upload(let digest, let sent, let size):
      .init(stage: "upload", id: digest.rawValue, current: sent, total: size)
    case .done(let digest): .init(stage: "done", id: digest.rawValue, current: 0)
    case .tag(let pushed):
      .init(stage: "tag", id: pushed.digest.rawValue, current: 0, total: pushed.size, tag: pushed.tag)
    }
  }
}
