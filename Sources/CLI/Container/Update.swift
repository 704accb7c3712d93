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
        update.restart = try SupervisionFlags.policy(value)
      }
    ]

  var limits = ResourceFlags()
  var restart: GatewayAPI.RestartPolicy?
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
      restartPolicy: restart)
  }
}
