/// What a registry asks for with status 401 (RFC 9110, 11.6.1).
struct Challenge: Sendable, Equatable {
  /// `bearer` or `basic`, in lower case.
  var scheme: String
  /// By names in lower case.
  var parameters: [String: String]

  /// The challenges of all `WWW-Authenticate` fields of an answer.
  static func all(in head: HTTPHead) -> [Challenge] { head.all("WWW-Authenticate").prefix(8).flatMap(parse) }

  /// `Bearer realm="…",service="…", Basic realm="…"`: a word followed by a word begins the next challenge.
  static func parse(_ text: String) -> [Challenge] {
    var challenges: [Challenge] = []
    var rest = Substring(text.prefix(4096))
    while true {
      rest = rest.drop { $0 == " " || $0 == "," || $0 == "\t" }
      let word = rest.prefix { $0 != " " && $0 != "=" && $0 != "," && $0 != "\t" }
      if word.isEmpty { return challenges }
      rest = rest.dropFirst(word.count)
      let afterSpace = rest.drop { $0 == " " || $0 == "\t" }
      guard afterSpace.first == "=" else {
        challenges.append(Challenge(scheme: word.lowercased(), parameters: [:]))
        continue
      }
      rest = afterSpace.dropFirst().drop { $0 == " " || $0 == "\t" }
      let value = rest.first == "\"" ? quoted(&rest) : token(&rest)
      if !challenges.isEmpty, challenges[challenges.count - 1].parameters[word.lowercased()] == nil {
        challenges[challenges.count - 1].parameters[word.lowercased()] = value
      }
    }
  }

  private static func token(_ rest: inout Substring) -> String {
    let value = rest.prefix { $0 != "," && $0 != " " }
    rest = rest.dropFirst(value.count)
    return String(value)
  }

  private static func quoted(_ rest: inout Substring) -> String {
    rest = rest.dropFirst()
    var value = ""
    while let next = rest.popFirst(), next != "\"" {
      if next == "\\", let escaped = rest.popFirst() { value.append(escaped) } else { value.append(next) }
    }
    return value
  }
}

/// Which hosts a registry may send its users' credentials to (CVE-2020-15157: a realm of the attacker's choice).
enum RealmRule {
  /// Why credentials for `registry` are not sent to `realm`; nil when they are.
  static func refusal(realm: WebAddress, registry: RegistryEndpoint) -> String? {
    if realm.scheme == .http, !registry.isInsecure {
      return "the realm is not https"
    }
    let own = registry.base.host
    if realm.host == own || (realm.isLoopback && registry.base.isLoopback) { return nil }
    if belongs(realm, to: own) { return nil }
    return "the host does not belong to \(own)"
  }

  /// Whether a host lies beneath another, or beneath the domain that the other lies in.
  private static func belongs(_ realm: WebAddress, to own: String) -> Bool {
    let labels = own.split(separator: ".")
    guard !realm.isLiteral, labels.count >= 2, labels.contains(where: { UInt8($0) == nil }) else { return false }
    if realm.host.hasSuffix("." + own) { return true }
    let parent = labels.dropFirst()
    guard labels.count >= 3, !isPublicSuffix(parent) else { return false }
    let domain = parent.joined(separator: ".")
    return realm.host == domain || realm.host.hasSuffix("." + domain)
  }

  /// Domains below which anybody may have a name: `co.uk` and the like, and the clouds' names of customers' machines.
  private static func isPublicSuffix(_ labels: ArraySlice<Substring>) -> Bool {
    guard labels.count == 2, let first = labels.first, let last = labels.last else {
      return labels.suffix(2).elementsEqual(["amazonaws", "com"]) || labels.suffix(2).elementsEqual(["run", "app"])
    }
    if last.count == 2, first.count <= 3 { return true }
    return shared.contains(labels.joined(separator: "."))
  }

  private static let shared: Set<String> = [
    "amazonaws.com", "azurecr.io", "azurewebsites.net", "cloudapp.net", "cloudfront.net", "fly.dev", "github.io",
    "gitlab.io", "herokuapp.com", "netlify.app", "ngrok.io", "pages.dev", "pkg.dev", "run.app", "vercel.app",
    "workers.dev", "windows.net",
  ]
}
