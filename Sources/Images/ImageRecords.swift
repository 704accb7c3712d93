internal import Faults
public import FoundationEssentials
public import OCI

/// One image as lists show it.
public struct ImageSummary: Sendable, Equatable {
  /// Docker's image id: the digest of the configuration.
  public var id: Digest
  /// The names with tags, in familiar form: `busybox:latest`.
  public var repoTags: [String]
  /// The names with the manifest's digest, in familiar form: `busybox@sha256:…`.
  public var repoDigests: [String]
  /// When the image was made, RFC 3339; nil when it does not say.
  public var created: String?
  /// The sum of the layers' sizes in bytes: uncompressed where that is known, else as stored.
  public var size: Int64
  /// The labels of the configuration.
  public var labels: [String: String]
  /// Go's name of the processor.
  public var architecture: String
  /// The operating system.
  public var os: String
  /// The level of the processor.
  public var variant: String?
  /// The manifest's digest.
  public var manifest: Digest

  /// Whether no name refers to the image.
  public var isDangling: Bool { repoTags.isEmpty }
}

/// A layer as the snapshot service wants it.
public struct LayerSource: Sendable, Equatable {
  /// The blob.
  public var descriptor: Descriptor
  /// The digest of the uncompressed tar.
  public var diffID: Digest
  /// The name of the stack up to and including this layer.
  public var chainID: Digest
  /// Where the blob is: an absolute path in the content store.
  public var path: String
}

/// All that is needed to make a container of an image.
public struct ResolvedImage: Sendable {
  /// Docker's image id.
  public var id: Digest
  /// The familiar name, when the reference was one.
  public var name: String?
  /// What was asked for, normalised: a canonical name or an id.
  public var reference: String
  /// The manifest.
  public var manifest: Descriptor
  /// The configuration's bytes, as the image has them.
  public var config: Data
  /// The layers, lowest first.
  public var layers: [LayerSource]
}

/// One line of an image's history, newest first.
public struct HistoryEntry: Sendable, Equatable {
  /// The image's id on the first line, `<missing>` on the others.
  public var id: String
  /// When, RFC 3339; nil when the image does not say.
  public var created: String?
  /// The command.
  public var createdBy: String
  /// The bytes of the layer; 0 for a change without one.
  public var size: Int64
  /// A free comment.
  public var comment: String
  /// The image's names, on the first line.
  public var tags: [String]
}

/// What `remove` did.
public struct Removal: Sendable, Equatable {
  /// The names that no longer exist, in familiar form.
  public var untagged: [String]
  /// The ids of images, and the chain ids of layers that no image has any more.
  public var deleted: [Digest]
  /// The bytes of the content store that were freed.
  public var bytes: Int64 = 0

  /// Makes a removal of nothing, or of what is given.
  public init(untagged: [String] = [], deleted: [Digest] = []) {
    self.untagged = untagged
    self.deleted = deleted
  }
}

/// What the content store holds.
public struct Usage: Sendable, Equatable {
  /// The number of blobs.
  public var blobs: Int
  /// Their bytes.
  public var bytes: Int64
}

/// An image whose content is in the store and that a database transaction may now name.
struct ImageRecord {
  struct Layer {
    var descriptor: Descriptor
    var diffID: Digest
    var chainID: Digest
    /// The bytes of the plain tar, when they are known without decompressing it.
    var expandedSize: Int64?

    /// What lists show.
    var shownSize: Int64 { expandedSize ?? descriptor.size }
  }

  var manifest: Descriptor
  var config: Descriptor
  var created: String?
  var os: String
  var architecture: String
  var variant: String?
  var labels: [String: String]
  var layers: [Layer]

  var id: Digest { config.digest }

  /// Reads the facts out of an image's documents.
  ///
  /// Throws `corrupt` when the manifest and the configuration do not have the same number of layers, `unsupported` for
  /// what is not a Linux image.
  init(manifest: Descriptor, document: ImageManifest, config: ImageConfig) throws(Fault) {
    let name = "the image \(document.config.digest.short)"
    guard config.os.isEmpty || config.os.lowercased() == "linux" else {
      throw Fault(.unsupported, "\(name) is for \(config.os.prefix(40)); this engine runs Linux images")
    }
    let diffIDs = config.rootfs.diffIDs
    guard diffIDs.count == document.layers.count else {
      throw Fault(
        .corrupt, "\(name) has \(document.layers.count) layers but its configuration lists \(diffIDs.count)")
    }
    self.manifest = manifest
    self.config = document.config
    created = config.created
    os = config.os.isEmpty ? "linux" : config.os
    architecture = config.architecture
    variant = config.variant
    labels = config.config?.labels ?? [:]
    layers = zip(zip(document.layers, diffIDs), ChainID.list(diffIDs)).map { pair, chainID in
      Layer(
        descriptor: pair.0, diffID: pair.1, chainID: chainID,
        expandedSize: MediaType.isPlainLayer(pair.0.mediaType) ? pair.0.size : nil)
    }
    for (position, layer) in layers.enumerated() {
      guard MediaType.isLayer(layer.descriptor.mediaType) else {
        throw Fault(
          .unsupported,
          "layer \(position + 1) of \(name) is of type \(layer.descriptor.mediaType.prefix(120)), which is not a layer that this engine can unpack"
        )
      }
      guard !MediaType.isPlainLayer(layer.descriptor.mediaType) || layer.descriptor.digest == layer.diffID else {
        throw Fault(
          .corrupt,
          "layer \(position + 1) of \(name) is \(layer.descriptor.digest), but the configuration says \(layer.diffID)")
      }
    }
  }
}
