public import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import Linux
public import OCI
public import SystemPackage

/// Which images may be pulled: `policy.json`, a part of containers-policy.json(5).
///
///     {
///       "default": [{"type": "insecureAcceptAnything"}],
///       "transports": {"docker": {
///         "registry.example":          [{"type": "reject"}],
///         "registry.example/team":     [{"type": "sigstoreSigned", "keyPath": "/etc/gantry/team.pub",
///                                        "signedIdentity": {"type": "matchRepository"}}],
///         "*.lab.example":             [{"type": "insecureAcceptAnything"}]
///       }}
///     }
///
/// The longest scope that an image's name lies in counts, and all of its requirements must hold. Reading is strict: what
/// this engine cannot check (GPG keys, Fulcio certificates, Rekor) is refused, never passed over.
public struct SignaturePolicy: Sendable {
  /// Where it is looked for when nobody says otherwise.
  public static let standardPath: FilePath = "/etc/gantry/policy.json"
  private static let sizeLimit = 1 << 20

  /// What an image must fulfil.
  enum Requirement: Sendable {
    case acceptAnything
    case reject
    /// A signature by one of the keys, for a name that the identity allows.
    case signed(keys: [SignatureKey], identity: SignedIdentity)
  }

  /// Requirements by scope: a name with tag or digest, a repository, a part of its path, a host, `*.domain`; "" is all.
  let scopes: [String: [Requirement]]
  let standard: [Requirement]
  /// The file, for messages.
  let name: String

  /// Without a file every image is accepted.
  public static let acceptAnything = SignaturePolicy(scopes: [:], standard: [.acceptAnything], name: "the policy")

  private init(scopes: [String: [Requirement]], standard: [Requirement], name: String) {
    self.scopes = scopes
    self.standard = standard
    self.name = name
  }

