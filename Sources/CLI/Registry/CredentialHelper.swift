internal import FoundationEssentials
internal import Glibc
internal import JSONRPC
internal import Linux
internal import SystemPackage

/// A program that keeps credentials: `docker-credential-NAME`, with Docker's protocol.
///
///     get    ← server                                     → {"ServerURL", "Username", "Secret"}
///     store  ← {"ServerURL", "Username", "Secret"}
///     erase  ← server
///     list   ←                                            → {server: user name}
///
/// The user name `<token>` says that the secret is an identity token. A failure is told on standard output.
struct CredentialHelper {
  private static let tokenUser = "<token>"
  private static let outputLimit = 256 << 10
  /// What fits into a pipe that nobody reads yet.
  private static let inputLimit = 60 << 10
  /// Helpers may ask a person for a passphrase.
  static let milliseconds: Int32 = 120_000

  /// The program's name.
  let program: String
  private let path: FilePath
  private let milliseconds: Int32

  /// Finds the program of `name` on the PATH.
  init(named name: String, milliseconds: Int32 = milliseconds) throws {
    program = "docker-credential-\(name)"
    self.milliseconds = milliseconds
    guard !name.contains("/"), !name.utf8.contains(0) else {
      throw CommandFailure("\"\(name)\" is not the name of a credential helper: write NAME of docker-credential-NAME")
    }
    let folders = (EnvironmentVariables.get("PATH") ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
    let program = program
    guard let found = folders.lazy.map({ String($0) + "/" + program }).first(where: { access($0, X_OK) == 0 }) else {
      throw CommandFailure(
        "the credential helper \(program) is not on the PATH: install it, or take it out of credsStore and credHelpers")
    }
    path = FilePath(found)
  }

  /// What the helper keeps for `server`; nil when it has nothing.
  func get(_ server: String) throws -> RegistryCredentials? {
    let answer = try run("get", input: server)
    guard answer.succeeded else {
      if Self.words(answer).contains("credentials not found in native keychain") { return nil }
      throw failure("get", answer)
    }
    guard let document = try? JSONValue(parsing: Data(answer.output)), let user = document["Username"]?.stringValue,
      let secret = document["Secret"]?.stringValue
    else { throw CommandFailure("\(program) get did not answer with credentials in JSON") }
    var found = RegistryCredentials(server: server)
    if user == Self.tokenUser {
      found.identityToken = secret
    } else {
      found.username = user
      found.password = secret
    }
    return found.isEmpty ? nil : found
  }

  /// Gives credentials to the helper.
  func store(_ credentials: RegistryCredentials) throws {
    let isToken = !credentials.identityToken.isEmpty
    let document = OrderedJSON.object([
      .init(name: "\"ServerURL\"", value: .string(credentials.server)),
      .init(name: "\"Username\"", value: .string(isToken ? Self.tokenUser : credentials.username)),
      .init(name: "\"Secret\"", value: .string(isToken ? credentials.identityToken : credentials.password)),
    ])
    let answer = try run("store", input: document.pretty)
    guard answer.succeeded else { throw failure("store", answer) }
  }

  /// Has the helper forget `server`; false when it knew nothing of it.
  func erase(_ server: String) throws -> Bool {
    let answer = try run("erase", input: server)
    if answer.succeeded { return true }
    if Self.words(answer).contains("credentials not found in native keychain") { return false }
    throw failure("erase", answer)
  }

  /// The registries that the helper has credentials for.
  func list() throws -> [String] {
    let answer = try run("list", input: "")
    guard answer.succeeded else { throw failure("list", answer) }
    return (try? JSONValue(parsing: Data(answer.output)))?.objectValue?.keys.sorted() ?? []
  }

  private func run(_ verb: String, input: String) throws -> CapturedRun {
    let bytes = Array(input.utf8)
    guard bytes.count <= Self.inputLimit else {
      throw CommandFailure("the credentials are longer than \(Self.inputLimit) bytes, which \(program) cannot be given")
    }
    do {
      // The whole input waits in the pipe when the helper starts: nothing here waits for a helper that reads none.
      let pipe = try Descriptors.pipe()
      try bytes.withUnsafeBytes { try Descriptors.writeAll(pipe.write.rawValue, $0) }
      Descriptors.close(pipe.write.take())
      return try SpawnRequest(
        .path(path), arguments: [program, verb], environment: EnvironmentVariables.all,
        descriptors: [pipe.read.rawValue]
      ).capture(limit: Self.outputLimit, milliseconds: milliseconds)
    } catch let error as Errno {
      throw CommandFailure("the credential helper \(path) cannot be run: \(error)")
    }
  }

  private func failure(_ verb: String, _ answer: CapturedRun) -> CommandFailure {
    if answer.wasCut {
      return CommandFailure(
        "\(program) \(verb) took longer than \(milliseconds / 1000) s, or said more than \(Self.outputLimit) bytes, and "
          + "was ended")
    }
    let words = Self.words(answer)
    return CommandFailure("\(program) \(verb) failed" + (words.isEmpty ? "" : ": \(words)"))
  }

  /// What a helper says of its failure. A secret is no part of that: `get` is the only verb that answers one, and only on
  /// success.
  private static func words(_ answer: CapturedRun) -> String {
    let said = answer.output.isEmpty ? answer.errors : answer.output
    return String(
      String(decoding: said.prefix(500), as: UTF8.self).trimmed.map { $0.isNewline || $0 < " " ? " " : $0 })
  }
}
