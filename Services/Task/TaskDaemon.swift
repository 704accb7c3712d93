import ArgumentParser
import Faults
import Linux
import Protocol
import RPCService
import SystemPackage
import Tasks

/// `gantry-taskd`: starts containers, one shim each, and finds them again. See Sources/Tasks/TaskManager.swift.
struct TaskOptions: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gantry-taskd", abstract: "Serves containers as processes on STATE/task.sock.",
    version: GantryVersion.current)

  @Option(help: "The folder of what lasts.") var root = "/var/lib/gantry"
  @Option(help: "The folder of sockets and of running containers.") var state = "/run/gantry"
  @Option(help: "The group that may connect besides root.") var group: String?
  @Option(help: "trace, debug, info, notice, warning, error or critical.") var logLevel = "info"
  @Option(help: "The shim; by default gantry-shim beside this program.") var shim: String?

  @Option(help: "CRIU's executable, for checkpoints; by default criu on the path.") var criu: String?

  /// The shim to start.
  var shimPath: FilePath {
    if let shim { return FilePath(shim) }
    let own = FilePath((try? Files.readLink("/proc/self/exe")) ?? "/usr/local/bin/gantry-taskd")
    return own.removingLastComponent().appending("gantry-shim")
  }
}

/// The process `gantry-taskd`.
public enum TaskDaemon {
  /// Reads the command line. Returns the service, which runs until SIGTERM.
  public static func prepare() -> @Sendable () async -> Void {
    let options = TaskOptions.parseOrExit()
    return {
      await ServiceMain.run(
        ServiceOptions(
          name: "gantry-taskd", socket: "task.sock", folder: "task", root: FilePath(options.root),
          state: FilePath(options.state), group: options.group, logLevel: options.logLevel)
      ) { (service: ServiceContext) async throws(Fault) -> ServiceParts in
        let manager = try TaskManager(
          state: service.state, shim: options.shimPath, criu: options.criu.map { FilePath($0) }, group: service.gid,
          log: service.logger)
        try manager.reapOrphans()
        try await manager.recover()
        return ServiceParts(table: TaskDispatch.table(manager), onShutdown: { manager.close() })
      }
    }
  }
}
