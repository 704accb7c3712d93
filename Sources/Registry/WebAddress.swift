public import Faults

/// An `http` or `https` address, split strictly: what a registry, a redirect or a token realm names is not trusted.
public struct WebAddress: Hashable, Sendable {
  /// The ways to speak HTTP.
  public enum Scheme: String, Sendable {
    case http
    case https

    /// The port when none is written.
    public var port: Int { self == .http ? 80 : 443 }
  }

  public var scheme: Scheme
  /// A name, an IPv4 address, or an IPv6 address in brackets; lower case.
  public var host: String
  /// The port, when one is written.
  public var port: Int?
  /// Begins with a slash; has the query, if there is one.
  public var target: String

  /// Takes the parts as they are.
  public init(scheme: Scheme, host: String, port: Int? = nil, target: String = "/") {
    self.scheme = scheme
    self.host = host
    self.port = port
    self.target = target
  }

  /// Reads an absolute address. Throws `invalidArgument` for any scheme but http and https, for user names in it, and for
  /// bytes that an address cannot have.
  public init(parsing text: String) throws(Fault) {
    guard text.utf8.count <= 8192, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "\\") }) else {
      throw Self.malformed(text, "it is too long or has characters that an address cannot have")
    }
    let lower = text.prefix(8).lowercased()
    let scheme: Scheme
    if lower.hasPrefix("https://") {
      scheme = .https
    } else if lower.hasPrefix("http://") {
      scheme = .http
    } else {
      throw Self.malformed(text, "only http:// and https:// are followed")
    }
    let rest = text.dropFirst(scheme.rawValue.count + 3)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    try self.init(scheme: scheme, authority: String(rest[..<end]))
    let tail = rest[end...].prefix { $0 != "#" }
    target = tail.hasPrefix("/") ? String(tail) : "/" + tail
  }

  /// Reads `host[:port]`; the target is `/`.
  public init(scheme: Scheme, authority: String) throws(Fault) {
    let text = "\(scheme.rawValue)://\(authority)"
    guard !authority.utf8.contains(UInt8(ascii: "@")) else {
      throw Self.malformed(text, "addresses with a user name are not used")
    }
    var host = authority.lowercased()
    var port: Int?
    let afterAddress = host.lastIndex(of: "]") ?? host.startIndex
    if let colon = host[afterAddress...].lastIndex(of: ":") {
      guard let number = Int(host[host.index(after: colon)...]), (1...65535).contains(number) else {
        throw Self.malformed(text, "its port is not a number from 1 to 65535")
      }
      port = number
      host = String(host[..<colon])
    }
    let isPlain = host.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
        UInt8(ascii: "."), UInt8(ascii: "_"):
        true
      default: false
      }
    }
    let isLiteral =
      host.hasPrefix("[") && host.hasSuffix("]")
      && host.dropFirst().dropLast().utf8.allSatisfy {
        $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".")
          || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
      }
    guard !host.isEmpty, isPlain || isLiteral else { throw Self.malformed(text, "its host is not a host's name") }
    self.init(scheme: scheme, host: host, port: port)
  }

  private static func malformed(_ text: String, _ why: String) -> Fault {
    Fault(.invalidArgument, "the address \(Quoted.text(text)) is not used: \(why)")
  }

  /// What a redirect to `location` means, seen from here.
  public func following(_ location: String) throws(Fault) -> WebAddress {
    if location.hasPrefix("//") { return try WebAddress(parsing: "\(scheme.rawValue):\(location)") }
    if location.hasPrefix("/") || location.hasPrefix("?") {
      let path = location.hasPrefix("?") ? String(target.prefix { $0 != "?" }) + location : location
      return try WebAddress(parsing: "\(origin)\(path)")
    }
    guard location.contains("://") else {
      // Relative to the folder of the present path.
      let folder = target.prefix { $0 != "?" }
      let end = folder.lastIndex(of: "/") ?? folder.startIndex
      return try WebAddress(parsing: "\(origin)\(folder[...end])\(location)")
    }
    return try WebAddress(parsing: location)
  }

  /// `host` or `host:port`, as the `Host` field has it.
  public var authority: String { host + (port.map { ":\($0)" } ?? "") }

  /// Scheme, host and port: what credentials belong to.
  public var origin: String { "\(scheme.rawValue)://\(authority)" }

  /// Whether both are the same scheme, host and port.
  public func hasSameOrigin(as other: WebAddress) -> Bool {
    scheme == other.scheme && host == other.host && (port ?? scheme.port) == (other.port ?? other.scheme.port)
  }

  /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
  public var isLoopback: Bool {
    host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]" || (isIPv4 && host.hasPrefix("127."))
  }

  /// Whether the host is an address and not a name.
  public var isLiteral: Bool { host.hasPrefix("[") || isIPv4 }

  private var isIPv4: Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }

  /// The same host with another target.
  public func with(target: String) -> WebAddress {
    var other = self
    other.target = target
    return other
  }

  /// The same address with more in its query.
  public func adding(query: String) -> WebAddress {
    with(target: target + (target.contains("?") ? "&" : "?") + query)
  }
}

extension WebAddress: CustomStringConvertible {
  /// The address without its query, which may hold signatures that belong in no log.
  public var description: String { origin + target.prefix { $0 != "?" } }

  /// The whole address.
  public var url: String { origin + target }
}

/// Untrusted text for messages.
enum Quoted {
  /// `text` bounded, without control characters, in quotation marks.
  static func text(_ text: some StringProtocol) -> String { "\"\(plain(text, 200))\"" }

  /// `text` bounded and on one line.
  static func plain(_ text: some StringProtocol, _ most: Int) -> String {
    var shown = ""
    for scalar in text.unicodeScalars.prefix(most) {
      shown.unicodeScalars.append(scalar.value < 32 || (127...159).contains(scalar.value) ? " " : scalar)
    }
    return shown + (text.unicodeScalars.count > most ? "…" : "")
  }

  /// A value for a query.
  static func query(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        bytes.append(byte)
      default:
        bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
