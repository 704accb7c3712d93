import ArgumentParser
import Faults
import Glibc
import Linux
import Logging
import Protocol
import RPCService
import SystemPackage
import Tasks

/// gantry-taskd: starts containers and finds them again. See Sources/Tasks/TaskManager.swift.
struct TaskDaemon: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gantry-taskd", abstract: "Gantry's task service: containers as processes, one shim each.")

  @Option(help: "Folder for what stays; the task service keeps nothing there.")
  var root = "/var/lib/gantry"
  @Option(help: "Folder for sockets and running containers.")
  var state = "/run/gantry"
  @Option(help: "trace, debug, info, notice, warning or error.")
  var logLevel = "info"
  @Option(help: "Group whose members may use the socket.")
  var group: String?
  @Option(help: "The shim's executable; gantry-shim beside this one when not given.")
  var shim: String?

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    guard let level = Logger.Level(rawValue: logLevel) else { throw ValidationError("no log level \(logLevel)") }
    var log = Logger(label: "taskd") { StreamLogHandler.standardError(label: $0) }
    log.logLevel = level
    let state = FilePath(state)
    let manager = try TaskManager(
      state: state, shim: FilePath(shim ?? Self.besideOurselves("gantry-shim")), log: log)
    try await manager.recover()
    let gid = try group.map { name in
      guard let entry = getgrnam(name) else { throw ValidationError("there is no group \(name)") }
      return entry.pointee.gr_gid
    }
    let server = try await RPCServer(
      TaskDispatch.table(manager), path: state.appending("task.sock"),
      options: RPCServerOptions(peers: PeerRule(gid: gid), gid: gid), logger: log)
    log.info("ready", metadata: ["socket": "\(state.appending("task.sock"))"])
    let signals = DispatchlessSignals([SIGTERM, SIGINT])
    await signals.first()
    await server.shutDown()
  }

  private static func besideOurselves(_ name: String) -> String {
    let own = (try? Files.readLink("/proc/self/exe")) ?? "/usr/local/bin/gantry-taskd"
    return FilePath(own).removingLastComponent().appending(name).string
  }
}

await TaskDaemon.main()
