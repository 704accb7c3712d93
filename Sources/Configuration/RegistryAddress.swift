public import Faults

/// Where a registry or a mirror is: `https://mirror.example:5000/v2/cache`.
public struct RegistryAddress: Sendable, Hashable {
  /// Whether TLS is used.
  public var isSecure: Bool
  /// The host, with a port if one is written; IPv6 in brackets.
  public var authority: String
  /// What comes after the host, without a slash at its end: empty, or `/path`.
  public var path: String

  /// An address of these parts.
  public init(isSecure: Bool = true, authority: String, path: String = "") {
    self.isSecure = isSecure
    self.authority = authority
    self.path = path
  }

  /// Reads `http://` and `https://` addresses.
  ///
  /// Throws `invalidArgument` for anything else: other schemes, names and passwords, queries.
  public init(parsing text: String) throws(Fault) {
    let lower = text.lowercased()
    guard lower.hasPrefix("https://") || lower.hasPrefix("http://") else {
      throw Fault(.invalidArgument, "write an address that begins with https:// or http://")
    }
    isSecure = lower.hasPrefix("https://")
    let rest = text.dropFirst(isSecure ? 8 : 7)
    guard !rest.utf8.contains(where: { $0 <= 32 || $0 >= 127 || [63, 35, 64, 92].contains($0) }) else {
      throw Fault(
        .invalidArgument, "an address here has no spaces, no ? and #, and no name or password before its host")
    }
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    authority = rest[..<slash].lowercased()
    var path = rest[slash...]
    while path.last == "/" { path = path.dropLast() }
    self.path = String(path)
    guard Self.isAuthority(authority), !path.contains("/../"), !path.hasSuffix("/..") else {
      throw Fault(.invalidArgument, "write a host, with a port if it needs one: https://mirror.example:5000")
    }
  }

  /// The address as text.
  public var text: String { "\(isSecure ? "https" : "http")://\(authority)\(path)" }

  /// The host without its port and brackets.
  public var host: String { Self.host(of: authority) }

  /// The host of `authority` without port and brackets.
  public static func host(of authority: String) -> String {
    if authority.hasPrefix("[") { return String(authority.dropFirst().prefix { $0 != "]" }) }
    return String(authority.prefix { $0 != ":" })
  }

  /// A key of `registries`: the host as image names have it.
  static func host(_ key: String, _ reader: SettingsReader) throws(Fault) -> String {
    let host = key.lowercased()
    guard isAuthority(host) else {
      throw reader.refusal("", "write the registry's host as image names have it, such as registry.example:5000")
    }
    return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host
  }

  /// Whether `text` is `host`, `host:port`, `[address]` or `[address]:port`.
  static func isAuthority(_ text: String) -> Bool {
    var rest = Substring(text)
    if rest.hasPrefix("[") {
      guard let end = rest.firstIndex(of: "]"), Network(parsing: String(rest.dropFirst()[..<end])) != nil else {
        return false
      }
      rest = rest[rest.index(after: end)...]
      guard rest.isEmpty || rest.first == ":" else { return false }
    } else {
      let name = rest.prefix { $0 != ":" }
      guard !name.isEmpty, name.utf8.count <= 253, name.utf8.allSatisfy(isHostByte) else { return false }
      rest = rest.dropFirst(name.count)
    }
    guard let colon = rest.popFirst() else { return true }
    return colon == ":" && (1...5).contains(rest.utf8.count) && UInt16(rest).map { $0 > 0 } == true
  }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
