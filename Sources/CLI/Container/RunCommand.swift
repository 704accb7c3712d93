internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry run`: makes a container, starts it, and stays attached until it ends.
struct Run: Command {
  static let about = About(
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]", summary: "Create and run a new container from an image",
    arity: .atLeast(1), completes: .imageThenFiles, stopsAtOperand: true,
    discussion: """
      Everything after IMAGE belongs to the container's command. The exit code is the command's own; 125 when the
      engine failed, 126 when the command cannot be executed, 127 when it does not exist, 128 and the signal's
      number when a signal ended it.
      """,
    examples: [
      ("gantry run --rm busybox echo hello", "Print from a container and remove it"),
      ("gantry run -it --rm busybox", "A shell on a terminal; ctrl-p ctrl-q leaves it running"),
      ("gantry run -d --name web -v /srv:/srv:ro busybox httpd -f -h /srv", "Run in the background"),
      ("gantry run --rm -m 64m --cpus 0.5 --read-only busybox true", "With limits and a read-only root"),
    ])
  static let flags: [Flag<Run>] =
    (ContainerFlags.built + ContainerFlags.unbuilt).map { $0.embedded { try $1(&$0.container) } } + [
      .toggle("detach", "d", "Run container in background and print container ID") { $0.detached = $1 },
      .value("detach-keys", nil, "string", "Override the key sequence for detaching a container") {
        $0.detachKeys = try DetachKeys($1)
      },
      .toggle("sig-proxy", nil, "Proxy received signals to the process (default true)") { $0.proxiesSignals = $1 },
    ]

  var container = ContainerFlags()
  var detached = false
  var detachKeys = DetachKeys.standard
  var proxiesSignals = true

  mutating func take(operands: [String]) throws {
    container.image = operands[0]
    container.command = Array(operands.dropFirst())
    if detached, !container.attach.isEmpty {
      throw CommandFailure("conflicting options: cannot specify both --attach and --detach", code: 125)
    }
  }

  func run(in session: Session) throws -> Int32 {
    do {
      return try start(session)
    } catch let fault as Fault {
      Output.fail(Output.words(of: fault, debug: session.options.debug) + "\n")
      if fault.code == .notFound {
        Output.note("`gantry images` lists the images there are; `gantry pull` and `gantry load` bring others in.\n")
      }
      return ExitCode.ofStart(fault)
    } catch var failure as CommandFailure {
      if failure.code == 1 { failure.code = ExitCode.engineFailed }
      throw failure
    }
  }

  private func start(_ session: Session) throws -> Int32 {
    let attach = container.attachStreams(detached: detached)
    try container.checkTerminal(attach)
    let idFile = try container.containerIDFile.map { try ContainerIDFile($0) }
    let request = try ContainerRequest(container, attach: attach)
    let attaches = attach.stdin || attach.stdout || attach.stderr
    let signals = attaches ? try Attachment.Signals() : nil
    let gateway = try session.gateway()
    let answer = try container.acquisition.with(container.image, platform: container.platform, session) {
      let started = try gateway.begin(
        GatewayAPI.Method.containerRun,
        .init(
          name: container.name, config: request.config, hostConfig: request.hostConfig, platform: container.platform,
          attach: attaches ? attach : nil))
      return try signals?.finish(started, on: gateway) ?? gateway.finish(started)
    }
    for warning in answer.warnings { Output.note("WARNING: \(warning)\n") }
    try idFile?.write(answer.id)
    guard attaches, let signals, let address = answer.stream else {
      Output.write(answer.id + "\n")
      return 0
    }
    let pending = try gateway.begin(
      GatewayAPI.Method.containerWait,
      .init(container: answer.id, condition: container.removesItself ? .removed : .notRunning))
    var options = Attachment.Options()
    options.input = attach.stdin
    options.output = attach.stdout
    options.errors = attach.stderr
    options.terminal = container.terminal
    options.detachKeys = detachKeys
    options.proxiesSignals = proxiesSignals
    let attachment = Attachment(session: session, target: .container(answer.id), options: options)
    let (end, signal) = try attachment.run(session.open(address), signals)
    switch end {
    case .detached: return 0
    case .interrupted: return 128 + signal
    case .closed: return try ExitCode.of(signals.finish(pending, on: gateway))
    }
  }
}

extension ExitCode {
  /// The exit code for a container or exec that did not start.
  static func ofStart(_ fault: Fault) -> Int32 {
    switch fault.code {
    case .commandNotFound: notFound
    case .commandNotExecutable: notExecutable
    default: engineFailed
    }
  }

  /// The exit code of a container that ended.
  static func of(_ result: GatewayAPI.ContainerWaitResult) throws -> Int32 {
    if let error = result.error, !error.isEmpty { Output.fail(error + "\n") }
    return Int32(truncatingIfNeeded: result.exitCode)
  }
}

extension ContainerFlags {
  /// The streams to attach: those of `-a`, else output and errors, and input with `-i`; none with `-d`.
  func attachStreams(detached: Bool) -> AttachStreams {
    if detached { return AttachStreams(stdin: false, stdout: false, stderr: false) }
    if attach.isEmpty { return AttachStreams(stdin: interactive, stdout: true, stderr: true) }
    return AttachStreams(
      stdin: interactive && attach.contains("stdin"), stdout: attach.contains("stdout"),
      stderr: attach.contains("stderr"))
  }

  /// Refuses a terminal for the container where ours is none to type on.
  func checkTerminal(_ attach: AttachStreams) throws {
    if terminal, attach.stdin, !Terminal.isTerminal(STDIN_FILENO) {
      throw CommandFailure("the input device is not a TTY: leave out -t, or run it on a terminal")
    }
  }
}

/// The file that `--cidfile` names: it must not exist before.
struct ContainerIDFile {
  private let path: String

  /// Refuses a file that exists.
  init(_ path: String) throws {
    if access(path, F_OK) == 0 {
      throw CommandFailure(
        "container ID file found, make sure the other container isn't running or delete \(path)", code: 125)
    }
    self.path = path
  }

  /// Writes the id, without a newline, as Docker does.
  func write(_ id: String) throws {
    do {
      let file = try openat2(nil, path, [.writeOnly, .create, .exclusive], mode: 0o644)
      try Array(id.utf8).withUnsafeBytes { try Descriptors.writeAll(file.rawValue, $0) }
    } catch {
      throw CommandFailure("cannot write the container ID file \(path): \(error)", code: 125)
    }
  }
}
