internal import Faults
internal import JSONRPC
internal import Protocol

/// `gantry start`: starts containers that were created or have stopped.
struct Start: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Start one or more stopped containers", arity: .atLeast(1),
    completes: .container,
    examples: [
      ("gantry start web", "Start it"), ("gantry start --checkpoint one web", "Go on where a checkpoint was made"),
      ("gantry start -ai job", "Start it and stay attached, also to its input"),
    ])
  static let flags: [Flag<Start>] = [
    .toggle("attach", "a", "Attach STDOUT/STDERR and forward signals") { $0.attaches = $1 },
    .value("detach-keys", nil, "string", "Override the key sequence for detaching a container") {
      $0.detachKeys = try DetachKeys($1)
    },
    .toggle("interactive", "i", "Attach container's STDIN") { $0.interactive = $1 },
    .toggle("sig-proxy", nil, "Proxy all received signals to the process (default true)") { $0.proxiesSignals = $1 },
    .value("checkpoint", nil, "string", "Restore from this checkpoint") { $0.checkpoint = $1 },
    .value("checkpoint-dir", nil, "string", "Use a custom checkpoint storage directory") { $0.checkpointFolder = $1 },
  ]

  var attaches = false
  var interactive = false
  var proxiesSignals = true
  var detachKeys = DetachKeys.standard
  var checkpoint: String?
  var checkpointFolder: String?
  var containers: [String] = []

  mutating func take(operands: [String]) throws {
    containers = operands
    guard checkpoint != nil else {
      if checkpointFolder != nil {
        throw CommandFailure("--checkpoint-dir needs --checkpoint: name the one to start from")
      }
      return
    }
    if containers.count > 1 { throw CommandFailure("you cannot restore multiple containers at once") }
  }

  func run(in session: Session) throws -> Int32 {
    guard attaches || interactive else {
      return session.each(settled: containers) { name in
        _ = try session.gateway().call(GatewayAPI.Method.containerStart, request(name), deadline: deadline)
      }
    }
    guard containers.count == 1 else { throw CommandFailure("you cannot start and attach multiple containers at once") }
    do {
      return try startAttached(containers[0], session)
    } catch let fault as Fault {
      Output.fail(Output.words(of: fault, debug: session.options.debug) + "\n")
      let code = ExitCode.ofStart(fault)
      return code == ExitCode.engineFailed ? 1 : code
    }
  }

  /// A large checkpoint takes its time.
  private static let mostSecondsToRestore = 600
  private var deadline: Deadline? { checkpoint == nil ? nil : .after(seconds: Self.mostSecondsToRestore) }

  private func request(_ name: String, attach: AttachStreams? = nil) -> GatewayAPI.ContainerStartParams {
    .init(
      container: name, attach: attach, checkpoint: checkpoint,
      checkpointFolder: checkpointFolder.map(WorkingFolder.absolute))
  }

  private func startAttached(_ name: String, _ session: Session) throws -> Int32 {
    let inspected = try session.call(GatewayAPI.Method.containerInspect, .init(container: name)).container
    let id = inspected["Id"]?.stringValue ?? name
    let terminal = inspected["Config"]?["Tty"]?.boolValue == true
    let removed = inspected["HostConfig"]?["AutoRemove"]?.boolValue == true
    let input = interactive && inspected["Config"]?["OpenStdin"]?.boolValue == true
    if inspected["State"]?["Running"]?.boolValue == true {
      return try Attach.follow(
        id, session, input: input, proxiesSignals: proxiesSignals, detachKeys: detachKeys)
    }
    let signals = try Attachment.Signals()
    let gateway = try session.gateway()
    let answer = try gateway.call(
      GatewayAPI.Method.containerStart,
      request(id, attach: AttachStreams(stdin: input, stdout: true, stderr: true)), deadline: deadline)
    let pending = try gateway.send(
      GatewayAPI.Method.containerWait, .init(container: id, condition: removed ? .removed : .notRunning))
    guard let address = answer.stream else { return try ExitCode.of(signals.wait(pending, on: gateway)) }
    var options = Attachment.Options()
    options.input = input
    options.terminal = terminal
    options.detachKeys = detachKeys
    options.proxiesSignals = proxiesSignals
    let attachment = Attachment(session: session, target: .container(id), options: options)
    let (end, signal) = try attachment.run(session.open(address), signals)
    switch end {
    case .detached: return 0
    case .interrupted: return 128 + signal
    case .closed: return try ExitCode.of(signals.wait(pending, on: gateway))
    }
  }
}
