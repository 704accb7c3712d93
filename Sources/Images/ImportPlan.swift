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
