internal import JSONRPC
internal import Protocol

/// `gantry stop`: asks containers to end, and kills those that do not in time. All are asked at once.
struct Stop: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Stop one or more running containers", arity: .atLeast(1),
    completes: .container,
    examples: [
      ("gantry stop web", "Ask, and kill after 10 seconds"), ("gantry stop -t 0 web", "Kill at once"),
    ])
  static let flags: [Flag<Stop>] = [
    .value("signal", "s", "string", "Signal to send to the container") { $0.signal = $1 },
    .value("timeout", "t", "int", "Seconds to wait before killing the container") {
      $0.timeout = try Quantity.integer($1)
    },
    .value("time", nil, "int", "The same as --timeout") { $0.timeout = try Quantity.integer($1) },
  ]

  var signal: String?
  var timeout: Int64?
  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    let gateway = try session.gateway()
    var pending = try containers.map { name in
      try gateway.send(
        GatewayAPI.Method.containerStop, .init(container: name, signal: signal, timeoutSeconds: timeout))
    }[...]
    return session.each(settled: containers) { _ in _ = try gateway.wait(pending.removeFirst()) }
  }
}

/// `gantry restart`: stops and starts containers.
struct Restart: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Restart one or more containers", arity: .atLeast(1),
    completes: .container, examples: [("gantry restart -t 1 web", "Stop it within a second, then start it")])
  static let flags: [Flag<Restart>] = [
    .value("signal", "s", "string", "Signal to send to the container") { $0.signal = $1 },
    .value("timeout", "t", "int", "Seconds to wait before killing the container") {
      $0.timeout = try Quantity.integer($1)
    },
    .value("time", nil, "int", "The same as --timeout") { $0.timeout = try Quantity.integer($1) },
  ]

  var signal: String?
  var timeout: Int64?
  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    session.each(containers) { name in
      _ = try session.call(
        GatewayAPI.Method.containerRestart, .init(container: name, signal: signal, timeoutSeconds: timeout))
      Output.write(name + "\n")
    }
  }
}

/// `gantry kill`: sends a signal to the first process of containers.
struct Kill: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Kill one or more running containers", arity: .atLeast(1),
    completes: .container, examples: [("gantry kill -s HUP web", "Send SIGHUP")])
  static let flags: [Flag<Kill>] = [
    .value("signal", "s", "string", "Signal to send to the container (default KILL)") { $0.signal = $1 }
  ]

  var signal: String?
  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    session.each(containers) { name in
      _ = try session.call(GatewayAPI.Method.containerKill, .init(container: name, signal: signal))
      Output.write(name + "\n")
    }
  }
}
