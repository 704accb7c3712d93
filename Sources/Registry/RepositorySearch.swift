public import Faults
internal import FoundationEssentials
internal import OCI

/// One repository that a search found. Texts are bounded and on one line.
public struct FoundRepository: Sendable, Equatable {
  public var name: String
  public var description: String
  public var stars: Int
  public var isOfficial: Bool
  public var isAutomated: Bool
}

/// What a search is asked for.
public struct RepositorySearch: Sendable {
  /// Docker Hub answers searches at another host than pulls.
  static let hubIndex = "index.docker.io"
  public static let standardLimit = 25
  public static let greatestLimit = 100

  public var term: String
  public var limit: Int
  /// The least stars.
  public var stars: Int?
  public var isOfficial: Bool?
  public var isAutomated: Bool?

  /// Throws `invalidArgument` for an empty term and a limit outside of 1 to 100, in Docker's words.
  public init(term: String, limit: Int = standardLimit) throws(Fault) {
    guard !term.isEmpty, term.utf8.count <= 512 else {
      throw Fault(.invalidArgument, "a search needs a term of at most 512 characters")
    }
    guard (1...Self.greatestLimit).contains(limit) else {
      throw Fault(.invalidArgument, "limit \(limit) is outside the range of [1, \(Self.greatestLimit)]")
    }
    self.term = term
    self.limit = limit
  }

  /// The registry in front of the term, by Docker's rule for hosts: nil for Docker Hub, whose `library/` is left out.
  var place: (domain: String?, rest: String) {
    guard let slash = term.firstIndex(of: "/") else { return (nil, term) }
    let first = term[..<slash]
    let rest = String(term[term.index(after: slash)...])
    if first == "docker.io" || first == Self.hubIndex { return (nil, rest) }
    return first == "localhost" || first.contains(".") || first.contains(":") ? (String(first), rest) : (nil, term)
  }

  /// The registry that is asked, as image names have it.
  public var domain: String { place.domain ?? Reference.defaultDomain }

  func matches(_ found: FoundRepository) -> Bool {
    found.stars >= stars ?? 0 && (isOfficial.map { $0 == found.isOfficial } ?? true)
      && (isAutomated.map { $0 == found.isAutomated } ?? true)
  }
}

extension RegistryClient {
  private struct Answer: Decodable {
    struct Result: Decodable {
      var name: String?
      var description: String?
      var starCount: Int?
      var isOfficial: Bool?
      var isAutomated: Bool?

      private enum CodingKeys: String, CodingKey {
        case name, description
        case starCount = "star_count"
        case isOfficial = "is_official"
        case isAutomated = "is_automated"
      }
    }

    var results: [Result]?
  }

  /// Looks for repositories, those with most stars first: Docker Hub's form v1, `GET /v1/search?q=TERM&n=LIMIT`.
  ///
  /// Throws what `send` throws, `corrupt` for an answer that is none.
  public func search(
    _ search: RepositorySearch, credentials: RegistryCredentials
  ) async throws(Fault) -> [FoundRepository] {
    let (domain, rest) = search.place
    let what = "a search for \(Quoted.text(rest))"
    let path = "/v1/search?q=\(Quoted.query(rest))&n=\(search.limit)"
    var last: Fault?
    // The address is not beneath `/v2`, so each endpoint of the registry is asked by its own.
    for endpoint in try endpoints(of: domain ?? RepositorySearch.hubIndex, needing: []) where endpoint.isRegistry {
      let request = RegistryRequest("GET", .address(endpoint.base.with(target: path)), what: what, scopes: [])
      do throws(Fault) {
        let answer = try await send(request, to: endpoint, credentials: credentials)
        return try Self.results(answer.body, what, search)
      } catch {
        if error.code != .unavailable { throw error }
        last = last ?? error
      }
    }
    throw last ?? Fault(.unavailable, "nothing answers \(what)")
  }

  private static func results(
    _ body: Data, _ what: String, _ search: RepositorySearch
  ) throws(Fault) -> [FoundRepository] {
    let answer: Answer
    do {
      try body.withUnsafeBytes { try StrictJSON.check($0, named: "the answer to \(what)") }
      answer = try JSONDecoder().decode(Answer.self, from: body)
    } catch let fault as Fault {
      throw fault
    } catch {
      throw Fault(.corrupt, "the answer to \(what) is not what a registry says")
    }
    let found = (answer.results ?? []).prefix(search.limit).map { result in
      FoundRepository(
        name: Quoted.plain(result.name ?? "", 300), description: Quoted.plain(result.description ?? "", 1000),
        stars: max(result.starCount ?? 0, 0), isOfficial: result.isOfficial ?? false,
        isAutomated: result.isAutomated ?? false)
    }
    // Sorted as Docker sorts them; equals stay in the registry's order.
    return found.filter(search.matches).enumerated().sorted { a, b in
      (b.element.stars, a.offset) < (a.element.stars, b.offset)
    }.map(\.element)
  }
}
