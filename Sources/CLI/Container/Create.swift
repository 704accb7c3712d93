internal import Protocol

/// `gantry create`: makes a container without starting it.
struct Create: Command {
  static let about = About(
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]", summary: "Create a new container", arity: .atLeast(1),
    completes: .imageThenFiles, stopsAtOperand: true,
    examples: [("gantry create --name job busybox sh -c 'echo hello'", "Make it now; `gantry start -a job` runs it")])
  static let flags: [Flag<Create>] =
    (ContainerFlags.built + ContainerFlags.unbuilt).map { $0.embedded { try $1(&$0.container) } }

  var container = ContainerFlags()

  mutating func take(operands: [String]) throws {
    container.image = operands[0]
    container.command = Array(operands.dropFirst())
  }

  func run(in session: Session) throws -> Int32 {
    let idFile = try container.containerIDFile.map { try ContainerIDFile($0) }
    let request = try ContainerRequest(container, attach: container.attachStreams(detached: false))
    let answer = try container.acquisition.with(container.image, platform: container.platform, session) {
      try session.call(
        GatewayAPI.Method.containerCreate,
        .init(
          name: container.name, config: request.config, hostConfig: request.hostConfig, platform: container.platform))
    }
    for warning in answer.warnings { Output.note("WARNING: \(warning)\n") }
    try idFile?.write(answer.id)
    Output.write(answer.id + "\n")
    return 0
  }
}
