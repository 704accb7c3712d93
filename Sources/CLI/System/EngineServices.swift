internal import Glibc
internal import Linux
internal import SystemPackage

/// One process of the engine: its program, and the socket it answers on.
struct EngineService: Sendable, Equatable {
  /// As people and the log files name it: `gateway`.
  let name: String
  /// The name of its process. All run from one executable, which looks at the name it is called by.
  let program: String
  /// The socket's file name in the state folder.
  let socket: String

  /// Whether it takes --config, and reads that file again on SIGHUP.
  var readsConfiguration: Bool { name == "image" || name == "gateway" }

  /// The executable's file name.
  static let executable = "gantryd"

  /// All of them, in the order in which they start; they stop in the opposite one.
  static let all = [
    EngineService(name: "image", program: "gantry-imaged", socket: "image.sock"),
    EngineService(name: "snapshot", program: "gantry-snapshotd", socket: "snapshot.sock"),
    EngineService(name: "task", program: "gantry-taskd", socket: "task.sock"),
    EngineService(name: "gateway", program: "gantryd", socket: "gantry.sock"),
  ]

  /// The service that a person named: by its name or its program.
  static func named(_ word: String) throws -> EngineService {
    guard let service = all.first(where: { $0.name == word || $0.program == word }) else {
      throw CommandFailure("there is no service \"\(word)\": it is one of \(all.map(\.name).joined(separator: ", "))")
    }
    return service
  }
}

/// Where things are on this machine for one engine.
struct EnginePlaces: Sendable {
  let root: FilePath
  let state: FilePath

  /// The places that the global options name, absolute.
  init(_ options: GlobalOptions) {
    root = FilePath(AbsolutePath.join(WorkingFolder.path, options.root))
    state = FilePath(AbsolutePath.join(WorkingFolder.path, options.state))
  }

  /// Where the supervisor keeps the services' log files.
  var logs: FilePath { root.appending("log") }
  /// The log file of a service.
  func log(_ name: String) -> FilePath { logs.appending(name + ".log") }
  /// The pid of the supervisor.
  var supervisorPid: FilePath { state.appending("supervisor.pid") }
  /// The socket of a service.
  func socket(_ service: EngineService) -> FilePath { state.appending(service.socket) }

  /// The supervisor that runs for this engine, if one does: it holds a lock on its pid file.
  func runningSupervisor() -> Int32? {
    guard let file = try? openat2(nil, supervisorPid.string, [.readWrite]) else { return nil }
    if flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 { return nil }
    let text = (try? Files.readText(supervisorPid.string, limit: 32))?.trimmed ?? ""
    return Int32(text)
  }
}

/// Finds the services' executable.
enum EnginePrograms {
  /// The folder that holds every program: `chosen`, else beside this program's real file, else the usual places.
  static func folder(_ chosen: String?) throws -> FilePath {
    if let chosen {
      let folder = FilePath(AbsolutePath.join(WorkingFolder.path, chosen))
      if let missing = missing(in: folder) {
        throw CommandFailure("--bin-dir \(chosen) has no \(missing)")
      }
      return folder
    }
    let own = FilePath(try ownPath()).removingLastComponent()
    let places = [
      own, own.removingLastComponent().appending("libexec/gantry"), FilePath("/usr/local/libexec/gantry"),
      FilePath("/usr/libexec/gantry"),
    ]
    if let found = places.first(where: { missing(in: $0) == nil }) { return found }
    let lacking = missing(in: own) ?? "the services"
    throw CommandFailure(
      "\(lacking) is neither beside this program (\(own)) nor in /usr/libexec/gantry: install it, or give --bin-dir")
  }

  /// The real path of this program.
  static func ownPath() throws -> String {
    do {
      return try Files.readLink("/proc/self/exe")
    } catch {
      throw CommandFailure("cannot read /proc/self/exe (\(error)): is /proc mounted?")
    }
  }

  /// The first of what the engine needs that is not there.
  private static func missing(in folder: FilePath) -> String? {
    [EngineService.executable, "gantry-shim"].first { access(folder.appending($0).string, X_OK) != 0 }
  }
}

/// What the services are started with, whoever starts them.
enum ServiceEnvironment {
  /// A path and a language that are always the same, and of this process's variables those that services read.
  static var variables: [String] {
    ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"] + OutboundEnvironment.entries
  }
}
