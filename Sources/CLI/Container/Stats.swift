internal import Faults
internal import JSONRPC
internal import Protocol

/// `gantry stats`: what containers use, again and again.
struct Stats: Command {
  static let about = About(
    usage: "[OPTIONS] [CONTAINER...]", summary: "Display a live stream of container(s) resource usage statistics",
    arity: .any, completes: .container,
    discussion: """
      Without a container: all that run, also those that start meanwhile. CPU % is of one processor: 200 % is two.
      Fields of --format: Container, ID, Name, CPUPerc, MemUsage, MemPerc, NetIO, BlockIO, PIDs.
      """,
    examples: [
      ("gantry stats", "All, until ctrl-c"), ("gantry stats --no-stream web", "One, once"),
      ("gantry stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}'", "Chosen fields"),
    ])
  static let flags: [Flag<Stats>] = [
    .toggle("all", "a", "Show all containers (default shows just running)") { $0.all = $1 },
    .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    },
    .toggle("no-stream", nil, "Disable streaming stats and only pull the first result") { $0.once = $1 },
    .toggle("no-trunc", nil, "Do not truncate output") { $0.list.whole = $1 },
  ]

  var list = ListOptions()
  var all = false
  var once = false
  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    let gateway = try session.gateway()
    let screen = Screen(redraws: !once && Output.isTerminal())
    var round = 0
    var failure: (any Error)?
    gateway.onNotification = { name, params in
      do {
        guard name == GatewayAPI.Notification.statsSamples.name else { return }
        round += 1
        // One sample alone tells no share of the processor.
        if once, round != 2 { return }
        let samples: GatewayAPI.StatsSamples = try RPCCoding.decode(params)
        screen.show(try list.text(samples.samples.map { StatsRow(sample: $0, asked: asked($0)) }))
      } catch {
        failure = error
      }
    }
    _ = try gateway.call(
      GatewayAPI.Method.statsSubscribe,
      .init(containers: containers.isEmpty ? nil : containers, all: all ? true : nil))
    while !(once && round >= 2), failure == nil { _ = try gateway.waitForMessages() }
    if let failure { throw failure }
    return 0
  }
}

extension Stats {
  /// The word that a container was asked for by; nil without one.
  private func asked(_ sample: GatewayAPI.StatsSample) -> String? {
    containers.first { $0 == sample.name || sample.id.hasPrefix($0) }
  }
}

/// A list that is shown again and again: over the last one on a terminal, after it elsewhere.
struct Screen {
  let redraws: Bool

  /// Shows `text`, whole lines.
  func show(_ text: String) { Output.write(redraws ? Self.redrawing(text) : text) }

  /// To the top left; each line with what was behind it erased; then all below erased.
  static func redrawing(_ text: String) -> String {
    "\u{1B}[H" + text.split(separator: "\n").map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J"
  }
}

/// One line of `stats`.
struct StatsRow: ListDisplayable {
  let sample: GatewayAPI.StatsSample
  /// The container as it was asked for.
  var asked: String?

  static let quietColumn = "ID"
  static let columns: [ListColumn<StatsRow>] = [
    ListColumn("ID", "CONTAINER ID") { $1 ? $0.sample.id : Human.shortID($0.sample.id) },
    ListColumn("Name", "NAME") { row, _ in row.sample.name },
    ListColumn("CPUPerc", "CPU %") { row, _ in
      guard row.sample.running else { return percent(0) }
      return row.sample.cpuPercent.map(percent) ?? unknown
    },
    ListColumn("MemUsage", "MEM USAGE / LIMIT") { row, _ in
      "\(Human.binarySize(row.sample.memoryBytes)) / \(Human.binarySize(row.sample.memoryLimitBytes))"
    },
    ListColumn("MemPerc", "MEM %") { row, _ in
      let limit = row.sample.memoryLimitBytes
      return percent(limit > 0 ? Double(row.sample.memoryBytes) / Double(limit) * 100 : 0)
    },
    ListColumn("NetIO", "NET I/O") { row, _ in
      "\(Human.size(row.sample.networkReceivedBytes)) / \(Human.size(row.sample.networkSentBytes))"
    },
    ListColumn("BlockIO", "BLOCK I/O") { row, _ in
      "\(Human.size(row.sample.blockReadBytes)) / \(Human.size(row.sample.blockWrittenBytes))"
    },
    ListColumn("PIDs", "PIDS") { row, _ in String(row.sample.processes) },
    ListColumn("Container", "CONTAINER", isDefault: false) {
      $0.asked ?? ($1 ? $0.sample.id : Human.shortID($0.sample.id))
    },
  ]

  /// What is not known yet, as Docker shows it.
  private static let unknown = "--"

  private static func percent(_ value: Double) -> String { Decimals.fixed(value, digits: 2) + "%" }
}
