public import Faults

/// A kind of machine: operating system, processor, and level of the processor (OCI image-index.md, containerd's names).
public struct Platform: Codable, Sendable, Hashable {
  /// `linux`.
  public var os: String
  /// Go's name of the processor: `amd64`, `arm64`, `arm`, `386`, …
  public var architecture: String
  /// The level of the processor, such as `v8`; nil where it makes no difference.
  public var variant: String?
  /// The version of the operating system that is wanted, as Windows images have it; kept, and compared with nothing.
  public var osVersion: String?
  /// Features of the operating system that are wanted; kept, and compared with nothing.
  public var osFeatures: [String]?

  private enum CodingKeys: String, CodingKey {
    case os, architecture, variant
    case osVersion = "os.version"
    case osFeatures = "os.features"
  }

  /// Makes a platform with exactly these words.
  public init(
    os: String, architecture: String, variant: String? = nil, osVersion: String? = nil, osFeatures: [String]? = nil
  ) {
    self.os = os
    self.architecture = architecture
    self.variant = variant
    self.osVersion = osVersion
    self.osFeatures = osFeatures
  }

  /// Reads a platform of an index; both names may be absent there, which reads as "".
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    os = try container.decodeIfPresent(String.self, forKey: .os) ?? ""
    architecture = try container.decodeIfPresent(String.self, forKey: .architecture) ?? ""
    variant = try container.decodeIfPresent(String.self, forKey: .variant)
    osVersion = try container.decodeIfPresent(String.self, forKey: .osVersion)
    osFeatures = try container.decodeIfPresent([String].self, forKey: .osFeatures)
  }

  /// The machine that this program was built for.
  public static var host: Platform {
    #if arch(x86_64)
      Platform(os: "linux", architecture: "amd64")
    #elseif arch(arm64)
      Platform(os: "linux", architecture: "arm64")
    #elseif arch(riscv64)
      Platform(os: "linux", architecture: "riscv64")
    #elseif arch(arm)
      Platform(os: "linux", architecture: "arm", variant: "v7")
    #elseif arch(i386)
      Platform(os: "linux", architecture: "386")
    #else
      Platform(os: "linux", architecture: "unknown")
    #endif
  }

  /// Reads what a person writes: `linux/arm64/v8`, `linux/amd64`, `arm64` or `linux`, in the usual spellings.
  ///
  /// Throws `invalidArgument` when it has another shape.
  public init(parsing text: String) throws(Fault) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { $0.lowercased() }
    let wellFormed = parts.allSatisfy { part in
      !part.isEmpty && part.utf8.count <= 64 && !part.hasPrefix(".")
        && part.utf8.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
          case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
          default: false
          }
        }
    }
    guard wellFormed, (1...3).contains(parts.count) else {
      throw Fault(
        .invalidArgument, "\(Digest.quoted(text)) is not a platform: write it like linux/amd64 or linux/arm64/v8")
    }
    switch parts.count {
    case 1 where Self.knownSystems.contains(parts[0]):
      self.init(os: parts[0], architecture: Self.host.architecture, variant: Self.host.variant)
    case 1:
      self.init(os: "linux", architecture: parts[0])
    case 2:
      self.init(os: parts[0], architecture: parts[1])
    default:
      self.init(os: parts[0], architecture: parts[1], variant: parts[2])
    }
    self = normalized
  }

  private static let knownSystems: Set = ["linux", "windows", "darwin", "freebsd", "macos"]

  /// The same machine in the spelling that indexes use.
  public var normalized: Platform {
    var os = os.lowercased()
    if os == "macos" { os = "darwin" }
    let level = variant?.lowercased() ?? ""
    switch architecture.lowercased() {
    case "x86_64", "x86-64", "amd64":
      return Platform(os: os, architecture: "amd64", variant: level.isEmpty || level == "v1" ? nil : level)
    case "i386", "i486", "i586", "i686", "386", "x86":
      return Platform(os: os, architecture: "386")
    case "aarch64", "arm64":
      let bare = level.isEmpty || level == "8" || level == "v8" || level == "v8.0"
      return Platform(os: os, architecture: "arm64", variant: bare ? nil : level)
    case "armhf":
      return Platform(os: os, architecture: "arm", variant: "v7")
    case "armel":
      return Platform(os: os, architecture: "arm", variant: "v6")
    case "arm":
      let named =
        switch level {
        case "": "v7"
        case "5", "6", "7", "8": "v\(level)"
        default: level
        }
      return Platform(os: os, architecture: "arm", variant: named)
    case let other:
      return Platform(os: os, architecture: other, variant: level.isEmpty ? nil : level)
    }
  }

  /// How well content for this platform suits `wanted`: 0 is exact, greater is worse, nil is not at all.
  ///
  /// As containerd orders them: arm64 machines also run arm v8 to v5, amd64 machines also run lower levels and 386.
  public func distance(from wanted: Platform) -> Int? {
    let own = normalized
    let wanted = wanted.normalized
    guard own.os == wanted.os else { return nil }
    if own.architecture == wanted.architecture {
      switch own.architecture {
      case "amd64", "arm":
        let most = Self.level(wanted.variant) ?? 1
        guard let level = Self.level(own.variant ?? "v1"), level <= most else { return nil }
        return most - level
      case "arm64":
        return own.variant == wanted.variant ? 0 : own.variant == nil ? 1 : wanted.variant == nil ? 2 : nil
      default:
        return own.variant == wanted.variant ? 0 : own.variant == nil ? 1 : nil
      }
    }
    switch (wanted.architecture, own.architecture) {
    case ("amd64", "386"): return 100
    case ("arm64", "arm"): return Self.level(own.variant).map { 100 + 8 - $0 }
    default: return nil
    }
  }

  /// The number in `v8`.
  private static func level(_ variant: String?) -> Int? {
    guard let variant, variant.hasPrefix("v") else { return nil }
    return Int(variant.dropFirst())
  }
}

extension Platform: CustomStringConvertible {
  /// `os/architecture` and, where there is one, `/variant`.
  public var description: String { "\(os)/\(architecture)" + (variant.map { "/\($0)" } ?? "") }
}
