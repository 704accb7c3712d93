internal import Faults
internal import JSONRPC
internal import Protocol

/// `gantry rm`: removes containers. All are asked at once.
struct Remove: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Remove one or more containers", arity: .atLeast(1),
    completes: .container,
    examples: [
      ("gantry rm job", "Remove a stopped container"),
      ("gantry rm -f $(gantry ps -aq)", "Remove all, also running ones"),
    ])
  static let flags: [Flag<Remove>] = [
    .toggle("force", "f", "Force the removal of a running container (uses SIGKILL)") { $0.force = $1 },
    .toggle("volumes", "v", "Remove anonymous volumes associated with the container") { $0.volumes = $1 },
    .unbuilt("link", "l", .network),
  ]

  var force = false
  var volumes = false
  var containers: [String] = []

  mutating func take(operands: [String]) throws { containers = operands }

  func run(in session: Session) throws -> Int32 {
    let gateway = try session.gateway()
    var pending: [PendingCall<GatewayAPI.ContainerRemoveResult>] = []
    var next = 0
    // As many at once as keeps the gateway busy; each answer makes room for one more.
    func fill() throws {
      while next < containers.count, pending.count < 32 {
        pending.append(
          try gateway.send(
            GatewayAPI.Method.containerRemove,
            .init(container: containers[next], force: force ? true : nil, volumes: volumes ? true : nil)))
        next += 1
      }
    }
    return session.each(containers) { name in
      try fill()
      do {
        _ = try gateway.wait(pending.removeFirst())
        Output.write(name + "\n")
      } catch let fault as Fault where force && fault.code == .notFound {
        Output.fail(fault.message + "\n")
      }
    }
  }
}
