extension ImageConfig {
  /// What a container of the image runs unless told otherwise; names as in the JSON of OCI and Docker.
  public struct Execution: Codable, Sendable, Equatable {
    /// `user`, `uid`, `user:group` or `uid:gid`; nil or "" is root.
    public var user: String?
    /// `port/protocol` → {}.
    public var exposedPorts: [String: EmptyObject]?
    /// `NAME=value`.
    public var env: [String]?
    /// The words before the command.
    public var entrypoint: [String]?
    /// The command, or the arguments of the entrypoint.
    public var cmd: [String]?
    /// Paths that should be volumes → {}.
    public var volumes: [String: EmptyObject]?
    /// The folder to start in.
    public var workingDir: String?
    /// Free labels.
    public var labels: [String: String]?
    /// The signal that asks the command to end: `SIGTERM`, `15`.
    public var stopSignal: String?
    /// How to find out whether a container is well.
    public var healthcheck: Healthcheck?
    /// Instructions for a build on top of this image.
    public var onBuild: [String]?
    /// The shell of the shell form of instructions.
    public var shell: [String]?
    /// Whether Entrypoint and Cmd have escaped arguments (Windows).
    public var argsEscaped: Bool?
    /// Seconds between the stop signal and the kill.
    public var stopTimeout: Int?

    private enum CodingKeys: String, CodingKey {
      case user = "User"
      case exposedPorts = "ExposedPorts"
      case env = "Env"
      case entrypoint = "Entrypoint"
      case cmd = "Cmd"
      case volumes = "Volumes"
      case workingDir = "WorkingDir"
      case labels = "Labels"
      case stopSignal = "StopSignal"
      case healthcheck = "Healthcheck"
      case onBuild = "OnBuild"
      case shell = "Shell"
      case argsEscaped = "ArgsEscaped"
      case stopTimeout = "StopTimeout"
    }

    /// Makes an execution; what is nil is left out of the JSON.
    public init(
      user: String? = nil, exposedPorts: [String: EmptyObject]? = nil, env: [String]? = nil,
      entrypoint: [String]? = nil, cmd: [String]? = nil, volumes: [String: EmptyObject]? = nil,
      workingDir: String? = nil, labels: [String: String]? = nil, stopSignal: String? = nil,
      healthcheck: Healthcheck? = nil, onBuild: [String]? = nil, shell: [String]? = nil, stopTimeout: Int? = nil
    ) {
      self.user = user
      self.exposedPorts = exposedPorts
      self.env = env
      self.entrypoint = entrypoint
      self.cmd = cmd
      self.volumes = volumes
      self.workingDir = workingDir
      self.labels = labels
      self.stopSignal = stopSignal
      self.healthcheck = healthcheck
      self.onBuild = onBuild
      self.shell = shell
      self.stopTimeout = stopTimeout
    }
  }

  /// The `{}` of Go's sets in JSON.
  public struct EmptyObject: Codable, Sendable, Hashable {
    /// Makes one.
    public init() {}
  }

  /// How to find out whether a container is well; times in nanoseconds, as Docker writes them.
  public struct Healthcheck: Codable, Sendable, Equatable {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    public var test: [String]?
    /// Between two probes.
    public var interval: Int64?
    /// Of one probe.
    public var timeout: Int64?
    /// After the start, during which failures do not count.
    public var startPeriod: Int64?
    /// Between two probes of the start period.
    public var startInterval: Int64?
    /// Failures in a row until a container is unhealthy.
    public var retries: Int?

    private enum CodingKeys: String, CodingKey {
      case test = "Test"
      case interval = "Interval"
      case timeout = "Timeout"
      case startPeriod = "StartPeriod"
      case startInterval = "StartInterval"
      case retries = "Retries"
    }

    /// Makes a check.
    public init(
      test: [String]? = nil, interval: Int64? = nil, timeout: Int64? = nil, startPeriod: Int64? = nil,
      startInterval: Int64? = nil, retries: Int? = nil
    ) {
      self.test = test
      self.interval = interval
      self.timeout = timeout
      self.startPeriod = startPeriod
      self.startInterval = startInterval
      self.retries = retries
    }
  }
}
