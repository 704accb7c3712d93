internal import JSONRPC
internal import Protocol

/// `gantry update`: other limits for containers, whether they run or not.
struct Update: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Update configuration of one or more containers",
    arity: .atLeast(1), completes: .container,
    discussion: "A running container has the new limits at once; a stopped one has them from its next start on.",
    examples: [
      ("gantry update -m 128m --memory-swap 128m web", "Another memory limit, without swap"),
      ("gantry update --cpus 1.5 --pids-limit 200 web", "More processor time, fewer processes"),
    ])
  static let flags: [Flag<Update>] =
    ResourceFlags.changeable.map { $0.embedded { try $1(&$0.limits) } } + [
      .value("restart", nil, "string", "Restart policy to apply when a container exits") { update, value in
        update.restart = try RestartFlag(value)
      }
    ]

  var limits = ResourceFlags()
  var restart: RestartFlag?
  var containers: [String] = []

  mutating func take(operands: [String]) throws {
    containers = operands
    if limits == ResourceFlags(), restart == nil {
      throw CommandFailure.usage("you must provide one or more flags when using this command")
    }
  }

  func run(in session: Session) throws -> Int32 {
    let change = change
    return session.each(containers) { name in
      let answer = try session.call(GatewayAPI.Method.containerUpdate, .init(container: name, update: change))
      for warning in answer.warnings { Output.note("WARNING: \(warning)\n") }
      Output.write(name + "\n")
    }
  }

  /// What the flags say, in the form of the wire.
  var change: GatewayAPI.ContainerUpdate {
    GatewayAPI.ContainerUpdate(
      blkioWeight: limits.blockWeight, cpuPeriod: limits.cpuPeriod, cpuQuota: limits.cpuQuota,
      cpuRealtimePeriod: limits.realtimePeriod, cpuRealtimeRuntime: limits.realtimeRuntime,
      cpuShares: limits.cpuShares, cpusetCpus: limits.cpusetCPUs, cpusetMems: limits.cpusetMemories,
      memory: limits.memory, memoryReservation: limits.memoryReservation, memorySwap: limits.memorySwap,
      nanoCpus: limits.nanoCPUs, pidsLimit: limits.pids,
      restartPolicy: restart.map { .init(name: .init(rawValue: $0.name), maximumRetryCount: $0.retries) })
  }
}

/// A restart policy as a flag has it: `always`, `on-failure:5`.
struct RestartFlag: Sendable, Equatable {
  var name: String
  /// Only for `on-failure`.
  var retries: Int64?

  /// Reads one value; which policies there are is for the engine to say.
  init(_ text: String) throws {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    name = String(parts[0])
    guard parts.count == 2 else { return }
    guard let count = Int64(parts[1]) else {
      throw CommandFailure("maximum retry count must be an integer: \(text)")
    }
    retries = count
  }
}
