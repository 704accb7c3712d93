/// The options before the command: which engine is meant, and how it is spoken to.
struct GlobalOptions: Sendable, Equatable {
  /// The gateway's socket; nil is `gantry.sock` in the state folder.
  var host: String?
  /// Where the services keep what lasts.
  var root = "/var/lib/gantry"
  /// Where sockets and running state are.
  var state = "/run/gantry"
  /// Where credentials of registries are kept; nil is DOCKER_CONFIG, else ~/.docker.
  var configFolder: String?
  var showsVersion = false
  /// Whether failures show their causes.
  var debug = false

  /// The options as GANTRY_HOST, GANTRY_ROOT and GANTRY_STATE set them.
  init(environment: (String) -> String? = EnvironmentVariables.get) {
    func value(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
    if let root = value("GANTRY_ROOT") { self.root = root }
    if let state = value("GANTRY_STATE") { self.state = state }
    host = value("GANTRY_HOST")
  }

  /// The path of the gateway's socket.
  func gatewaySocket() throws -> String {
    guard let host else { return state + "/gantry.sock" }
    if host.hasPrefix("unix://") { return String(host.dropFirst(7)) }
    if host.hasPrefix("/") { return host }
    throw CommandFailure(
      "--host \(host) is not built yet: give the path of a Unix socket (unix:///run/gantry/gantry.sock)",
      code: ExitCode.engineFailed)
  }

  /// The flags that set them.
  static let flags: [Flag<GlobalOptions>] = [
    .value("config", nil, "folder", "Where credentials are kept (DOCKER_CONFIG, default ~/.docker)") {
      $0.configFolder = $1
    },
    .toggle("debug", "D", "Show what caused a failure") { $0.debug = $1 },
    .value("host", "H", "string", "Socket of the engine (GANTRY_HOST)") { $0.host = $1 },
    .value("root", nil, "folder", "Where the services keep what lasts (GANTRY_ROOT, default /var/lib/gantry)") {
      $0.root = $1
    },
    .value("state", nil, "folder", "Where sockets and running state are (GANTRY_STATE, default /run/gantry)") {
      $0.state = $1
    },
    .toggle("version", "v", "Print version information and quit") { $0.showsVersion = $1 },
    .unbuilt("context", "c", value: "string", .terminalOnly),
    .unbuilt("log-level", "l", value: "string", .terminalOnly),
    .unbuilt("tls", nil, .terminalOnly),
    .unbuilt("tlscacert", nil, value: "string", .terminalOnly),
    .unbuilt("tlscert", nil, value: "string", .terminalOnly),
    .unbuilt("tlskey", nil, value: "string", .terminalOnly),
    .unbuilt("tlsverify", nil, .terminalOnly),
  ]
}
