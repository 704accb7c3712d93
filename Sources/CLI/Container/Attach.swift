internal import JSONRPC
internal import Protocol

/// `gantry attach`: joins the terminal with a running container.
struct Attach: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER",
    summary: "Attach local standard input, output, and error streams to a running container", arity: .exactly(1),
    completes: .container,
    discussion: "ctrl-p ctrl-q leaves the container running when it has a terminal.",
    examples: [("gantry attach web", "See what it prints from now on")])
  static let flags: [Flag<Attach>] = [
    .value("detach-keys", nil, "string", "Override the key sequence for detaching a container") {
      $0.detachKeys = try DetachKeys($1)
    },
    .toggle("no-stdin", nil, "Do not attach STDIN") { $0.withoutInput = $1 },
    .toggle("sig-proxy", nil, "Proxy all received signals to the process (default true)") { $0.proxiesSignals = $1 },
  ]

  var detachKeys = DetachKeys.standard
  var withoutInput = false
  var proxiesSignals = true
  var container = ""

  mutating func take(operands: [String]) throws { container = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let inspected = try session.call(GatewayAPI.Method.containerInspect, .init(container: container)).container
    guard inspected["State"]?["Running"]?.boolValue == true else {
      throw CommandFailure("cannot attach to a stopped container, start it first")
    }
    if inspected["State"]?["Paused"]?.boolValue == true {
      throw CommandFailure("cannot attach to a paused container, unpause it first")
    }
    let id = inspected["Id"]?.stringValue ?? container
    let input = !withoutInput && inspected["Config"]?["OpenStdin"]?.boolValue == true
    return try Self.follow(
      id, session, input: input, proxiesSignals: proxiesSignals, detachKeys: detachKeys)
  }

  /// Attaches to a running container and stays until it ends.
  static func follow(
    _ id: String, _ session: Session, input: Bool, proxiesSignals: Bool, detachKeys: DetachKeys
  ) throws -> Int32 {
    let signals = try Attachment.Signals()
    let gateway = try session.gateway()
    let pending = try gateway.send(
      GatewayAPI.Method.containerWait, .init(container: id, condition: .notRunning))
    let answer = try gateway.call(
      GatewayAPI.Method.containerAttach, .init(container: id, stdin: input, stdout: true, stderr: true))
    var options = Attachment.Options()
    options.input = input
    options.terminal = answer.tty
    options.detachKeys = detachKeys
    options.proxiesSignals = proxiesSignals
    let attachment = Attachment(session: session, target: .container(id), options: options)
    let (end, signal) = try attachment.run(session.open(answer.stream), signals)
    switch end {
    case .detached: return 0
    case .interrupted: return 128 + signal
    case .closed: return try ExitCode.of(signals.wait(pending, on: gateway))
    }
  }
}
