/// An image's configuration: what to run, for which machine, on which layers (OCI image specification 1.1, config.md,
/// with Docker's additions).
public struct ImageConfig: Codable, Sendable, Equatable {
  /// When the image was made, RFC 3339.
  public var created: String?
  /// Who made it.
  public var author: String?
  /// Go's name of the processor; "" when the image does not say.
  public var architecture: String
  /// `linux`; "" when the image does not say.
  public var os: String
  /// The level of the processor.
  public var variant: String?
  /// The operating system's version, for Windows.
  public var osVersion: String?
  /// What a container of this image runs unless told otherwise.
  public var config: Execution?
  /// The layers' content.
  public var rootfs: RootFS
  /// How each layer came to be.
  public var history: [History]?
  /// Docker's free comment.
  public var comment: String?
  /// The version of the program that made the image.
  public var dockerVersion: String?

  private enum CodingKeys: String, CodingKey {
    case created, author, architecture, os, variant
    case osVersion = "os.version"
    case config, rootfs, history, comment
    case dockerVersion = "docker_version"
  }

  /// Makes a configuration.
  public init(
    architecture: String, os: String, variant: String? = nil, created: String? = nil, author: String? = nil,
    config: Execution? = nil, rootfs: RootFS, history: [History]? = nil, comment: String? = nil
  ) {
    self.architecture = architecture
    self.os = os
    self.variant = variant
    self.created = created
    self.author = author
    self.config = config
    self.rootfs = rootfs
    self.history = history
    self.comment = comment
  }

  /// Reads a configuration; what images of old programs leave out reads as empty.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    created = try container.decodeIfPresent(String.self, forKey: .created)
    author = try container.decodeIfPresent(String.self, forKey: .author)
    architecture = try container.decodeIfPresent(String.self, forKey: .architecture) ?? ""
    os = try container.decodeIfPresent(String.self, forKey: .os) ?? ""
    variant = try container.decodeIfPresent(String.self, forKey: .variant)
    osVersion = try container.decodeIfPresent(String.self, forKey: .osVersion)
    config = try container.decodeIfPresent(Execution.self, forKey: .config)
    rootfs = try container.decode(RootFS.self, forKey: .rootfs)
    history = try container.decodeIfPresent([History].self, forKey: .history)
    comment = try container.decodeIfPresent(String.self, forKey: .comment)
    dockerVersion = try container.decodeIfPresent(String.self, forKey: .dockerVersion)
  }

  /// The machine that the image is for.
  public var platform: Platform { Platform(os: os, architecture: architecture, variant: variant) }

  /// The content of the layers.
  public struct RootFS: Codable, Sendable, Equatable {
    /// `layers`.
    public var type: String
    /// The digest of each layer's uncompressed tar, lowest first.
    public var diffIDs: [Digest]

    private enum CodingKeys: String, CodingKey {
      case type
      case diffIDs = "diff_ids"
    }

    /// Makes a list of layers.
    public init(type: String = "layers", diffIDs: [Digest]) {
      self.type = type
      self.diffIDs = diffIDs
    }

    /// Reads a list of layers; null and nothing are an empty list.
    public init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      type = try container.decodeIfPresent(String.self, forKey: .type) ?? "layers"
      diffIDs = try container.decodeIfPresent([Digest].self, forKey: .diffIDs) ?? []
    }
  }

  /// How one layer, or one change without a layer, came to be.
  public struct History: Codable, Sendable, Equatable {
    /// When, RFC 3339.
    public var created: String?
    /// By which command.
    public var createdBy: String?
    /// By whom.
    public var author: String?
    /// A free comment.
    public var comment: String?
    /// Whether the change made no layer.
    public var emptyLayer: Bool?

    private enum CodingKeys: String, CodingKey {
      case created
      case createdBy = "created_by"
      case author, comment
      case emptyLayer = "empty_layer"
    }

    /// Makes one entry.
    public init(
      created: String? = nil, createdBy: String? = nil, author: String? = nil, comment: String? = nil,
      emptyLayer: Bool? = nil
    ) {
      self.created = created
      self.createdBy = createdBy
      self.author = author
      self.comment = comment
      self.emptyLayer = emptyLayer
    }
  }
}
