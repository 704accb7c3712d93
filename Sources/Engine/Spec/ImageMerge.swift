import Faults
import OCI
import Protocol

/// A container's configuration as Docker's API has it.
typealias ContainerConfig = GatewayAPI.ContainerConfig
/// What a container gets from and does to its host, as Docker's API has it.
typealias HostConfig = GatewayAPI.HostConfig

/// Fills what a request leaves open from the image's configuration, by Docker's rules.
enum ImageMerge {
  /// The configuration to run: the request's own values win; environment and labels are joined; an image's command goes
  /// only with the image's entrypoint.
  static func merge(_ request: ContainerConfig, image: ImageConfig.Execution?) -> ContainerConfig {
    var config = request
    // `--entrypoint ""` takes the image's entrypoint away.
    let cleared = config.entrypoint == [""]
    if cleared { config.entrypoint = [] }
    guard let image else { return config }
    if (config.user ?? "").isEmpty { config.user = image.user }
    if (config.workingDir ?? "").isEmpty { config.workingDir = image.workingDir }
    if (config.stopSignal ?? "").isEmpty { config.stopSignal = image.stopSignal }
    if config.stopTimeout == nil { config.stopTimeout = image.stopTimeout.map { .init($0) } }
    if (config.shell ?? []).isEmpty { config.shell = image.shell }
    if (config.entrypoint ?? []).isEmpty, !cleared {
      if (config.cmd ?? []).isEmpty { config.cmd = image.cmd }
      config.entrypoint = image.entrypoint
    }
    var env = config.env ?? []
    let given = Set(env.map(name(of:)))
    env += (image.env ?? []).filter { !given.contains(name(of: $0)) }
    config.env = env
    // An image says nothing in the engine's own name (CVE-2026-53488).
    var labels = (image.labels ?? [:]).filter { !isReserved($0.key) }
    labels.merge(config.labels ?? [:]) { _, own in own }
    config.labels = labels
    if let own = image.healthcheck { config.healthcheck = merge(config.healthcheck, image: own) }
    for path in (image.volumes ?? [:]).keys {
      if config.volumes == nil { config.volumes = [:] }
      if config.volumes?[path] == nil { config.volumes?[path] = .init() }
    }
    for port in (image.exposedPorts ?? [:]).keys {
      if config.exposedPorts == nil { config.exposedPorts = [:] }
      if config.exposedPorts?[port] == nil { config.exposedPorts?[port] = .init() }
    }
    return config
  }

  /// Whether a label or annotation of this name is the engine's own to set.
  static func isReserved(_ name: String) -> Bool {
    name == "gantry" || name.hasPrefix("gantry.") || name.hasPrefix("io.gantry.")
  }

  /// A health check with the image's where the request leaves it open; 0 is open too.
  private static func merge(
    _ request: GatewayAPI.HealthConfig?, image: ImageConfig.Healthcheck
  ) -> GatewayAPI.HealthConfig {
    var health = request ?? .init()
    func open(_ value: Int64?) -> Bool { (value ?? 0) == 0 }
    if (health.test ?? []).isEmpty { health.test = image.test }
    if open(health.interval) { health.interval = image.interval }
    if open(health.timeout) { health.timeout = image.timeout }
    if open(health.startPeriod) { health.startPeriod = image.startPeriod }
    if open(health.startInterval) { health.startInterval = image.startInterval }
    if open(health.retries) { health.retries = image.retries.map { Int64($0) } }
    return health
  }

  /// The program and its arguments.
  static func arguments(_ config: ContainerConfig) -> [String] { (config.entrypoint ?? []) + (config.cmd ?? []) }

  private static func name(of variable: String) -> Substring { variable.prefix { $0 != "=" } }

  /// The environment of the first process: what every container has, then the configuration's own. A name without `=`
  /// takes that variable away.
  static func environment(_ config: ContainerConfig, hostname: String) -> [String] {
    var variables = [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=\(hostname)",
    ]
    if config.tty ?? false { variables.append("TERM=xterm") }
    return overlay(variables, config.env ?? [])
  }

  /// `base` with `own` over it.
  static func overlay(_ base: [String], _ own: [String]) -> [String] {
    var result = base
    var positions: [Substring: Int] = [:]
    for (index, variable) in base.enumerated() { positions[name(of: variable)] = index }
    var removed: Set<Int> = []
    for variable in own {
      let key = name(of: variable)
      if !variable.contains("=") {
        if let position = positions.removeValue(forKey: key) { removed.insert(position) }
      } else if let position = positions[key] {
        result[position] = variable
      } else {
        positions[key] = result.count
        result.append(variable)
      }
    }
    return result.enumerated().filter { !removed.contains($0.offset) }.map(\.element)
  }
}
