internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry logs`: what a container printed.
struct Logs: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER", summary: "Fetch the logs of a container", arity: .exactly(1), completes: .container,
    examples: [
      ("gantry logs --tail 20 web", "The last 20 lines"), ("gantry logs -f web", "Follow what comes"),
      ("gantry logs --since 10m -t web", "The last ten minutes, with times"),
    ])
  static let flags: [Flag<Logs>] = [
    .toggle("details", nil, "Show extra details provided to logs") { $0.details = $1 },
    .toggle("follow", "f", "Follow log output") { $0.follow = $1 },
    .value("since", nil, "string", "Show logs since a time (2026-01-02T13:23:37Z) or a span (42m)") {
      $0.since = try Moment(flag: $1).text
    },
    .value("tail", "n", "string", "Number of lines to show from the end of the logs (default all)") { logs, value in
      guard value == "all" || Int64(value) != nil else { throw CommandFailure("it is a number or \"all\"") }
      logs.tail = value
    },
    .toggle("timestamps", "t", "Show timestamps") { $0.timestamps = $1 },
    .value("until", nil, "string", "Show logs before a time (2026-01-02T13:23:37Z) or a span (42m)") {
      $0.until = try Moment(flag: $1).text
    },
  ]

  var details = false
  var follow = false
  var timestamps = false
  var since: String?
  var until: String?
  var tail: String?
  var container = ""

  mutating func take(operands: [String]) throws { container = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.containerLogs,
      .init(
        container: container, follow: follow, stdout: true, stderr: true, since: since, until: until,
        timestamps: timestamps ? true : nil, tail: tail, details: details ? true : nil))
    var options = StreamPump.Options()
    options.terminal = answer.tty
    // No signal is taken as an event: ctrl-C ends the command as any other.
    let pump = StreamPump(try session.open(answer.stream), signals: -1, options)
    _ = try pump.run { .goOn }
    return 0
  }
}
