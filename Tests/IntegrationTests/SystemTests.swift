import TestSupport
import Testing

extension IntegrationTests {
  /// system, version, info, completion and the formats of the lists.
  @Suite struct System {
    var engine: TestEngine { TestEngine.current }

    @Test func statusShowsEveryService() async throws {
      let status = try await engine.gantry("system", "status")
      for service in ["gantryd", "gantry-imaged", "gantry-snapshotd", "gantry-taskd"] {
        #expect(status.lines.contains { $0.hasPrefix(service) && $0.contains(".sock") }, "\(status)")
      }
    }

    @Test func aSecondStartChangesNothing() async throws {
      let before = try await engine.pid(of: "gantryd")
      try await engine.gantry("system", "start")
      #expect(try await engine.pid(of: "gantryd") == before)
    }

    @Test func logsShowWhatAServiceSaid() async throws {
      let logs = try await engine.gantry("system", "logs", "gantryd")
      #expect(logs.stdout.contains("gantryd"))
      try await engine.gantry("system", "logs", "no-such-service", expecting: 1)
    }

    /// Sockets of the engine and of containers answer members of the group, and nobody else.
    @Test func membersOfTheGroupRunAndAttach() async throws {
      let folder = try await Command.shell("mktemp -d /tmp/g-XXXXXX").trimmed
      let environment = ["GANTRY_ROOT": "\(folder)/r", "GANTRY_STATE": "\(folder)/s"]
      let gantry = TestEngine.binaries.appending("gantry").string
      // A copy that everybody can reach.
      _ = try await Command.shell("chmod 711 \(folder); install -m 755 \(gantry) \(folder)/gantry")
      func nobody(_ group: String, _ words: String, expecting: Int32?) async throws -> Output {
        try await Command.run(
          ["setpriv", "--reuid=65534", "--regid=\(group)", "--clear-groups", "sh", "-c", "\(folder)/gantry \(words)"],
          environment: environment, expecting: expecting)
      }
      do {
        _ = try await Command.run([gantry, "system", "start", "--group", "65533"], environment: environment)
        let image = try await TestImage.busybox().string
        _ = try await Command.run([gantry, "load", "-q", "-i", image], environment: environment)
        let run = try await nobody("65533", "run --rm -i busybox cat </etc/hostname", expecting: nil)
        let hostname = try await Command.shell("cat /etc/hostname").stdout
        #expect(run.status == 0 && run.stdout == hostname, "\(run)")
        let refused = try await nobody("65534", "ps", expecting: nil)
        #expect(refused.status != 0 && refused.stderr.contains("ermission"), "\(refused)")
      } catch {
        _ = try? await Command.run([gantry, "system", "stop"], environment: environment)
        throw error
      }
      _ = try await Command.run([gantry, "system", "stop"], environment: environment)
      _ = try await Command.shell("rm -rf \(folder)")
    }

    @Test func stopLeavesContainersAndStartFindsThem() async throws {
      let own = try await TestEngine.start()
      let name = own.name()
      try await own.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
      let pid = try await own.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      try await own.gantry("system", "stop")
      try await own.gantry("system", "status", expecting: 1)
      _ = try await Command.shell("kill -0 \(pid)")
      try await own.gantry("system", "start", seconds: 120)
      #expect(try await own.gantry("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", name).trimmed == "\(pid) true")
      let lines = try await own.gantry("logs", name).lines
      #expect(lines.map { Int($0)! } == Array(1...lines.count))
      try await own.gantry("rm", "-f", name)
      try await own.stop()
    }

    @Test func versionAndInfo() async throws {
      let client = try await engine.gantry("version", "--client")
      #expect(client.stdout.contains("Version"))
      #expect(try await engine.gantry("version", "--format", "{{.Server.Version}}").trimmed.isEmpty == false)
      let info = try await engine.gantry("info", "--format", "{{.Driver}} {{.OSType}} {{.NCPU}}")
      #expect(info.trimmed.hasPrefix("overlay2 linux "))
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func completion(shell: String) async throws {
      let script = try await engine.gantry("completion", shell)
      #expect(script.stdout.contains("gantry") && script.stdout.contains("inspect"))
      let file = engine.folder.appending("completion.\(shell)")
      _ = try await Command.run([TestEngine.binaries.appending("gantry").string, "completion", shell])
      if shell == "bash" {
        _ = try await Command.shell("cat >\(file) <<'END'\n\(script.stdout)\nEND\nbash -n \(file)")
      }
    }

    @Test func helpShowsExamples() async throws {
      for command in ["run", "ps", "exec", "logs", "load"] {
        let help = try await engine.gantry(command, "--help")
        #expect(help.stdout.contains("gantry \(command)"), "\(command)")
      }
    }

    @Test func formats() async throws {
      let name = engine.name()
      try await engine.gantry("create", "--name", name, "busybox", "true")
      let filter = ["--filter", "name=\(name)"]
      #expect(
        try await engine.gantry(["ps", "-a", "--format", "{{range .}}{{end}}x"] + filter, expecting: nil).status != 139)
      #expect(
        try await engine.gantry(["ps", "-a", "--format", "{{upper .Names}}"] + filter).trimmed == name.uppercased())
      let json = try await engine.gantry(["ps", "-a", "--format", "json"] + filter)
      #expect(json.trimmed.hasPrefix("{") && json.stdout.contains("\"Names\":\"\(name)\""))
      let table = try await engine.gantry(["ps", "-a", "--format", "table {{.Names}}\t{{.Image}}"] + filter)
      #expect(table.lines[0].hasPrefix("NAMES") && table.lines[1].contains("busybox"))
      let bad = try await engine.gantry(["ps", "-a", "--format", "{{.Names"] + filter, expecting: nil)
      #expect(bad.status != 0 && bad.stderr.contains("{{.Names"))
      try await engine.gantry("rm", name)
    }
  }
}