  /// Reads the file at `path`; a missing one accepts anything unless it `mustExist`.
  ///
  /// Throws `notFound`, `permissionDenied`, or `invalidArgument` with the place of the mistake. Keys are read too.
  public init(path: FilePath, mustExist: Bool) throws(Fault) {
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try Files.read(path.string, limit: Self.sizeLimit)
    } catch .noSuchFileOrDirectory where !mustExist {
      self = .acceptAnything
      return
    } catch {
      throw Fault(
        error == .noSuchFileOrDirectory ? .notFound : .permissionDenied,
        "the signature policy \(path) cannot be read: nothing is pulled without it", cause: ["\(error)"])
    }
    try self.init(parsing: bytes, named: path.string)
  }

  /// Reads the text of a policy that `name` names in messages.
  public init(parsing bytes: [UInt8], named name: String) throws(Fault) {
    try StrictJSON.check(Data(bytes), named: name)
    let document: JSONValue
    do { document = try JSONValue(parsing: Data(bytes)) } catch {
      throw Fault(.invalidArgument, "\(name) is not JSON: check commas, quotes and brackets", cause: error.cause)
    }
    let top = try PolicyReader(document, place: name)
    try top.refuseUnknown(["default", "transports"])
    standard = try Self.requirements(try top.list("default"), "\(name): default")
    var scopes: [String: [Requirement]] = [:]
    for (transport, value) in try top.object("transports") {
      // Others are those of images that this engine does not pull: archives, folders, other engines.
      guard transport == "docker" else { continue }
      let reader = try PolicyReader(value, place: "\(name): transports.docker")
      for (scope, list) in reader.members {
        guard let items = list.arrayValue else { throw reader.refusal(scope, "write a list of requirements") }
        scopes[scope] = try Self.requirements(items, "\(name): transports.docker.\(scope)")
      }
    }
    self.scopes = scopes
    self.name = name
  }

  private static func requirements(_ items: [JSONValue], _ place: String) throws(Fault) -> [Requirement] {
    guard !items.isEmpty else {
      throw Fault(
        .invalidArgument, "\(place): an empty list of requirements is a mistake: write reject or another type")
    }
    var requirements: [Requirement] = []
    for item in items { requirements.append(try requirement(try PolicyReader(item, place: place))) }
    return requirements
  }

  private static func requirement(_ reader: PolicyReader) throws(Fault) -> Requirement {
    switch try reader.text("type") {
    case "insecureAcceptAnything":
      try reader.refuseUnknown(["type"])
      return .acceptAnything
    case "reject":
      try reader.refuseUnknown(["type"])
      return .reject
    case "sigstoreSigned":
      try reader.refuseUnknown(["type", "keyPath", "keyPaths", "keyData", "keyDatas", "signedIdentity"])
      return .signed(keys: try SignatureKey.keys(reader), identity: try SignedIdentity(reader))
    case "signedBy":
      throw reader.refusal("type", "GPG signatures are not checked by this engine; sign with cosign: sigstoreSigned")
    case let type?:
      throw reader.refusal("type", "\(type.prefix(40)) is not one of insecureAcceptAnything, reject, sigstoreSigned")
    case nil: throw reader.refusal("type", "it is missing")
    }
  }

  // MARK: Asking

  /// What the image `reference` must fulfil.
  func requirements(for reference: Reference) -> [Requirement] {
    for scope in Self.scopes(of: reference) {
      if let found = scopes[scope] { return found }
    }
    return standard
  }

  /// The scopes that a name lies in, the most exact first.
  static func scopes(of reference: Reference) -> [String] {
    var scopes: [String] = []
    if let digest = reference.digest { scopes.append("\(reference.name)@\(digest)") }
    if let tag = reference.tag { scopes.append("\(reference.name):\(tag)") }
    var path = Substring(reference.path)
    while !path.isEmpty {
      scopes.append("\(reference.domain)/\(path)")
      path = path.lastIndex(of: "/").map { path[..<$0] } ?? ""
    }
    scopes.append(reference.domain)
    // Wild cards stand for one or more labels of the host, without its port.
    var host = Substring(reference.domain.prefix { $0 != ":" })
    while let dot = host.firstIndex(of: ".") {
      host = host[host.index(after: dot)...]
      scopes.append("*.\(host)")
    }
    scopes.append("")
    return scopes
  }

  /// Whether an image may be pulled at all, and whether that depends on signatures: asked before anything is fetched.
  ///
  /// Throws `permissionDenied` for an image that is rejected whatever it has.
  public func needsSignature(_ reference: Reference) throws(Fault) -> Bool {
    var needs = false
    for requirement in requirements(for: reference) {
      switch requirement {
      case .acceptAnything: break
      case .signed: needs = true
      case .reject:
        throw Fault(.permissionDenied, "\(name) rejects \(reference.familiar): nothing of it is pulled")
      }
    }
    return needs
  }

  /// Checks an image whose manifest is known, before its layers are fetched.
  ///
  /// - Parameters:
  ///   - reference: the name that was asked for, with its tag or digest.
  ///   - digests: what the name led to: of an index, and of the manifest that was chosen from it. A signature of either is
  ///     one of the image, since the first names the second by its digest.
  /// - Throws: `permissionDenied` with what was found wrong of each signature; failures of `source`.
  public func check(_ reference: Reference, digests: [Digest], source: some SignatureSource) async throws(Fault) {
    guard try needsSignature(reference) else { return }
    var signatures: [CosignSignature] = []
    for digest in digests { signatures += try await CosignSignature.fetch(digest, from: source) }
    for case .signed(let keys, let identity) in requirements(for: reference) {
      var reasons: [String] = []
      let holds = signatures.contains { signature in
        if let reason = signature.refusal(reference, keys: keys, identity: identity) {
          if !reasons.contains(reason) { reasons.append(reason) }
          return false
        }
        return true
      }
      if holds { continue }
      throw Fault(
        .permissionDenied,
        signatures.isEmpty
          ? "\(reference.familiar) is not signed, but \(name) asks for it: nothing of it is pulled"
          : "no signature of \(reference.familiar) fulfils \(name): nothing of it is pulled",
        cause: Array(reasons.prefix(8)))
    }
  }
}

/// One object of a policy, read so that every refusal names its place.
struct PolicyReader {
  let members: [String: JSONValue]
  let place: String

  init(_ value: JSONValue, place: String) throws(Fault) {
    guard let members = value.objectValue else { throw Fault(.invalidArgument, "\(place): write an object") }
    self.members = members
    self.place = place
  }

  func refusal(_ key: String, _ reason: String) -> Fault { Fault(.invalidArgument, "\(place): \(key): \(reason)") }

  func refuseUnknown(_ known: Set<String>) throws(Fault) {
    guard let key = members.keys.sorted().first(where: { !known.contains($0) }) else { return }
    throw refusal(key, "this engine does not check that; there are \(known.sorted().joined(separator: ", "))")
  }

  func text(_ key: String) throws(Fault) -> String? {
    guard let value = members[key] else { return nil }
    guard let text = value.stringValue else { throw refusal(key, "write a text") }
    return text
  }

  func texts(_ key: String) throws(Fault) -> [String] {
    var texts: [String] = []
    for item in try list(key) {
      guard let text = item.stringValue else { throw refusal(key, "write a list of texts") }
      texts.append(text)
    }
    return texts
  }

  func list(_ key: String) throws(Fault) -> [JSONValue] {
    guard let value = members[key] else { return [] }
    guard let items = value.arrayValue else { throw refusal(key, "write a list") }
    return items
  }

  func object(_ key: String) throws(Fault) -> [String: JSONValue] {
    guard let value = members[key] else { return [:] }
    guard let members = value.objectValue else { throw refusal(key, "write an object") }
    return members
  }
}
