public import Faults

/// The name of an image, normalised as Docker does: `busybox` is `docker.io/library/busybox`, and its tag `latest` when
/// none is written (rules and limits of distribution/reference 0.6).
///
///     reference  = name [":" tag] ["@" digest]
///     name       = [host [":" port] "/"] component *("/" component)
///     component  = 1*(a-z 0-9), parts joined by ".", "_", "__" or any number of "-"
///     tag        = 1 letter, digit or "_", then at most 127 of these, "." and "-"
public struct Reference: Hashable, Sendable {
  /// The host that Docker assumes when none is written.
  public static let defaultDomain = "docker.io"
  /// The tag that Docker assumes when none is written.
  public static let defaultTag = "latest"
  /// The greatest length of `path` in bytes.
  public static let pathLimit = 255

  /// The registry's host, with its port if one is written: `docker.io`, `localhost:5000`, `[::1]:5000`.
  public let domain: String
  /// The repository on that host: `library/busybox`.
  public let path: String
  /// The tag, when one is written or was added.
  public let tag: String?
  /// The digest, when one is written.
  public let digest: Digest?

  private init(domain: String, path: String, tag: String?, digest: Digest?) {
    self.domain = domain
    self.path = path
    self.tag = tag
    self.digest = digest
  }

  /// Reads what a person writes and normalises the name; adds no tag.
  ///
  /// Throws `invalidArgument`, beginning with Docker's words "invalid reference format".
  public init(parsing text: String) throws(Fault) {
    guard !text.isEmpty else {
      throw Fault(.invalidArgument, "invalid reference format: the image name is empty")
    }
    guard text.utf8.count <= 1024, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw Self.malformed(text)
    }
    guard !(text.utf8.count == 64 && text.utf8.allSatisfy(Digest.isLowerHex)) else {
      throw Fault(.invalidArgument, "invalid repository name (\(text)), cannot specify 64-byte hexadecimal strings")
    }
    let (domain, remainder) = Self.splitDomain(text)
    var rest = Substring(remainder)
    var digest: Digest?
    if let at = rest.firstIndex(of: "@") {
      do {
        digest = try Digest(parsing: String(rest[rest.index(after: at)...]))
      } catch {
        throw Fault(.invalidArgument, Self.malformed(text).message, cause: [error.message])
      }
      rest = rest[..<at]
    }
    var tag: String?
    if let colon = rest.firstIndex(of: ":") {
      tag = String(rest[rest.index(after: colon)...])
      rest = rest[..<colon]
    }
    let path = String(rest)
    if path.utf8.contains(where: { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }) {
      throw Fault(
        .invalidArgument, "invalid reference format: repository name (\(path)) must be lowercase")
    }
    guard Self.isDomain(domain), Self.isPath(path), tag.map(Self.isTag) ?? true else { throw Self.malformed(text) }
    guard path.utf8.count <= Self.pathLimit else {
      throw Fault(
        .invalidArgument, "invalid reference format: repository name must not be more than \(Self.pathLimit) characters"
      )
    }
    self.init(domain: domain, path: path, tag: tag, digest: digest)
  }

  private static func malformed(_ text: String) -> Fault {
    Fault(
      .invalidArgument,
      "invalid reference format: \(Digest.quoted(text)) is not an image name; write it like name, name:tag or host/name:tag"
    )
  }

  /// Docker's rule for whether the first part is a host.
  private static func splitDomain(_ text: String) -> (domain: String, remainder: String) {
    guard let slash = text.firstIndex(of: "/") else { return (defaultDomain, "library/" + text) }
    let first = String(text[..<slash])
    var domain = first
    var remainder = String(text[text.index(after: slash)...])
    if first == "index.docker.io" {
      domain = defaultDomain
    } else if first != "localhost", !first.contains("."), !first.contains(":"), first == first.lowercased() {
      domain = defaultDomain
      remainder = text
    }
    if domain == defaultDomain, !remainder.contains("/") { remainder = "library/" + remainder }
    return (domain, remainder)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: false
    }
  }

  private static func isDomain(_ text: String) -> Bool {
    var host = Substring(text)
    if host.hasPrefix("[") {
      guard let end = host.firstIndex(of: "]") else { return false }
      let address = host[host.index(after: host.startIndex)..<end]
      guard address.utf8.contains(UInt8(ascii: ":")),
        address.utf8.allSatisfy({ $0 == UInt8(ascii: ":") || isHexDigit($0) })
      else { return false }
      host = host[host.index(after: end)...]
      return host.isEmpty || (host.hasPrefix(":") && isPort(host.dropFirst()))
    }
    if let colon = host.firstIndex(of: ":") {
      guard isPort(host[host.index(after: colon)...]) else { return false }
      host = host[..<colon]
    }
    return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      guard let first = label.utf8.first, let last = label.utf8.last else { return false }
      return isAlphanumeric(first) && isAlphanumeric(last)
        && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    Digest.isLowerHex(byte) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte)
  }

  private static func isPort(_ text: Substring) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  private static func isPath(_ text: String) -> Bool {
    text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(isPathComponent)
  }

  /// Runs of letters and digits, joined by ".", "_", "__" or dashes.
  private static func isPathComponent(_ text: Substring) -> Bool {
    var separator: [UInt8] = []
    var afterWord = false
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        if !separator.isEmpty {
          guard isSeparator(separator) else { return false }
          separator = []
        }
        afterWord = true
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        guard afterWord else { return false }
        separator.append(byte)
      default:
        return false
      }
    }
    return afterWord && separator.isEmpty
  }

  private static func isSeparator(_ bytes: [UInt8]) -> Bool {
    bytes == [UInt8(ascii: ".")] || bytes == [UInt8(ascii: "_")] || bytes == Array("__".utf8)
      || bytes.allSatisfy { $0 == UInt8(ascii: "-") }
  }

  /// Whether `text` can be a tag.
  public static func isTag(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= 128, isAlphanumeric(first) || first == UInt8(ascii: "_")
    else { return false }
    return text.utf8.allSatisfy {
      isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
    }
  }
}

