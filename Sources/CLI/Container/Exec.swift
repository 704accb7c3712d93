internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry exec`: runs one more command in a running container.
struct Exec: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]", summary: "Execute a command in a running container",
    arity: .atLeast(2), completes: .container, stopsAtOperand: true,
    examples: [
      ("gantry exec web ps", "One command"),
      ("gantry exec -it web sh", "A shell on a terminal"),
      ("gantry exec -u 1000 -w /srv -e A=1 web env", "As another user, elsewhere, with a variable"),
    ])
  static let flags: [Flag<Exec>] = [
    .toggle("detach", "d", "Detached mode: run command in the background") { $0.detached = $1 },
    .value("detach-keys", nil, "string", "Override the key sequence for detaching a container") {
      $0.detachKeys = try DetachKeys($1)
    },
    .value("env", "e", "list", "Set environment variables") { exec, value in
      if let entry = try KeyValues.environment(value) { exec.environment.append(entry) }
    },
    .value("env-file", nil, "list", "Read in a file of environment variables") { $0.environmentFiles.append($1) },
    .toggle("interactive", "i", "Keep STDIN open even if not attached") { $0.interactive = $1 },
    .toggle("privileged", nil, "Give extended privileges to the command") { $0.privileged = $1 },
    .toggle("tty", "t", "Allocate a pseudo-TTY") { $0.terminal = $1 },
    .value("user", "u", "string", "Username or UID (format: <name|uid>[:<group|gid>])") { $0.user = $1 },
    .value("workdir", "w", "string", "Working directory inside the container") { $0.workingDirectory = $1 },
  ]

  var detached = false
  var detachKeys = DetachKeys.standard
  var environment: [String] = []
  var environmentFiles: [String] = []
  var interactive = false
  var privileged = false
  var terminal = false
  var user: String?
  var workingDirectory: String?
  var container = ""
  var command: [String] = []

  mutating func take(operands: [String]) throws {
    container = operands[0]
    command = Array(operands.dropFirst())
  }

  func run(in session: Session) throws -> Int32 {
    do {
      return try start(session)
    } catch let fault as Fault {
      Output.fail(Output.words(of: fault, debug: session.options.debug) + "\n")
      let code = ExitCode.ofStart(fault)
      return code == ExitCode.engineFailed ? 1 : code
    }
  }

  private func start(_ session: Session) throws -> Int32 {
    if terminal, interactive, !detached, !Terminal.isTerminal(STDIN_FILENO) {
      throw CommandFailure("the input device is not a TTY: leave out -t, or run it on a terminal")
    }
    var variables: [String] = []
    for file in environmentFiles {
      let text: String
      do {
        text = try Files.readText(file, limit: 4 << 20)
      } catch {
        throw CommandFailure("cannot read \(file): \(error)")
      }
      variables += try KeyValues.file(text, path: file)
    }
    variables += environment
    let attach = AttachStreams(stdin: interactive, stdout: true, stderr: true)
    var config = GatewayAPI.ExecConfig(cmd: command)
    config.env = variables.isEmpty ? nil : variables
    config.user = user
    config.workingDir = workingDirectory
    config.tty = terminal
    config.attachStdin = interactive
    config.attachStdout = true
    config.attachStderr = true
    config.privileged = privileged ? true : nil
    if terminal, let size = try? Terminal.size(STDOUT_FILENO), size.rows > 0 {
      config.consoleSize = [Int64(size.rows), Int64(size.columns)]
    }
    let signals = detached ? nil : try Attachment.Signals()
    let gateway = try session.gateway()
    let started = try gateway.begin(
      GatewayAPI.Method.containerExec,
      .init(container: container, config: config, attach: detached ? nil : attach))
    let answer = try signals?.finish(started, on: gateway) ?? gateway.finish(started)
    guard let signals, let address = answer.stream else { return 0 }
    let pending = try gateway.begin(GatewayAPI.Method.execWait, .init(exec: answer.exec))
    var options = Attachment.Options()
    options.input = interactive
    options.terminal = terminal
    options.detachKeys = detachKeys
    // Docker's exec passes no signals on: they end the command itself.
    options.proxiesSignals = false
    let attachment = Attachment(session: session, target: .exec(answer.exec, container: container), options: options)
    let (end, signal) = try attachment.run(session.open(address), signals)
    switch end {
    case .detached: return 0
    case .interrupted: return 128 + signal
    case .closed:
      do {
        return Int32(truncatingIfNeeded: try signals.finish(pending, on: gateway).exitCode)
      } catch {
        guard Fault(describing: error).code == .unavailable else { throw error }
        return Int32(truncatingIfNeeded: try waitAgain(for: answer.exec, session).exitCode)
      }
    }
  }

  /// The exit code from a gateway that was restarted while the command ran.
  private func waitAgain(for exec: String, _ session: Session) throws -> GatewayAPI.ExecWaitResult {
    var tries = 0
    while true {
      do {
        return try session.newConnection().call(GatewayAPI.Method.execWait, .init(exec: exec))
      } catch {
        tries += 1
        guard Fault(describing: error).code == .unavailable, tries < Self.mostTries else { throw error }
        usleep(Self.pauseMicroseconds)
      }
    }
  }

  /// Tries of 50 ms each.
  private static let mostTries = 200
  private static let pauseMicroseconds: UInt32 = 50_000
}
