internal import Glibc
internal import Linux
internal import SystemPackage

/// `gantry system start`: systemd's units where systemd is pid 1 and has them, a supervisor of our own elsewhere.
struct SystemStart: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Start the engine's services",
    discussion: """
      Where systemd runs this machine and has the units (gantry.target), they are started. Elsewhere a supervisor
      is started in the background: it starts the services, starts one again that dies, and bounds their logs in
      ROOT/log. The command returns when every service answers. A second start changes nothing.
      """,
    examples: [
      ("gantry system start", "Start the services"),
      ("gantry --root /tmp/r --state /tmp/s system start", "Start a second engine beside the first"),
    ])
  static let flags: [Flag<SystemStart>] = [
    .value("bin-dir", nil, "folder", "Where the services' programs are (default: beside gantry, or in libexec)") {
      $0.programs = $1
    },
    .value("config", nil, "file", "Configuration file (default: /etc/gantry/gantry.json, where there is one)") {
      $0.configuration = $1
    },
    .value("group", nil, "name", "Group that may use the engine (default: gantry, where there is one)") {
      $0.group = $1
    },
    .value("log-level", "l", "level", "Log level of the services") { $0.logLevel = $1 },
    .value("userns-remap", nil, "string", "Give containers ids of their own: default, USER or USER:GROUP") {
      $0.userRemap = $1
    },
    .value("timeout", "t", "seconds", "How long to wait until every service answers") {
      $0.timeout = try Quantity.integer($1)
    },
    .toggle("no-systemd", nil, "Use the supervisor even where systemd runs") { $0.ignoresSystemd = $1 },
  ]

  var programs: String?
  var configuration: String?
  var group: String?
  var logLevel: String?
  var userRemap: String?
  var timeout: Int64 = 30
  var ignoresSystemd = false

  func run(in session: Session) throws -> Int32 {
    let places = EnginePlaces(session.options)
    try checkState(places)
    guard geteuid() == 0 else {
      throw CommandFailure("the services need root: run `sudo gantry system start`")
    }
    if !ignoresSystemd, Systemd.manages(session.options) {
      if userRemap != nil {
        throw CommandFailure(
          "under systemd --userns-remap is an option of gantryd's unit: run `systemctl edit gantryd` and add it to ExecStart"
        )
      }
      if configuration != nil {
        throw CommandFailure(
          "under systemd --config is an option of the units: use /etc/gantry/gantry.json, or run `systemctl edit` for "
            + "gantryd and gantry-imaged and add it to ExecStart")
      }
      try Systemd.run("start")
      try waitUntilAnswering(places, supervisor: nil)
      Output.write("The services run under systemd (gantry.target).\n")
      return 0
    }
    if let pid = places.runningSupervisor() {
      try waitUntilAnswering(places, supervisor: nil)
      Output.write("The services already run (supervisor: process \(pid)).\n")
      return 0
    }
    let folder = try EnginePrograms.folder(programs)
    let process = try spawnSupervisor(places, folder, session)
    try waitUntilAnswering(places, supervisor: process.pidFD.descriptor.rawValue)
    Output.write("The services run (supervisor: process \(process.pid)).\n")
    return 0
  }

  /// A socket's path holds 107 bytes, and the longest is STATE/tasks/<64 digits>/shim.sock.
  private func checkState(_ places: EnginePlaces) throws {
    let length = places.state.string.utf8.count
    guard length <= 30 else {
      throw CommandFailure(
        "the state folder \(places.state) has a path of \(length) characters, and socket paths leave room for 30: "
          + "choose a shorter --state")
    }
  }

  private func spawnSupervisor(_ places: EnginePlaces, _ folder: FilePath, _ session: Session) throws -> SpawnedProcess
  {
    let log = try openLog(places)
    var arguments = [
      "gantry", "--root", places.root.string, "--state", places.state.string, "system", "supervise", "--bin-dir",
      folder.string,
    ]
    if let group = group ?? Groups.standard { arguments += ["--group", group] }
    if let logLevel { arguments += ["--log-level", logLevel] }
    if let userRemap { arguments += ["--userns-remap", userRemap] }
    if let configuration {
      arguments += ["--config", AbsolutePath.join(WorkingFolder.path, configuration)]
    }
    let request = SpawnRequest(
      .path(FilePath(try EnginePrograms.ownPath())), arguments: arguments,
      environment: ServiceEnvironment.variables,
      descriptors: [nil, log.rawValue, log.rawValue], newSession: true)
    do {
      return try request.spawn()
    } catch {
      throw CommandFailure("the supervisor cannot be started: \(error)")
    }
  }

  private func openLog(_ places: EnginePlaces) throws -> OwnedDescriptor {
    do {
      try Files.makeDirectories(places.logs)
      return try openat2(
        nil, places.log("supervisor").string, [.writeOnly, .create, .append, .noFollow], mode: 0o600)
    } catch {
      throw CommandFailure("cannot write in \(places.root) (\(error)): are you root, and is its disk writable?")
    }
  }

  private func waitUntilAnswering(_ places: EnginePlaces, supervisor: Int32?) throws {
    let deadline = Clock.milliseconds + timeout * 1000
    var supervisor = supervisor
    var waiting = EngineService.all
    while true {
      waiting.removeAll { ServiceProbe.answers(places.socket($0), milliseconds: 1000) }
      if waiting.isEmpty { return }
      var fd = pollfd(fd: supervisor ?? -1, events: Int16(POLLIN), revents: 0)
      if poll(&fd, 1, 10) > 0 {
        // Somebody else's start may have been a moment earlier: then its supervisor is the one to wait for.
        supervisor = nil
        if places.runningSupervisor() != nil { continue }
        throw CommandFailure("the supervisor ended at once:\n" + lastLines(places, "supervisor"))
      }
      if Clock.milliseconds > deadline {
        let names = waiting.map(\.program).joined(separator: ", ")
        let logs = waiting.map { lastLines(places, $0.program) }.joined(separator: "\n")
        throw CommandFailure(
          "\(names) did not answer within \(timeout) s; the last lines of the logs:\n\(logs)\n"
            + "The supervisor goes on trying; `gantry system stop` ends it.")
      }
    }
  }

  private func lastLines(_ places: EnginePlaces, _ name: String) -> String {
    let lines = LogFile.tail(places.log(name), lines: 10)
    return lines.isEmpty ? "  (\(places.log(name)) is empty)" : lines.map { "  \(name): \($0)" }.joined(separator: "\n")
  }
}

/// `gantry system supervise`: the supervisor itself, started by `system start`.
struct SystemSupervise: Command {
  static let about = About(usage: "[OPTIONS]", summary: "Keep the services running", hidden: true)
  static let flags: [Flag<SystemSupervise>] = [
    .value("bin-dir", nil, "folder", "Where the services' programs are") { $0.programs = $1 },
    .value("group", nil, "name", "Group that may use the engine") { $0.group = $1 },
    .value("log-level", nil, "level", "Log level of the services") { $0.logLevel = $1 },
    .value("userns-remap", nil, "string", "Whose ids containers get") { $0.userRemap = $1 },
    .value("config", nil, "file", "Configuration file") { $0.configuration = $1 },
  ]

  var programs: String?
  var configuration: String?
  var group: String?
  var logLevel: String?
  var userRemap: String?

  func run(in session: Session) throws -> Int32 {
    let settings = Supervisor.Settings(
      places: EnginePlaces(session.options), programs: try EnginePrograms.folder(programs), group: group,
      logLevel: logLevel, userRemap: userRemap, configuration: configuration)
    try Supervisor.holdingLock(settings).run()
    return 0
  }
}
