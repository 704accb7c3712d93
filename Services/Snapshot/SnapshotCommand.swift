import Archive
import ArgumentParser
import Faults
import Glibc
import Protocol
import RPCService
import Snapshots
import SystemPackage
import Tar

/// `gantry-snapshotd`: layers and snapshots behind `snapshot.sock`.
struct SnapshotCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gantry-snapshotd",
    abstract: "Keeps unpacked image layers and prepares overlay snapshots on them.",
    version: GantryVersion.current)

  @Option(help: "The folder of all lasting data; this service uses its folder snapshot.")
  var root = "/var/lib/gantry"
  @Option(help: "The folder of sockets.")
  var state = "/run/gantry"
  @Option(help: "The group that may use the socket, besides root.")
  var group: String?
  @Option(help: "The least important messages to write: trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"
  @Option(help: "How many layers are unpacked at once.")
  var parallelUnpacks = 2
  @Option(help: "The most bytes that one layer may expand to.")
  var maxLayerBytes: Int64 = ArchiveLimits().expandedBytes
  @Option(help: "The most entries that one layer may have.")
  var maxLayerEntries: Int = ArchiveLimits().entries
  @Option(help: "The largest zstd window that a layer may ask for, as a power of two.")
  var maxZstdWindow: Int32 = ArchiveLimits().zstdWindowLog

  /// Parses the command line and runs.
  static func start() async { await main() }

  func validate() throws {
    guard (1...64).contains(parallelUnpacks) else { throw ValidationError("--parallel-unpacks must be 1 to 64") }
    guard maxLayerBytes > 0, maxLayerEntries > 0 else { throw ValidationError("limits must be more than 0") }
    guard (10...31).contains(maxZstdWindow) else { throw ValidationError("--max-zstd-window must be 10 to 31") }
  }

  func run() async throws {
    guard geteuid() == 0 else { throw ValidationError("gantry-snapshotd must run as root: try sudo") }
    let limits = ArchiveLimits(
      expandedBytes: maxLayerBytes, entries: maxLayerEntries, zstdWindowLog: maxZstdWindow)
    await ServiceMain.run(
      ServiceOptions(
        name: "gantry-snapshotd", socket: "snapshot.sock", folder: "snapshot", root: FilePath(root),
        state: FilePath(state), group: group, logLevel: logLevel)
    ) { (service: ServiceContext) async throws(Fault) -> ServiceParts in
      let streams = try service.streamServer("snapshot.stream.sock")
      let store = try SnapshotStore(
        root: service.folder, limits: limits, parallelUnpacks: parallelUnpacks,
        copies: TreeCopies(streams: streams), log: service.logger)
      return ServiceParts(
        table: SnapshotDispatch.table(store),
        onShutdown: {
          streams.close()
          await store.drain()
        })
    }
  }
}
