public import ContentStore
public import Faults
public import FoundationEssentials
public import OCI
public import Registry

/// What a pull is asked to do.
public struct PullRequest: Sendable {
  /// The image: `name`, `name:tag`, `name@digest`, `name:tag@digest`.
  public var reference: String
  /// The platform to take from an index; nil is this machine's.
  public var platform: String?
  /// All tags of the repository.
  public var allTags: Bool
  public var credentials: RegistryCredentials
  /// Wait, with everything fetched and checked, until `ImagePuller.confirm` says that the layers are unpacked: an image whose
  /// layers do not unpack to what it says is then never seen.
  public var waitsForUnpacking: Bool

  public init(
    reference: String, platform: String? = nil, allTags: Bool = false,
    credentials: RegistryCredentials = .anonymous, waitsForUnpacking: Bool = false
  ) {
    self.reference = reference
    self.platform = platform
    self.allTags = allTags
    self.credentials = credentials
    self.waitsForUnpacking = waitsForUnpacking
  }
}

/// One image of a pull that has ended.
public struct PulledImage: Sendable {
  /// The familiar name that was asked for, with its tag or digest.
  public var name: String
  /// What the registry calls it: the digest of an index, or of the manifest.
  public var digest: Digest
  /// Whether the name did not mean this image before.
  public var isNew: Bool
  public var summary: ImageSummary
}

/// What a pull tells its caller.
public enum PullEvent: Sendable {
  /// One step of one image, in the words of `Pull complete`.
  case stage(PullStage)
  /// The layers are known, and fetched now. Their files grow at `partial` and end up at `LayerSource.path`.
  case layers(PullLayers)
}

/// How far one layer, or the image, is.
public struct PullStage: Sendable {
  /// `resolve`, `wait`, `download`, `exists` or `fetched`.
  public var stage: String
  /// The blob; empty for the image.
  public var id: String
  public var current: Int64
  public var total: Int64?
}

/// The layers of one image that is being pulled.
public struct PullLayers: Sendable {
  /// The name for `confirm`.
  public var pull: String
  /// The image's id.
  public var image: Digest
  public var layers: [LayerSource]
  /// Where each layer's file is while it grows; nil where it is whole already.
  public var partial: [String?]
}

/// Decides whether an image may be pulled, when its manifest is known and before any layer is fetched.
public protocol PullPolicy: Sendable {
  /// Throws `permissionDenied` with the reason for an image that is not accepted.
  ///
  /// - Parameters:
  ///   - subject: what is to be pulled.
  ///   - fetch: fetches a small blob or manifest (by tag or digest) of the same repository, for signatures.
  func judge(
    _ subject: PullSubject, fetch: @escaping @Sendable (PullLookup) async throws(Fault) -> Data
  ) async throws(Fault)
}

/// What a policy judges.
public struct PullSubject: Sendable {
  /// The name that was asked for.
  public var reference: Reference
  /// What the name leads to: an index or a manifest. Signatures are usually about this one.
  public var digest: Digest
  /// The manifest for the wanted platform; the same as `digest` when there is no index.
  public var manifest: Digest
}

/// Something small to fetch from the repository of a pull.
public enum PullLookup: Sendable {
  /// A manifest by its tag or digest.
  case manifest(String)
  /// A blob by its digest, at most 4 MiB.
  case blob(Digest)
}