extension Reference {
  /// The repository with its host: `docker.io/library/busybox`.
  public var name: String { "\(domain)/\(path)" }

  /// The repository as a person writes it: `busybox`, `gantry/busybox`, `localhost:5000/x`.
  public var familiarName: String {
    guard domain == Self.defaultDomain else { return name }
    let official = "library/"
    if path.hasPrefix(official), !path.dropFirst(official.count).contains("/") {
      return String(path.dropFirst(official.count))
    }
    return path
  }

  /// The whole reference with its host: `docker.io/library/busybox:latest`.
  public var canonical: String { name + suffix }

  /// The whole reference as a person writes it: `busybox:latest`.
  public var familiar: String { familiarName + suffix }

  private var suffix: String { (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }

  /// Whether neither tag nor digest is written.
  public var isNameOnly: Bool { tag == nil && digest == nil }

  /// The same, with the tag `latest` when neither tag nor digest is written.
  public var withDefaultTag: Reference {
    isNameOnly ? Reference(domain: domain, path: path, tag: Self.defaultTag, digest: nil) : self
  }

  /// The same repository with another tag and no digest; throws `invalidArgument` when `tag` is malformed.
  public func withTag(_ tag: String) throws(Fault) -> Reference {
    guard Self.isTag(tag) else { throw Fault(.invalidArgument, "invalid tag format: \(Digest.quoted(tag))") }
    return Reference(domain: domain, path: path, tag: tag, digest: nil)
  }

  /// The same repository with a digest and no tag.
  public func withDigest(_ digest: Digest) -> Reference {
    Reference(domain: domain, path: path, tag: nil, digest: digest)
  }
}

extension Reference: CustomStringConvertible {
  /// The familiar form.
  public var description: String { familiar }
}

extension Reference: Codable {
  /// Reads one string.
  public init(from decoder: any Decoder) throws {
    try self.init(parsing: decoder.singleValueContainer().decode(String.self))
  }

  /// Writes the canonical form.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(canonical)
  }
}
