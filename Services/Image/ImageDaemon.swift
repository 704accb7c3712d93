import ArgumentParser
import Configuration
import Faults
import Glibc
import Images
import Protocol
import RPCService
import Registry
import SystemPackage

/// `gantry-imaged`: the content store, the names of images, and the way in for archives.
struct ImageOptions: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gantry-imaged", abstract: "Serves images on STATE/image.sock.", version: GantryVersion.current)

  @Option(help: "The folder of what lasts.") var root = "/var/lib/gantry"
  @Option(help: "The folder of sockets.") var state = "/run/gantry"
  @Option(help: "The group that may connect besides root.") var group: String?
  @Option(help: "trace, debug, info, notice, warning, error or critical.") var logLevel = "info"
  @Option(help: "The configuration file (default: /etc/gantry/gantry.json, which may be missing).") var config: String?
  @Option(help: "Serve as this user; what is in ROOT/image becomes the user's.") var user: String?
  @Option(help: "The most bytes that an archive may have after decompression.") var importLimit: Int64 = 256 << 30
}

/// The process `gantry-imaged`.
public enum ImageDaemon {
  /// Reads the command line and gives up rights; to be called while the process has one thread. Returns the service, which
  /// runs until SIGTERM.
  public static func prepare() -> @Sendable () async -> Void {
    let options = ImageOptions.parseOrExit()
    do throws(Fault) {
      let place = try Confinement.enter(
        root: FilePath(options.root), state: FilePath(options.state), user: options.user, group: options.group)
      return { await serve(options, place) }
    } catch {
      let text = "gantry-imaged: \(error)\n"
      _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
      exit(1)
    }
  }

  private static func serve(_ options: ImageOptions, _ place: Confinement.Place) async {
    await ServiceMain.run(
      ServiceOptions(
        name: "gantry-imaged", socket: "image.sock", folder: place.folder, root: place.root, state: place.state,
        group: options.group, logLevel: options.logLevel)
    ) { (service: ServiceContext) async throws(Fault) -> ServiceParts in
      let store = try ImageStore(
        root: place.content, limits: ImportLimits(expandedBytes: options.importLimit), isLocked: true,
        log: service.logger)
      let configuration = try LiveConfiguration(path: options.config.map { FilePath($0) }) {
        service.logger.notice("\($0)")
      }
      let places = RegistryPlaces(configuration) { service.logger.error("\($0)") }
      let registry = RegistryClient(hosts: ConfiguredHosts(places))
      service.logger.info("confined", metadata: ["rights": "\(place.summary)"])
      let streams = try service.streamServer("image.stream.sock")
      // Beside the configuration: /etc/gantry/policy.json, and a second engine has its own.
      let policy = SignedPulls(path: configuration.path.removingLastComponent().appending("policy.json"))
      let puller = ImagePuller(store: store, client: registry, policy: policy)
      return ServiceParts(
        table: ImageDispatch.table(
          Handlers(store: store, transfers: Transfers(store, streams), puller: puller, registry: registry)),
        onShutdown: { streams.close() },
        onReload: { configuration.reload() })
    }
  }
}
