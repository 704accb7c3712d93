public import Faults
internal import FoundationEssentials
public import OCI

/// The tags of a repository, as far as they were wanted.
public struct RepositoryTags: Sendable, Equatable {
  /// In the registry's order.
  public var tags: [String]
  /// Whether there are no more.
  public var isComplete: Bool
}

extension RegistryClient {
  /// A list that names its next page for ever ends here.
  private static let mostPages = 1000

  private struct Page: Decodable {
    var tags: [String]?
  }

  /// The tags of the repository that `reference` names, `limit` at most (OCI distribution specification 1.1, listing tags).
  ///
  /// Throws what `send` throws, and `corrupt` for a list that is none, or whose next page is elsewhere or was read before.
  public func tags(
    of reference: Reference, limit: Int, credentials: RegistryCredentials
  ) async throws(Fault) -> RepositoryTags {
    let what = "the list of tags of \(reference.familiarName)"
    let path = "/\(reference.path)/tags/list?n=\(min(limit, 1000))"
    var request = RegistryRequest("GET", .path(path), what: what, scopes: [.pull(reference.path)])
    var (answer, endpoint) = try await send(
      request, registry: reference.domain, needing: .resolve, credentials: credentials)
    var found = RepositoryTags(tags: [], isComplete: false)
    var seen: Set<WebAddress> = []
    while true {
      try Self.read(answer.body, what, into: &found)
      if found.tags.count > limit {
        found.tags.removeLast(found.tags.count - limit)
        return found
      }
      guard let link = answer.head.all("Link").compactMap(Self.next).first else {
        found.isComplete = true
        return found
      }
      if found.tags.count == limit { return found }
      let next = try answer.address.following(link)
      guard next.hasSameOrigin(as: endpoint.base) else {
        throw Fault(.corrupt, "\(endpoint.base.authority) continues \(what) at another host (\(next.authority))")
      }
      guard seen.insert(next).inserted, seen.count < Self.mostPages else {
        throw Fault(.corrupt, "\(endpoint.base.authority) continues \(what) without end")
      }
      request.target = .address(next)
      answer = try await send(request, to: endpoint, credentials: credentials)
    }
  }

  private static func read(_ body: Data, _ what: String, into found: inout RepositoryTags) throws(Fault) {
    do {
      try body.withUnsafeBytes { try StrictJSON.check($0, named: what) }
      for tag in try JSONDecoder().decode(Page.self, from: body).tags ?? [] {
        guard Reference.isTag(tag) else {
          throw Fault(.corrupt, "\(what) has a tag that is none: \(Quoted.text(tag))")
        }
        found.tags.append(tag)
      }
    } catch let fault as Fault {
      throw fault
    } catch {
      throw Fault(.corrupt, "\(what) is not what a registry says")
    }
  }

  /// The target of `<…>; rel="next"` (RFC 8288).
  static func next(_ link: String) -> String? {
    for part in link.split(separator: ",") {
      let pieces = part.split(separator: ";").map(\.trimmingSpaces)
      guard let target = pieces.first, target.hasPrefix("<"), target.hasSuffix(">"),
        pieces.dropFirst().contains(where: { $0 == "rel=\"next\"" || $0 == "rel=next" })
      else { continue }
      return String(target.dropFirst().dropLast())
    }
    return nil
  }
}
