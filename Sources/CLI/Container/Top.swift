internal import JSONRPC
internal import Protocol

/// `gantry top`: the processes of a container.
struct Top: Command {
  static let about = About(
    usage: "CONTAINER [ps OPTIONS]", summary: "Display the running processes of a container", arity: .atLeast(1),
    completes: .container, stopsAtOperand: true,
    discussion: "The host's ps lists them, with pids of the host. Its options follow the container: -ef without any.",
    examples: [("gantry top web", "As ps -ef"), ("gantry top web -o pid,rss,args", "Chosen columns")])

  /// Columns are no narrower than this.
  private static let narrowest = 20

  var container = ""
  var arguments: [String] = []

  mutating func take(operands: [String]) throws {
    container = operands[0]
    arguments = Array(operands.dropFirst())
  }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.containerTop,
      .init(container: container, arguments: arguments.isEmpty ? nil : arguments))
    let lines = ([answer.titles] + answer.processes).map { $0.joined(separator: "\t") + "\n" }
    Output.write(Table.aligned(lines.joined(), narrowest: Self.narrowest))
    return 0
  }
}
