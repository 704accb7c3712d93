internal import Faults
internal import Protocol

/// How a container is looked after, as the flags of `run` and `create` say it.
struct SupervisionFlags: Sendable {
  /// `--restart`, as it was given.
  var restart: String?
  /// `--health-cmd`; nil leaves the image's.
  var command: String?
  /// Nanoseconds.
  var interval: Int64?
  var timeout: Int64?
  var startPeriod: Int64?
  var startInterval: Int64?
  var retries: Int64?
  /// `--on-unhealthy`.
  var action: String?
  /// `--no-healthcheck`.
  var isOff = false

  /// Docker's policy of `no`, `always`, `unless-stopped` or `on-failure[:N]`; the refusals are Docker's.
  static func policy(_ text: String) throws -> GatewayAPI.RestartPolicy {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts[0])
    guard !name.isEmpty || parts.count == 1 else {
      throw CommandFailure("invalid restart policy format: no policy provided before colon")
    }
    var policy = GatewayAPI.RestartPolicy(name: .init(rawValue: name))
    if parts.count == 2, !parts[1].isEmpty {
      guard let count = Int64(parts[1]) else {
        throw CommandFailure("invalid restart policy format: maximum retry count must be an integer")
      }
      policy.maximumRetryCount = count
    }
    return policy
  }

  /// The policy on the wire; nil when none was asked for.
  func policy(removesItself: Bool) throws -> GatewayAPI.RestartPolicy? {
    guard let restart, !restart.isEmpty else { return nil }
    let policy = try Self.policy(restart)
    if removesItself, policy.name != .no {
      throw CommandFailure("conflicting options: cannot specify both --restart and --rm")
    }
    return policy
  }

  /// The health check on the wire; nil leaves the image's as it is.
  func health() throws -> GatewayAPI.HealthConfig? {
    var health = GatewayAPI.HealthConfig()
    if let command { health.test = command.isEmpty ? nil : try Self.test(command) }
    health.interval = interval
    health.timeout = timeout
    health.startPeriod = startPeriod
    health.startInterval = startInterval
    health.retries = retries
    health.onUnhealthy = action.map { .init(rawValue: $0) }
    if isOff {
      guard health == .init() else { throw CommandFailure("--no-healthcheck conflicts with --health-* options") }
      return .init(test: ["NONE"])
    }
    return health == .init() ? nil : health
  }

  /// What `--health-cmd` means: the address of a probe, or a command for the container's shell.
  private static func test(_ command: String) throws -> [String] {
    let isAddress = (HealthProbe.schemes + ["https://"]).contains(where: command.hasPrefix)
    guard isAddress, !command.contains(where: \.isWhitespace) else { return ["CMD-SHELL", command] }
    do {
      switch try HealthProbe(command) {
      case .tcp: return ["TCP", String(command.dropFirst("tcp://".count))]
      case .http: return ["HTTP", command]
      case .file(let path): return ["FILE", path]
      }
    } catch {
      throw CommandFailure("--health-cmd: \(error.message)")
    }
  }
}

extension ContainerFlags {
  /// `--restart`, `--health-*`, `--no-healthcheck` and `--on-unhealthy`.
  static let supervisionFlags: [Flag<ContainerFlags>] = [
    .value("restart", nil, "string", "Restart policy to apply when a container exits (default \"no\")") {
      _ = try SupervisionFlags.policy($1)
      $0.supervision.restart = $1
    },
    .value(
      "health-cmd", nil, "string", "Command to run to check health, or tcp://ADDRESS:PORT, http://… or file:///PATH"
    ) { $0.supervision.command = $1 },
    length("health-interval", "Time between running the check (ms|s|m|h) (default 30s)") { $0.interval = $1 },
    .value("health-retries", nil, "int", "Consecutive failures needed to report unhealthy (default 3)") {
      let count = try Quantity.integer($1)
      guard count >= 0 else { throw CommandFailure("--health-retries cannot be negative") }
      $0.supervision.retries = count
    },
    length("health-start-interval", "Time between running the check during the start period (default 5s)") {
      $0.startInterval = $1
    },
    length("health-start-period", "Start period for the container to initialize before failures count (default 0s)") {
      $0.startPeriod = $1
    },
    length("health-timeout", "Maximum time to allow one check to run (ms|s|m|h) (default 30s)") { $0.timeout = $1 },
    .toggle("no-healthcheck", nil, "Disable any container-specified HEALTHCHECK") { $0.supervision.isOff = $1 },
    .value(
      "on-unhealthy", nil, "string", "What to do when it becomes unhealthy (none|restart|stop|kill) (default \"none\")"
    ) { flags, value in
      guard ["none", "restart", "stop", "kill"].contains(value) else {
        throw CommandFailure("--on-unhealthy \(value): it is none, restart, stop or kill")
      }
      flags.supervision.action = value
    },
  ]

  private static func length(
    _ name: String, _ help: String, _ set: @escaping @Sendable (inout SupervisionFlags, Int64) -> Void
  ) -> Flag<ContainerFlags> {
    .value(name, nil, "duration", help) { flags, value in
      let length = try Quantity.duration(value)
      guard length >= 0 else { throw CommandFailure("--\(name) cannot be negative") }
      set(&flags.supervision, length)
    }
  }
}
