internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI
internal import SystemPackage

/// Bounds on what an import accepts; beyond them it ends with `limitExceeded`.
public struct ImportLimits: Sendable {
  /// The bytes of an archive after decompression.
  public var expandedBytes: Int64
  /// The members of an archive: an image has a handful for each layer.
  public var members: Int
  /// The images that one archive may bring.
  public var images: Int
  /// The layers of one image.
  public var layers: Int

  /// Takes the limits; the defaults admit every image seen in practice.
  public init(expandedBytes: Int64 = 256 << 30, members: Int = 100_000, images: Int = 1_000, layers: Int = 4_096) {
    self.expandedBytes = expandedBytes
    self.members = members
    self.images = images
    self.layers = layers
  }
}

/// The members of an image archive by their names, as they came: small ones in memory, large ones staged in the content
/// store. Names are keys only: nothing is ever written to a path that an archive names.
///
/// Archives bring their tables of contents at any place, most of them at the end, so that everything is kept until it is
/// known what it is.
final class ImportMembers {
  /// What an archive has under a name.
  enum Member {
    /// Small content.
    case memory(Data, Digest)
    /// Content on disk that is not yet visible.
    case staged(StagedBlob)
    /// A blob that the store has already; its bytes in the archive were skipped.
    case stored(Digest, size: Int64)
    /// Another member, by its name as seen from the top of the archive.
    case link(to: String)

    /// The content's digest; nil for a link.
    var digest: Digest? {
      switch self {
      case .memory(_, let digest), .stored(let digest, _): digest
      case .staged(let blob): blob.digest
      case .link: nil
      }
    }

    var size: Int64 {
      switch self {
      case .memory(let data, _): Int64(data.count)
      case .staged(let blob): blob.size
      case .stored(_, let size): size
      case .link: 0
      }
    }
  }

  /// Members up to this size stay in memory …
  static let smallSize = 128 << 10
  /// … as long as all of them together are not larger than this.
  static let memoryLimit = 8 << 20

  private var members: [String: Member] = [:]
  private var memory = 0

  /// Whether a member of `size` bytes should stay in memory.
  func fitsMemory(_ size: Int64) -> Bool { size <= Self.smallSize && memory + Int(size) <= Self.memoryLimit }

  /// Adds a member. Throws `corrupt` when the name is taken by something else: which of both is meant cannot be known.
  func add(_ name: String, _ member: Member) throws(Fault) {
    if let present = members[name] {
      if let digest = present.digest, digest == member.digest { return }
      if case .link(let old) = present, case .link(let new) = member, old == new { return }
      throw Fault(.corrupt, "the archive has two different members named \(Self.shown(name))")
    }
    if case .memory(let data, _) = member { memory += data.count }
    members[name] = member
  }

  /// Whether there is a member of that name.
  func has(_ name: String) -> Bool { members[name] != nil }

  /// The names that end with `suffix`.
  func names(withSuffix suffix: String) -> [String] { members.keys.filter { $0.hasSuffix(suffix) }.sorted() }

  /// The member `name`, links followed.
  ///
  /// Throws `corrupt` when it, or what it links to, is missing, or when links go in circles.
  func member(_ name: String) throws(Fault) -> Member {
    guard var key = Self.normalized(name) else {
      throw Fault(.corrupt, "the archive refers to \(Self.shown(name)), which is outside of it")
    }
    for _ in 0..<16 {
      guard let member = members[key] else {
        throw Fault(.corrupt, "the archive has no member \(Self.shown(key)), which it refers to; is it cut off?")
      }
      guard case .link(let target) = member else { return member }
      key = target
    }
    throw Fault(.corrupt, "the links of \(Self.shown(name)) in the archive go in circles")
  }

  /// The bytes of a small document, links followed; `what` says what it is.
  func document(_ name: String, _ what: String) throws(Fault) -> Data {
    let member = try member(name)
    guard member.size <= ImageDocument.sizeLimit else {
      throw Fault(
        .limitExceeded,
        "\(what) \(Self.shown(name)) has \(member.size) bytes; at most \(ImageDocument.sizeLimit) are read")
    }
    switch member {
    case .memory(let data, _): return data
    case .staged(let blob): return try blob.read(limit: ImageDocument.sizeLimit)
    case .stored, .link: throw Fault(.corrupt, "\(what) \(Self.shown(name)) is not a document")
    }
  }

  /// A name without ".", doubled slashes and ".."; nil when it leads out of the archive.
  static func normalized(_ name: String) -> String? {
    var parts: [Substring] = []
    for part in name.split(separator: "/") {
      switch part {
      case ".": continue
      case "..":
        guard parts.popLast() != nil else { return nil }
      default: parts.append(part)
      }
    }
    return parts.isEmpty ? nil : parts.joined(separator: "/")
  }

  /// An untrusted name for a message.
  static func shown(_ name: String) -> String {
    let plain = name.unicodeScalars.prefix(120).map { $0.value < 32 || $0.value == 127 ? "?" : String($0) }.joined()
    return "\"\(plain)\""
  }
}
