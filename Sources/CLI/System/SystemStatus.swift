internal import JSONRPC
internal import Protocol

/// `gantry system status`: each service with its process, socket, version, memory and health.
struct SystemStatus: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Show the engine's services (exit code 1 when one is down)",
    discussion: "Fields of --format: Name, PID, Socket, Version, Memory, Uptime, Health.",
    examples: [
      ("gantry system status", "A table of the services"),
      ("gantry system status --format '{{.Name}} {{.PID}}'", "Chosen fields"),
    ])
  static let flags: [Flag<SystemStatus>] = [
    .value("format", "f", "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    }
  ]

  var list = ListOptions()

  func run(in session: Session) throws -> Int32 {
    let places = EnginePlaces(session.options)
    let rows = EngineService.all.reversed().map { ServiceProbe.status($0, places) }
    Output.write(try list.text(rows))
    return rows.allSatisfy(\.healthy) ? 0 : 1
  }
}

/// One service in `system status`.
struct ServiceRow: ListDisplayable {
  let name: String
  let socket: String
  var pid: Int32?
  var version: String?
  /// Bytes.
  var memory: Int64?
  var started: Moment?
  var healthy = false
  var problem: String?

  static let quietColumn = "Name"
  static let columns: [ListColumn<ServiceRow>] = [
    ListColumn("Name", "SERVICE") { row, _ in row.name },
    ListColumn("PID", "PID") { row, _ in row.pid.map(String.init) ?? "-" },
    ListColumn("Version", "VERSION") { row, _ in row.version ?? "-" },
    ListColumn("Memory", "MEMORY") { row, _ in row.memory.map(Human.binarySize) ?? "-" },
    ListColumn("Uptime", "UPTIME") { row, _ in
      row.started.map { Human.duration(seconds: Moment.now.seconds - $0.seconds) } ?? "-"
    },
    ListColumn("Health", "HEALTH") { row, _ in row.healthy ? "healthy" : row.problem ?? "down" },
    ListColumn("Socket", "SOCKET") { row, _ in row.socket },
  ]
}
