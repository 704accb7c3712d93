/// One image: its configuration and its layers, lowest first (OCI image specification 1.1, manifest.md).
public struct ImageManifest: Codable, Sendable, Equatable {
  /// Always 2.
  public var schemaVersion: Int
  /// `MediaType.ociManifest` or `MediaType.dockerManifest`.
  public var mediaType: String?
  /// What kind of artifact this is, when it is not an image.
  public var artifactType: String?
  /// The image's configuration; its digest is Docker's image id.
  public var config: Descriptor
  /// The layers, lowest first.
  public var layers: [Descriptor]
  /// The manifest that this one is about, for companions such as attestations.
  public var subject: Descriptor?
  /// Free labels.
  public var annotations: [String: String]?

  /// Makes an image's manifest.
  public init(
    config: Descriptor, layers: [Descriptor], mediaType: String? = MediaType.ociManifest, artifactType: String? = nil,
    subject: Descriptor? = nil, annotations: [String: String]? = nil
  ) {
    schemaVersion = 2
    self.mediaType = mediaType
    self.artifactType = artifactType
    self.config = config
    self.layers = layers
    self.subject = subject
    self.annotations = annotations
  }
}

/// A list of manifests: the same image for several platforms, or the content of a layout folder (image-index.md).
public struct ImageIndex: Codable, Sendable, Equatable {
  /// Always 2.
  public var schemaVersion: Int
  /// `MediaType.ociIndex` or `MediaType.dockerIndex`.
  public var mediaType: String?
  /// What kind of artifact this is, when it is not an image.
  public var artifactType: String?
  /// The manifests, in the order of preference.
  public var manifests: [Descriptor]
  /// The manifest that this one is about.
  public var subject: Descriptor?
  /// Free labels.
  public var annotations: [String: String]?

  private enum CodingKeys: String, CodingKey {
    case schemaVersion, mediaType, artifactType, manifests, subject, annotations
  }

  /// Makes an index of `manifests`.
  public init(
    manifests: [Descriptor], mediaType: String? = MediaType.ociIndex, annotations: [String: String]? = nil
  ) {
    schemaVersion = 2
    self.mediaType = mediaType
    self.manifests = manifests
    self.annotations = annotations
  }

  /// Reads an index; `"manifests": null`, which Go programs write for none, is an empty list.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    schemaVersion = try container.decode(Int.self, forKey: .schemaVersion)
    mediaType = try container.decodeIfPresent(String.self, forKey: .mediaType)
    artifactType = try container.decodeIfPresent(String.self, forKey: .artifactType)
    manifests = try container.decodeIfPresent([Descriptor].self, forKey: .manifests) ?? []
    subject = try container.decodeIfPresent(Descriptor.self, forKey: .subject)
    annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
  }
}

/// The file `oci-layout` of a layout folder (image-layout.md).
public struct ImageLayout: Codable, Sendable, Equatable {
  /// The only version that there is.
  public static let version = "1.0.0"

  /// `1.0.0`.
  public var imageLayoutVersion: String

  /// Makes the marker of this version.
  public init(imageLayoutVersion: String = ImageLayout.version) { self.imageLayoutVersion = imageLayoutVersion }
}
