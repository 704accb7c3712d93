internal import JSONRPC
internal import Protocol

/// `gantry pause`: stops every process of containers where it is.
struct Pause: Command {
  static let about = About(
    usage: "CONTAINER [CONTAINER...]", summary: "Pause all processes within one or more containers",
    arity: .atLeast(1), completes: .container, examples: [("gantry pause web", "Freeze it; `gantry unpause` goes on")])

  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    session.each(containers) { name in
      _ = try session.call(GatewayAPI.Method.containerPause, .init(container: name))
      Output.write(name + "\n")
    }
  }
}

/// `gantry unpause`: lets them go on.
struct Unpause: Command {
  static let about = About(
    usage: "CONTAINER [CONTAINER...]", summary: "Unpause all processes within one or more containers",
    arity: .atLeast(1), completes: .container, examples: [("gantry unpause web", "Let it go on")])

  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    session.each(containers) { name in
      _ = try session.call(GatewayAPI.Method.containerUnpause, .init(container: name))
      Output.write(name + "\n")
    }
  }
}

/// `gantry rename`: gives a container another name.
struct Rename: Command {
  static let about = About(
    usage: "CONTAINER NEW_NAME", summary: "Rename a container", arity: .exactly(2), completes: .container,
    examples: [("gantry rename web old-web", "The id stays")])

  var container = ""
  var name = ""

  mutating func take(operands: [String]) throws {
    container = operands[0]
    name = operands[1]
  }

  func run(in session: Session) throws -> Int32 {
    _ = try session.call(GatewayAPI.Method.containerRename, .init(container: container, name: name))
    return 0
  }
}

/// `gantry wait`: blocks until containers stop, then prints their exit codes.
struct Wait: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Block until one or more containers stop, then print their exit codes", arity: .atLeast(1),
    completes: .container,
    examples: [
      ("gantry wait job", "Print its exit code when it has ended"),
      ("gantry wait --condition removed job", "Wait until it is gone"),
    ])
  static let flags: [Flag<Wait>] = [
    .value("condition", nil, "string", "What to wait for (not-running|next-exit|removed) (default \"not-running\")") {
      guard ["not-running", "next-exit", "removed"].contains($1) else {
        throw CommandFailure("--condition \($1): it is not-running, next-exit or removed")
      }
      $0.condition = .init(rawValue: $1)
    }
  ]

  var condition = GatewayAPI.WaitCondition.notRunning
  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    // All are waited for from now on: an end of the second while the first still runs counts too.
    let gateway = try session.gateway()
    var pending = try containers.map { name in
      try gateway.send(GatewayAPI.Method.containerWait, .init(container: name, condition: condition))
    }[...]
    return session.each(containers) { name in
      let result = try gateway.wait(pending.removeFirst())
      if let error = result.error, !error.isEmpty { Output.note(error + "\n") }
      Output.write("\(result.exitCode)\n")
    }
  }
}
