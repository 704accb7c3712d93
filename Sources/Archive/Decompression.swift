internal import Faults
public import Tar

/// How a stream is compressed, by its first bytes: media types in manifests are not always right.
public enum Compression: String, Sendable, CaseIterable {
  case none
  case gzip
  case zstd
  case xz
  case bzip2

  /// What `head`, the first 6 bytes or more of a stream, begins.
  public init(head: UnsafeRawBufferPointer) {
    func begins(_ magic: [UInt8]) -> Bool { head.count >= magic.count && head.prefix(magic.count).elementsEqual(magic) }
    if begins([0x1f, 0x8b]) {
      self = .gzip
    } else if begins([0x28, 0xb5, 0x2f, 0xfd]) || Self.isSkippableFrame(head) {
      self = .zstd
    } else if begins([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) {
      self = .xz
    } else if begins([0x42, 0x5a, 0x68]) {
      self = .bzip2
    } else {
      self = .none
    }
  }

  /// zstd:chunked layers may begin with a skippable frame: 0x184D2A50 to 0x184D2A5F, little-endian (RFC 8878, 3.1.2).
  private static func isSkippableFrame(_ head: UnsafeRawBufferPointer) -> Bool {
    head.count >= 4 && head[0] & 0xf0 == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18
  }
}

/// A source's bytes decompressed, whatever of `Compression` they are in; at most `limits.expandedBytes` of them.
public final class DecompressedSource: ByteSource {
  /// How the bytes are compressed.
  public let compression: Compression
  /// The decompressed bytes given so far.
  public private(set) var bytes: Int64 = 0
  private let source: any ByteSource
  private let limit: Int64

  /// Looks at the first bytes of `upstream` and decompresses accordingly.
  public init(_ upstream: any ByteSource, limits: ArchiveLimits = ArchiveLimits()) throws {
    let peeking = PeekingSource(upstream)
    compression = Compression(head: try peeking.peek(6))
    limit = limits.expandedBytes
    switch compression {
    case .none: source = peeking
    case .gzip: source = InflateSource(peeking)
    case .zstd: source = try ZstandardSource(peeking, windowLog: limits.zstdWindowLog)
    case .xz: source = try FilterSource(peeking, .xz)
    case .bzip2: source = try FilterSource(peeking, .bzip2)
    }
  }

  public func next() throws -> UnsafeRawBufferPointer {
    let chunk = try source.next()
    bytes += Int64(chunk.count)
    guard bytes <= limit else {
      throw Fault(.limitExceeded, "the archive expands to more than \(limit) bytes, which is the limit")
    }
    return chunk
  }
}
