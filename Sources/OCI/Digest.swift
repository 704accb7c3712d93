public import Faults

/// The name of some content by its own hash, such as `sha256:` followed by 64 lower-case hexadecimal digits.
///
/// A value of this type is always well formed: it can be used as a file name without further checks
/// (CVE-2024-3727: digests such as `../x` in a manifest).
public struct Digest: Hashable, Sendable {
  /// The hash functions that Gantry accepts, by their names in the OCI image specification.
  public enum Algorithm: String, Sendable, CaseIterable {
    case sha256
    case sha512

    /// The number of hexadecimal digits of a hash.
    public var hexLength: Int {
      switch self {
      case .sha256: 64
      case .sha512: 128
      }
    }
  }

  /// The hash function.
  public let algorithm: Algorithm
  /// The hash, as lower-case hexadecimal digits of exactly the algorithm's length.
  public let hex: String

  /// Reads `algorithm:hex`.
  ///
  /// Throws `invalidArgument` for an unknown algorithm, a wrong length or a digit that is not lower-case hexadecimal.
  public init(parsing text: String) throws(Fault) {
    let bytes = text.utf8
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
      throw Fault(
        .invalidArgument, "\(Self.quoted(text)) is not a digest: it must be sha256: and 64 hexadecimal digits")
    }
    guard let algorithm = Algorithm(rawValue: String(text[..<colon])) else {
      throw Fault(.invalidArgument, "the digest \(Self.quoted(text)) uses a hash that is neither sha256 nor sha512")
    }
    let hex = text[text.index(after: colon)...]
    guard hex.utf8.count == algorithm.hexLength, hex.utf8.allSatisfy(Self.isLowerHex) else {
      throw Fault(
        .invalidArgument,
        "the digest \(Self.quoted(text)) must have \(algorithm.hexLength) lower-case hexadecimal digits after the colon"
      )
    }
    self.algorithm = algorithm
    self.hex = String(hex)
  }

  /// A digest from the bytes of a hash; nil when there are not as many as `algorithm` gives.
  public init?(_ algorithm: Algorithm, bytes: some Collection<UInt8>) {
    guard bytes.count * 2 == algorithm.hexLength else { return nil }
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(algorithm.hexLength)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    self.algorithm = algorithm
    self.hex = String(decoding: text, as: UTF8.self)
  }

  /// `algorithm:hex`.
  public var rawValue: String { "\(algorithm.rawValue):\(hex)" }

  /// The first 12 digits, as lists of images show them.
  public var short: String { String(hex.prefix(12)) }

  /// Whether `byte` is one of 0-9 and a-f.
  public static func isLowerHex(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }

  /// Untrusted text for a message: bounded, without control characters.
  static func quoted(_ text: String) -> String {
    let shown = text.unicodeScalars.prefix(140).map { $0.value < 32 || $0.value == 127 ? "?" : String($0) }.joined()
    return "\"\(shown)\(text.unicodeScalars.count > 140 ? "…" : "")\""
  }
}

extension Digest: CustomStringConvertible {
  /// `algorithm:hex`.
  public var description: String { rawValue }
}

extension Digest: Comparable {
  /// Orders by text, which is what sorted listings want.
  public static func < (left: Digest, right: Digest) -> Bool { left.rawValue < right.rawValue }
}

extension Digest: Codable {
  /// Reads one string; a malformed digest is a `Fault`.
  public init(from decoder: any Decoder) throws {
    try self.init(parsing: decoder.singleValueContainer().decode(String.self))
  }

  /// Writes one string.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rawValue)
  }
}
