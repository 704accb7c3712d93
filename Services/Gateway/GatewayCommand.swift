import ArgumentParser
import Configuration
import Engine
import Faults
import Glibc
import Protocol
import RPCService
import SystemPackage

/// `gantryd`: containers behind `gantry.sock`, composed from the image, snapshot and task services.
struct GatewayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gantryd",
    abstract: "Keeps containers and composes the image, snapshot and task services.",
    version: GantryVersion.current)

  @Option(help: "The folder of all lasting data; this service uses its folder gateway.")
  var root = "/var/lib/gantry"
  @Option(help: "The folder of sockets.")
  var state = "/run/gantry"
  @Option(help: "The group that may use the socket, besides root.")
  var group: String?
  @Option(help: "The least important messages to write: trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"
  @Option(help: "The configuration file (default: /etc/gantry/gantry.json, which may be missing).")
  var config: String?
  @Option(help: "Seconds to wait at the start for the snapshot and task services.")
  var patience = 30

  @Option(
    help: """
      Give containers ids of their own (user namespaces) unless they ask for the host's: default (the ranges of the user \
      gantry), USER or USER:GROUP, whose ranges /etc/subuid and /etc/subgid hold.
      """)
  var usernsRemap: String?

  /// Parses the command line and runs.
  static func start() async { await main() }

  func run() async throws {
    guard geteuid() == 0 else { throw ValidationError("gantryd must run as root: try sudo") }
    await ServiceMain.run(
      ServiceOptions(
        name: "gantryd", socket: "gantry.sock", folder: "gateway", root: FilePath(root), state: FilePath(state),
        group: group, logLevel: logLevel)
    ) { (service: ServiceContext) async throws(Fault) -> ServiceParts in
      let configuration = try LiveConfiguration(path: config.map { FilePath($0) }) {
        service.logger.notice("\($0)")
      }
      let clients = Clients(state: service.state)
      let engine: Engine
      do {
        engine = try Engine(
          images: ImageClient(clients.image), snapshots: SnapshotClient(clients.snapshot),
          tasks: TaskClient(clients.task),
          settings: EngineSettings(
            folder: service.folder.string, state: service.state.string, group: service.gid, services: clients.endpoints,
            userRemap: usernsRemap, configuration: configuration),
          log: service.logger)
      } catch {
        throw Fault(describing: error)
      }
      let watch = TaskWatch(engine: engine, client: clients.task, log: service.logger)
      try await watch.begin(patience: .seconds(patience))
      engine.beginUpkeep()
      return ServiceParts(
        table: engine.table(),
        onShutdown: {
          watch.end()
          await engine.shutdown()
          clients.close()
        },
        onReload: { configuration.reload() })
    }
  }
}

/// The connections to the services that the gateway composes; each comes back by itself.
struct Clients: Sendable {
  let image: RPCClient
  let snapshot: RPCClient
  let task: RPCClient
  let endpoints: [ServiceEndpoint]

  init(state: FilePath) {
    image = RPCClient(path: state.appending("image.sock"))
    snapshot = RPCClient(path: state.appending("snapshot.sock"))
    task = RPCClient(path: state.appending("task.sock"))
    endpoints = [
      ServiceEndpoint(name: "gantry-imaged", socket: state.appending("image.sock").string, channel: image),
      ServiceEndpoint(name: "gantry-snapshotd", socket: state.appending("snapshot.sock").string, channel: snapshot),
      ServiceEndpoint(name: "gantry-taskd", socket: state.appending("task.sock").string, channel: task),
    ]
  }

  func close() {
    image.close()
    snapshot.close()
    task.close()
  }
}
