/// A container as the OCI runtime specification describes it (`config.json`, version 1.2).
///
/// Every field is here that the specification has for Linux; names are the specification's. What is absent is nil or
/// empty. Unknown fields of newer versions are ignored when read.
public struct RuntimeSpec: Codable, Sendable, Equatable {
  /// The version of the specification.
  public var ociVersion: String
  /// The program to run.
  public var process: Process?
  /// Where the root file system is.
  public var root: Root?
  /// The host name in a UTS namespace of its own.
  public var hostname: String?
  /// The NIS domain name, likewise.
  public var domainname: String?
  /// What is mounted into the root file system, in order.
  public var mounts: [Mount]?
  /// Programs to run at points of the container's life.
  public var hooks: Hooks?
  /// Free notes.
  public var annotations: [String: String]?
  /// What only Linux has.
  public var linux: Linux?

  /// A container from its parts.
  public init(
    ociVersion: String = "1.2.0", process: Process? = nil, root: Root? = nil, hostname: String? = nil,
    domainname: String? = nil, mounts: [Mount]? = nil, hooks: Hooks? = nil, annotations: [String: String]? = nil,
    linux: Linux? = nil
  ) {
    self.ociVersion = ociVersion
    self.process = process
    self.root = root
    self.hostname = hostname
    self.domainname = domainname
    self.mounts = mounts
    self.hooks = hooks
    self.annotations = annotations
    self.linux = linux
  }
}

extension RuntimeSpec {
  /// The root file system.
  public struct Root: Codable, Sendable, Equatable {
    /// A folder; absolute, or relative to the bundle.
    public var path: String
    /// Whether the container may not write to it.
    public var readonly: Bool?

    /// A root file system at `path`.
    public init(path: String, readonly: Bool? = nil) {
      self.path = path
      self.readonly = readonly
    }
  }

  /// One mount in the container.
  public struct Mount: Codable, Sendable, Equatable {
    /// Where, as the container sees it.
    public var destination: String
    /// What: `bind`, or a file system type.
    public var type: String?
    /// A path on the host for binds; a name otherwise.
    public var source: String?
    /// As mount(8) knows them.
    public var options: [String]?
    /// Ids of an idmapped mount.
    public var uidMappings: [IDMapping]?
    /// Ids of an idmapped mount.
    public var gidMappings: [IDMapping]?

    /// A mount.
    public init(
      destination: String, type: String? = nil, source: String? = nil, options: [String]? = nil,
      uidMappings: [IDMapping]? = nil, gidMappings: [IDMapping]? = nil
    ) {
      self.destination = destination
      self.type = type
      self.source = source
      self.options = options
      self.uidMappings = uidMappings
      self.gidMappings = gidMappings
    }
  }

  /// A range of ids, inside and outside.
  public struct IDMapping: Codable, Sendable, Equatable {
    /// The first id inside.
    public var containerID: UInt32
    /// The id outside that it stands for.
    public var hostID: UInt32
    /// How many.
    public var size: UInt32

    /// A range.
    public init(containerID: UInt32, hostID: UInt32, size: UInt32) {
      self.containerID = containerID
      self.hostID = hostID
      self.size = size
    }
  }

  /// One program of the container's life cycle.
  public struct Hook: Codable, Sendable, Equatable {
    /// The program, on the host.
    public var path: String
    /// All arguments, the name first.
    public var args: [String]?
    /// `KEY=value` each.
    public var env: [String]?
    /// Seconds until it is ended.
    public var timeout: Int?

    /// A hook.
    public init(path: String, args: [String]? = nil, env: [String]? = nil, timeout: Int? = nil) {
      self.path = path
      self.args = args
      self.env = env
      self.timeout = timeout
    }
  }

  /// Programs by the moment at which they run.
  public struct Hooks: Codable, Sendable, Equatable {
    /// Deprecated by the specification; as `createRuntime`.
    public var prestart: [Hook]?
    /// When the namespaces exist, in the runtime's.
    public var createRuntime: [Hook]?
    /// Before pivot_root, in the container's namespaces.
    public var createContainer: [Hook]?
    /// Just before the program, in the container.
    public var startContainer: [Hook]?
    /// After the program started.
    public var poststart: [Hook]?
    /// After the container is gone.
    public var poststop: [Hook]?

    /// No hooks but those given.
    public init(
      prestart: [Hook]? = nil, createRuntime: [Hook]? = nil, createContainer: [Hook]? = nil,
      startContainer: [Hook]? = nil, poststart: [Hook]? = nil, poststop: [Hook]? = nil
    ) {
      self.prestart = prestart
      self.createRuntime = createRuntime
      self.createContainer = createContainer
      self.startContainer = startContainer
      self.poststart = poststart
      self.poststop = poststop
    }
  }
}
