internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI

/// An image that was read from somewhere, complete and verified, but not yet visible.
struct ImportPlan {
  /// Where one blob of an image comes from.
  enum Source {
    /// Bytes in memory (documents).
    case data(Data)
    /// A file that is staged in the content store.
    case staged(StagedBlob)
    /// The store has it.
    case stored
  }

  /// The facts for the database.
  var record: ImageRecord
  /// The names to give, with tags.
  var names: [Reference]
  /// The blobs: manifest, configuration and layers.
  var blobs: [Digest: Source]
}

extension ImportPlan {
  /// Notes the size that gzip layers have without compression, which gzip writes at its end (RFC 1952: modulo 2^32, of
  /// the last member only). Good enough to show, and taken only where it can be true.
  mutating func noteExpandedSizes(_ content: ContentStore) {
    for position in record.layers.indices where record.layers[position].expandedSize == nil {
      let descriptor = record.layers[position].descriptor
      guard descriptor.mediaType == MediaType.ociLayerGzip || descriptor.mediaType == MediaType.dockerLayerGzip,
        descriptor.size < 1 << 30, let source = blobs[descriptor.digest]
      else { continue }
      let tail: Data? =
        switch source {
        case .data(let data): data.suffix(4)
        case .staged(let blob): try? blob.tail(4)
        case .stored: try? content.tail(descriptor.digest, 4)
        }
      guard let tail, tail.count == 4 else { continue }
      let size = tail.reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
      // Deflate expands by 1032 at most; a size below the compressed one is that of a last member.
      if size >= descriptor.size, size <= descriptor.size * 1032 { record.layers[position].expandedSize = size }
    }
  }
}

extension ImportPlan.Source {
  /// The source of a member; a link has none.
  init?(_ member: ImportMembers.Member) {
    switch member {
    case .memory(let data, _): self = .data(data)
    case .staged(let blob): self = .staged(blob)
    case .stored: self = .stored
    case .link: return nil
    }
  }
}
