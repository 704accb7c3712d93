internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import SystemPackage

/// Docker's `config.json`, which Gantry shares with it: `auths` (credentials in the clear), `credsStore` and `credHelpers`
/// (programs that keep them). Everything else in it stays as it is.
///
///     {"auths": {"HOST": {"auth": base64(NAME:PASSWORD), "identitytoken": "…"}}, "credsStore": "pass",
///      "credHelpers": {"HOST": "ecr-login"}, …}
struct DockerConfigFile {
  private static let sizeLimit = 4 << 20

  /// Where it is: `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
  let path: FilePath
  private var document = OrderedJSON.object([])

  /// Reads the file; a missing one is empty.
  ///
  /// - Parameter folder: the folder it is in, `--config`; nil for the usual place.
  init(folder: String?, environment: (String) -> String? = EnvironmentVariables.get) throws {
    path = try Self.folder(folder, environment).appending("config.json")
    let bytes: [UInt8]
    do {
      bytes = try Files.read(path.string, limit: Self.sizeLimit)
    } catch Errno.noSuchFileOrDirectory {
      return
    } catch {
      throw CommandFailure("the file of credentials \(path) cannot be read: \(error)")
    }
    do {
      document = try OrderedJSON(parsing: bytes)
    } catch {
      throw CommandFailure("\(path) is not JSON: see its line \(error.line)")
    }
    guard case .object = document else { throw CommandFailure("\(path) is not a JSON object") }
  }

  /// Docker's folder of a person's own: `chosen`, `$DOCKER_CONFIG`, or `~/.docker`.
  static func folder(
    _ chosen: String?, _ environment: (String) -> String? = EnvironmentVariables.get
  ) throws -> FilePath {
    if let folder = chosen ?? environment("DOCKER_CONFIG"), !folder.isEmpty {
      return FilePath(AbsolutePath.join(WorkingFolder.path, folder))
    }
    let home = environment("HOME") ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_dir) } ?? ""
    guard !home.isEmpty else {
      throw CommandFailure("there is no home folder to keep credentials in: set HOME or DOCKER_CONFIG")
    }
    return FilePath(home).appending(".docker")
  }

  // MARK: Who keeps what

  /// The program that keeps the credentials of `server`: NAME of `docker-credential-NAME`; nil when this file does.
  func helper(for server: String) -> String? {
    let name = document["credHelpers"]?[server]?.text ?? document["credsStore"]?.text ?? ""
    return name.isEmpty ? nil : name
  }

  /// The registries that the file names, with credentials or without.
  var servers: [String] { document["auths"]?.names ?? [] }

  /// The credentials of `server` in the file. Older files have it with its scheme, or a path.
  func credentials(for server: String) throws -> RegistryCredentials? {
    guard let entries = document["auths"] else { return nil }
    let host = RegistryServer.host(of: server)
    guard
      let key = entries[server] != nil ? server : entries.names.first(where: { RegistryServer.host(of: $0) == host }),
      let entry = entries[key]
    else { return nil }
    var found = RegistryCredentials(server: server)
    found.username = entry["username"]?.text ?? ""
    found.password = entry["password"]?.text ?? ""
    found.identityToken = entry["identitytoken"]?.text ?? ""
    found.registryToken = entry["registrytoken"]?.text ?? ""
    if let auth = entry["auth"]?.text, !auth.isEmpty {
      guard let pair = Self.decoded(auth) else {
        throw CommandFailure("the entry auths.\(key) in \(path) cannot be read: log in again with gantry login")
      }
      (found.username, found.password) = pair
    }
    return found.isEmpty ? nil : found
  }

  /// `NAME:PASSWORD` from base64. Docker fills short ones with NULs.
  private static func decoded(_ auth: String) -> (String, String)? {
    guard let data = Data(base64Encoded: auth), let text = String(validating: data, as: UTF8.self),
      let colon = text.firstIndex(of: ":")
    else { return nil }
    var password = text[text.index(after: colon)...]
    while password.last == "\0" { password = password.dropLast() }
    return (String(text[..<colon]), String(password))
  }

  // MARK: Changes

  /// Keeps credentials in the file, in the clear.
  mutating func set(_ credentials: RegistryCredentials, for server: String) {
    let hasName = !credentials.username.isEmpty || !credentials.password.isEmpty
    let pair = Data("\(credentials.username):\(credentials.password)".utf8).base64EncodedString()
    change(server) { entry in
      entry["auth"] = hasName ? .string(pair) : nil
      entry["identitytoken"] = credentials.identityToken.isEmpty ? nil : .string(credentials.identityToken)
      entry["registrytoken"] = credentials.registryToken.isEmpty ? nil : .string(credentials.registryToken)
      entry["username"] = nil
      entry["password"] = nil
    }
  }

  /// Notes that a helper keeps the credentials of `server`: an entry without any.
  mutating func noteKept(_ server: String) { change(server) { $0 = .object([]) } }

  private mutating func change(_ server: String, _ body: (inout OrderedJSON) -> Void) {
    var entries = document["auths"] ?? .object([])
    var entry = entries[server] ?? .object([])
    if case .object = entries {} else { entries = .object([]) }
    if case .object = entry {} else { entry = .object([]) }
    body(&entry)
    entries[server] = entry
    document["auths"] = entries
  }

  /// Removes the entry of `server`; false when there is none.
  mutating func remove(_ server: String) -> Bool {
    guard var entries = document["auths"], entries[server] != nil else { return false }
    entries[server] = nil
    document["auths"] = entries
    return true
  }

  /// Writes the file, whole or not at all, for its owner alone. A link is followed: what it leads to is replaced.
  func save() throws {
    let target = realpath(path.string, nil)
    defer { free(target) }
    let place = target.map { FilePath(String(cString: $0)) } ?? path
    let before = try? FileStatus(place.string)
    do {
      try Files.makeDirectories(place.removingLastComponent(), mode: 0o700)
      try DurableFile.write(place, Array(document.pretty.utf8), mode: 0o600)
    } catch {
      throw CommandFailure("\(path) cannot be written: \(error)")
    }
    // With sudo the home folder may be that of another user, who must be able to read the file afterwards.
    if let before, before.uid != geteuid() || before.gid != getegid() {
      _ = lchown(place.string, before.uid, before.gid)
    }
  }
}
