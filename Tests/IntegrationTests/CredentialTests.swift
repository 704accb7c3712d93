import Foundation
import SystemPackage
import TestSupport
import Testing

/// Logging in and out, with Docker's file and with helpers.
@Suite(.root, .engine, .timeLimit(.minutes(5)))
struct CredentialTests {
  var engine: TestEngine { .current }

  /// A folder for Docker's file, gone after `body`.
  private func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = engine.folder.appending(engine.name("docker")).string
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
  }

  private func gantry(
    _ folder: String, _ words: String..., input: String = "", path: String? = nil, expecting: Int32? = 0
  ) async throws -> Output {
    var environment = ["DOCKER_CONFIG": folder]
    if let path { environment["PATH"] = "\(path):/usr/bin:/bin" }
    return try await engine.gantry(words, input: input, environment: environment, expecting: expecting)
  }

  @Test(arguments: [TestRegistry.Access.basic, .token()])
  func loginIsCheckedAndKept(access: TestRegistry.Access) async throws {
    let registry = try await TestRegistry.start(access)
    defer { try? registry.stop() }
    try await withFolder { folder in
      let file = folder + "/config.json"
      try #"{"detachKeys": "ctrl-e", "mine": 1.0}"#.write(toFile: file, atomically: true, encoding: .utf8)
      let wrong = try await gantry(
        folder, "login", "-u", TestRegistry.user, "--password-stdin", registry.host, input: "not-it\n", expecting: 1)
      #expect(wrong.stderr.contains("does not accept these credentials"))
      #expect(!wrong.description.contains("not-it"))
      let right = try await gantry(
        folder, "login", "-u", TestRegistry.user, "--password-stdin", registry.host,
        input: TestRegistry.password + "\n")
      #expect(right.stdout == "Login Succeeded\n")
      #expect(right.stderr.contains("WARNING! Your credentials are stored unencrypted in '\(file)'."))
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(text.contains("\"detachKeys\": \"ctrl-e\"") && text.contains("\"mine\": 1.0"))
      let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
      #expect(mode == 0o600)
      if case .token = access {
        // The token service gave a refresh token: the password is not kept.
        let kept = Data(TestRegistry.user.utf8 + [UInt8(ascii: ":")]).base64EncodedString()
        #expect(text.contains("\"identitytoken\": \"refresh-") && text.contains("\"auth\": \"\(kept)\""))
      }
      let own = "\(registry.host)/private/box:1"
      _ = try await gantry(folder, "tag", "busybox", own)
      _ = try await gantry(folder, "push", "-q", own)
      if case .basic = access {
        // skopeo reads the same file: it is Docker's.
        _ = try await Command.run([
          "skopeo", "inspect", "--tls-verify=false", "--authfile", file, "docker://\(own)",
        ])
      }
      let again = try await gantry(folder, "login", registry.host)
      #expect(again.stderr.contains("Authenticating with existing credentials... [Username: \(TestRegistry.user)]"))
      #expect(try await gantry(folder, "logout", registry.host).stdout.hasPrefix("Removing login credentials for"))
      #expect(try await gantry(folder, "logout", registry.host).stdout.hasPrefix("Not logged in to"))
      let refused = try await gantry(folder, "push", own, expecting: 1)
      #expect(refused.stderr.contains("log in"))
      _ = try await gantry(folder, "rmi", own)
    }
    let logs = try await Command.shell("cat \(engine.root)/log/*.log")
    #expect(!logs.stdout.contains(TestRegistry.password) && !logs.stdout.contains("not-it"))
  }

  @Test func theCommandLineIsCheckedAsByDocker() async throws {
    try await withFolder { folder in
      let both = try await gantry(folder, "login", "-p", "x", "--password-stdin", "h:1", expecting: 1)
      #expect(both.stderr.contains("WARNING! Using --password via the CLI is insecure. Use --password-stdin."))
      #expect(both.stderr.contains("mutually exclusive"))
      let nobody = try await gantry(folder, "login", "--password-stdin", "h:1", expecting: 1)
      #expect(nobody.stderr.contains("Must provide --username with --password-stdin"))
      let silent = try await gantry(folder, "login", "h:1", expecting: 1)
      #expect(silent.stderr.contains("Cannot perform an interactive login from a non TTY device"))
    }
  }

  @Test func aTerminalDoesNotShowThePassword() async throws {
    let registry = try await TestRegistry.start(.basic)
    defer { try? registry.stop() }
    try await withFolder { folder in
      let script = """
        import os, pty, select, sys, time
        def until(text, screen=b""):
            end = time.monotonic() + 30
            while text not in screen and time.monotonic() < end:
                if select.select([fd], [], [], 1)[0]:
                    try: piece = os.read(fd, 4096)
                    except OSError: break
                    screen += piece
            return screen
        pid, fd = pty.fork()
        if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
        screen = until(b"Username: ")
        os.write(fd, b"\(TestRegistry.user)\\n")
        screen = until(b"Password: ", screen)
        os.write(fd, b"\(TestRegistry.password)\\n")
        screen = until(b"Login Succeeded", screen)
        print(screen.decode())
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
      let output = try await Command.run(
        ["/usr/bin/python3", "-c", script, TestEngine.binaries.appending("gantry").string, "login", registry.host],
        environment: engine.environment.merging(["DOCKER_CONFIG": folder]) { $1 })
      #expect(output.stdout.contains("Login Succeeded"))
      #expect(!output.stdout.contains(TestRegistry.password))
    }
  }

  @Test func helpersKeepCredentials() async throws {
    let registry = try await TestRegistry.start(.basic)
    defer { try? registry.stop() }
    try await withFolder { folder in
      // The protocol, in a file of its own for each server.
      let helper = """
        #!/bin/sh
        echo "$1" >>\(folder)/verbs
        case $1 in
          store) cat >\(folder)/kept ;;
          get) server=$(cat); if grep -qs "$server" \(folder)/kept; then cat \(folder)/kept
               else echo 'credentials not found in native keychain'; exit 1; fi ;;
          erase) rm -f \(folder)/kept ;;
          list) echo '{}' ;;
        esac
        """
      let path = folder + "/docker-credential-test"
      try helper.write(toFile: path, atomically: true, encoding: .utf8)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      let file = folder + "/config.json"
      try #"{"credsStore": "test"}"#.write(toFile: file, atomically: true, encoding: .utf8)
      let login = try await gantry(
        folder, "login", "-u", TestRegistry.user, "--password-stdin", registry.host, input: TestRegistry.password,
        path: folder)
      #expect(login.stdout == "Login Succeeded\n" && !login.stderr.contains("unencrypted"))
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(text.contains("\"\(registry.host)\": {}") && !text.contains("auth\":"))
      #expect(try String(contentsOfFile: folder + "/kept", encoding: .utf8).contains(TestRegistry.password))
      let name = "\(registry.host)/helped:1"
      _ = try await gantry(folder, "tag", "busybox", name)
      _ = try await gantry(folder, "push", "-q", name, path: folder)
      _ = try await gantry(folder, "logout", registry.host, path: folder)
      #expect(!FileManager.default.fileExists(atPath: folder + "/kept"))
      _ = try await gantry(folder, "rmi", name)

      // Without the helper, what needs credentials goes on without them, and says so.
      let missing = try await gantry(folder, "image", "tags", "\(registry.host)/helped", expecting: 1)
      #expect(missing.stderr.contains("docker-credential-test is not on the PATH"))
      let failing = "#!/bin/sh\necho 'the vault is sealed'; exit 3\n"
      try failing.write(toFile: path, atomically: true, encoding: .utf8)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      let sealed = try await gantry(folder, "image", "tags", "\(registry.host)/helped", path: folder, expecting: 1)
      #expect(sealed.stderr.contains("docker-credential-test get failed: the vault is sealed"))
      let endless = "#!/bin/sh\nexec cat /dev/zero\n"
      try endless.write(toFile: path, atomically: true, encoding: .utf8)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      let flooded = try await gantry(folder, "image", "tags", "\(registry.host)/helped", path: folder, expecting: 1)
      #expect(flooded.stderr.contains("said more than"))
    }
  }
}
