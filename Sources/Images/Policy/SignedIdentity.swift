internal import Faults
internal import OCI

/// Which names a signature may be for, as `signedIdentity` of containers-policy.json says.
enum SignedIdentity: Sendable, Equatable {
  /// The very name with its tag.
  case exact
  /// The very name; of an image that is asked for by digest, its repository.
  case repositoryDigestOrExact
  /// The repository, whatever the tag: what cosign writes by itself.
  case repository
  case exactReference(String)
  case exactRepository(String)
  /// The first prefix replaced by the second: an image that came over a mirror.
  case remapped(prefix: String, signed: String)

  /// Reads `signedIdentity`; without one it is `matchRepoDigestOrExact`.
  init(_ requirement: PolicyReader) throws(Fault) {
    guard let value = requirement.members["signedIdentity"] else {
      self = .repositoryDigestOrExact
      return
    }
    let reader = try PolicyReader(value, place: "\(requirement.place): signedIdentity")
    func needed(_ key: String) throws(Fault) -> String {
      guard let text = try reader.text(key) else { throw reader.refusal(key, "it is missing") }
      return text
    }
    switch try needed("type") {
    case "matchExact": self = .exact
    case "matchRepoDigestOrExact": self = .repositoryDigestOrExact
    case "matchRepository": self = .repository
    case "exactReference": self = .exactReference(try Reference(parsing: needed("dockerReference")).canonical)
    case "exactRepository": self = .exactRepository(try Reference(parsing: needed("dockerRepository")).name)
    case "remapIdentity": self = .remapped(prefix: try needed("prefix"), signed: try needed("signedPrefix"))
    default: throw reader.refusal("type", "it is not one that this engine knows")
    }
  }

  /// Whether a signature for `signed` counts for the image `asked`.
  func allows(_ signed: Reference, for asked: Reference) -> Bool {
    switch self {
    case .exact: asked.tag != nil && signed.canonical == asked.canonical
    case .repositoryDigestOrExact: asked.digest != nil ? signed.name == asked.name : signed.canonical == asked.canonical
    case .repository: signed.name == asked.name
    case .exactReference(let text): signed.canonical == text
    case .exactRepository(let name): signed.name == name
    case .remapped(let prefix, let replacement):
      if let remapped = Self.remap(asked, prefix, replacement) {
        SignedIdentity.repositoryDigestOrExact.allows(signed, for: remapped)
      } else {
        SignedIdentity.repositoryDigestOrExact.allows(signed, for: asked)
      }
    }
  }

  /// `asked` with `prefix`, whole parts of its path, replaced; nil when it does not begin with it.
  private static func remap(_ asked: Reference, _ prefix: String, _ replacement: String) -> Reference? {
    guard asked.name == prefix || asked.name.hasPrefix(prefix + "/") else { return nil }
    let rest = asked.canonical.dropFirst(prefix.count)
    return try? Reference(parsing: replacement + rest)
  }
}
