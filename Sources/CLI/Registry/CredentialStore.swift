internal import OCI
internal import Protocol

/// Where credentials of registries are kept: in Docker's file, or by the helpers that it names.
struct CredentialStore {
  private let folder: String?

  /// - Parameter folder: `--config`; nil for Docker's usual place.
  init(folder: String?) { self.folder = folder }

  /// What is kept for `server`.
  func credentials(for server: String) throws -> RegistryCredentials? {
    let file = try DockerConfigFile(folder: folder)
    guard let helper = file.helper(for: server) else { return try file.credentials(for: server) }
    return try CredentialHelper(named: helper).get(server)
  }

  /// Keeps credentials. Without a helper they are in the clear, which is said as Docker says it.
  func store(_ credentials: RegistryCredentials) throws {
    var file = try DockerConfigFile(folder: folder)
    let server = credentials.server
    if let helper = file.helper(for: server) {
      try CredentialHelper(named: helper).store(credentials)
      file.noteKept(server)
      return try file.save()
    }
    file.set(credentials, for: server)
    try file.save()
    Output.note(
      """

      WARNING! Your credentials are stored unencrypted in '\(file.path)'.
      Configure a credential helper to remove this warning. See
      https://docs.docker.com/go/credential-store/


      """)
  }

  /// Forgets what is kept for `server`, under each of the names that it may have. False when nothing was known.
  func erase(_ server: String) throws -> Bool {
    var file = try DockerConfigFile(folder: folder)
    var names = [server]
    if server != RegistryServer.hub { names += ["http://\(server)", "https://\(server)"] }
    var wasKnown = false
    for name in names {
      let isListed = file.servers.contains(name)
      if let helper = file.helper(for: name), isListed || name == server {
        wasKnown = try CredentialHelper(named: helper).erase(name) || wasKnown
      }
      if file.remove(name) { wasKnown = true }
    }
    if wasKnown { try file.save() }
    return wasKnown
  }

  /// The registries that something is kept for.
  func servers() throws -> [String] {
    let file = try DockerConfigFile(folder: folder)
    let kept = try file.helper(for: "").map { try CredentialHelper(named: $0).list() } ?? []
    return Set(file.servers + kept).sorted()
  }
}

extension Session {
  /// Where this command's credentials are kept.
  var credentials: CredentialStore { CredentialStore(folder: options.configFolder) }

  /// What to send with a call that is about the registry `domain` (the host of an image's name); nil when nothing is kept.
  /// Credentials that cannot be had are no reason not to try without: most images need none.
  func registryAuth(domain: String) -> RegistryAuth? {
    let server = RegistryServer.key(domain)
    do {
      return try credentials.credentials(for: server)?.auth
    } catch {
      let words = (error as? CommandFailure)?.message ?? "\(error)"
      Output.note("WARNING: going on without credentials for \(server): \(words)\n")
      return nil
    }
  }

  /// The same for the registry of an image's name; nil also for what is no name, such as an id.
  func registryAuth(image: String) -> RegistryAuth? {
    (try? Reference(parsing: image)).flatMap { registryAuth(domain: $0.domain) }
  }
}
