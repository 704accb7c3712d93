/// Where some content is named: its type, digest and size (OCI image specification 1.1, descriptor.md).
public struct Descriptor: Codable, Sendable, Equatable {
  /// What the content is.
  public var mediaType: String
  /// The content's hash.
  public var digest: Digest
  /// The content's length in bytes.
  public var size: Int64
  /// Other places to fetch it from; a pull asks them last, without anybody's credentials.
  public var urls: [String]?
  /// Free labels.
  public var annotations: [String: String]?
  /// The machine that the content is for, in an index.
  public var platform: Platform?
  /// What kind of artifact the content is, when it is not an image.
  public var artifactType: String?

  /// Makes a descriptor.
  public init(
    mediaType: String, digest: Digest, size: Int64, urls: [String]? = nil, annotations: [String: String]? = nil,
    platform: Platform? = nil, artifactType: String? = nil
  ) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.urls = urls
    self.annotations = annotations
    self.platform = platform
    self.artifactType = artifactType
  }
}

/// The labels that OCI gives meaning to and Gantry uses.
public enum AnnotationKey {
  /// In an index: the tag, or the whole name, of what a descriptor refers to.
  public static let refName = "org.opencontainers.image.ref.name"
  /// In an index of containerd and Docker: the whole name.
  public static let containerdImageName = "io.containerd.image.name"
  /// What kind of companion (`attestation-manifest`) of an image a manifest is.
  public static let dockerReferenceType = "vnd.docker.reference.type"
}
