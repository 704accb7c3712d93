internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry login`: checks credentials at a registry and keeps them.
struct Login: Command {
  static let about = About(
    usage: "[OPTIONS] [SERVER]", summary: "Authenticate to a registry", arity: .atMost(1), completes: .registry,
    discussion: """
      Defaults to Docker Hub if no server is specified. Credentials are kept where Docker keeps them: by the helper
      that credsStore or credHelpers of ~/.docker/config.json names (a program docker-credential-NAME), else in that
      file, which is then readable for you alone and unencrypted. DOCKER_CONFIG and --config name another folder.
      """,
    examples: [
      ("gantry login registry.example:5000", "Ask for name and password"),
      ("gantry login -u me --password-stdin registry.example:5000 <token.txt", "Without a terminal"),
    ])
  static let flags: [Flag<Login>] = [
    .value("username", "u", "string", "Username") { $0.username = $1 },
    .value("password", "p", "string", "Password or Personal Access Token (PAT)") { $0.password = $1 },
    .toggle("password-stdin", nil, "Take the Password or Personal Access Token (PAT) from stdin") {
      $0.takesPasswordFromInput = $1
    },
  ]

  private static let passwordLimit = 32 << 10

  var username = ""
  var password = ""
  var takesPasswordFromInput = false
  var server: String?

  mutating func take(operands: [String]) throws { server = operands.first }

  func run(in session: Session) throws -> Int32 {
    let key = RegistryServer.key(server)
    var wanted = RegistryCredentials(server: key)
    wanted.username = username.trimmed
    wanted.password = try givenPassword()
    let kept = try? session.credentials.credentials(for: key)
    if wanted.username.isEmpty, wanted.password.isEmpty, let kept {
      Output.note(
        "Authenticating with existing credentials..."
          + (kept.username.isEmpty ? "\n" : " [Username: \(kept.username)]\n"))
      do {
        return try finish(kept, session)
      } catch let fault as Fault where fault.code == .permissionDenied {
        Output.note("Login did not succeed: \(Output.words(of: fault, debug: session.options.debug))\n")
      }
    }
    try ask(&wanted, known: kept?.username ?? "")
    return try finish(wanted, session)
  }

  /// The password of the command line or of standard input; empty when a person has to be asked.
  private func givenPassword() throws -> String {
    if !password.isEmpty {
      Output.note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
      if takesPasswordFromInput { throw CommandFailure("--password and --password-stdin are mutually exclusive") }
    }
    guard takesPasswordFromInput else { return password }
    if username.isEmpty { throw CommandFailure("Must provide --username with --password-stdin") }
    let bytes: [UInt8]
    do {
      bytes = try Files.read(STDIN_FILENO, limit: Self.passwordLimit)
    } catch {
      throw CommandFailure("no password can be read from standard input: \(error)")
    }
    var text = String(decoding: bytes, as: UTF8.self)
    for end in ["\r\n", "\n", "\r"] where text.hasSuffix(end) {
      text.removeLast()
      break
    }
    if text.isEmpty { throw CommandFailure("password is empty") }
    return text
  }

  private func ask(_ wanted: inout RegistryCredentials, known: String) throws {
    guard wanted.username.isEmpty || wanted.password.isEmpty else { return }
    guard Terminal.isTerminal(STDIN_FILENO) else {
      throw CommandFailure(
        "Cannot perform an interactive login from a non TTY device: give --username and --password-stdin")
    }
    if wanted.username.isEmpty {
      let answer = try Prompt.ask(known.isEmpty ? "Username: " : "Username (\(known)): ").trimmed
      wanted.username = answer.isEmpty ? known : answer
    }
    if wanted.username.isEmpty { throw CommandFailure("username is required") }
    if wanted.password.isEmpty { wanted.password = try Prompt.ask("Password: ", isSecret: true) }
    if wanted.password.isEmpty { throw CommandFailure("password is required") }
  }

  private func finish(_ credentials: RegistryCredentials, _ session: Session) throws -> Int32 {
    let answer = try session.call(GatewayAPI.Method.registryLogin, .init(auth: credentials.auth))
    var kept = credentials
    if let token = answer.identityToken, !token.isEmpty {
      kept.identityToken = token
      kept.password = ""
    }
    try session.credentials.store(kept)
    Output.write(answer.status + "\n")
    return 0
  }
}
