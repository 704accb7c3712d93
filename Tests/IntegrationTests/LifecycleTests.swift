import TestSupport
import Testing

extension IntegrationTests {
  /// create, start, stop, kill, restart, rm, rename, wait, pause, ps, inspect, events.
  @Suite struct Lifecycle {
    var engine: TestEngine { TestEngine.current }

    func sleeper(_ flags: String...) async throws -> String {
      let name = engine.name()
      try await engine.gantry(["run", "-d", "--name", name] + flags + ["busybox", "sleep", "1000"])
      return name
    }

    func state(_ name: String) async throws -> String {
      try await engine.gantry("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).trimmed
    }

    @Test func whatIsSoAlreadyIsNoFailure() async throws {
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
      #expect(try await engine.gantry("start", name).stdout == "\(name)\n")
      try await engine.gantry("stop", "-t", "0", name)
      #expect(try await engine.gantry("stop", name).stdout == "\(name)\n")
      try await engine.gantry("rm", name)
    }

    @Test func createStartWaitRemove() async throws {
      let name = engine.name()
      try await engine.gantry("create", "--name", name, "busybox", "sh", "-c", "echo hello; exit 3")
      #expect(try await state(name) == "created 0")
      try await engine.gantry("start", name)
      #expect(try await engine.gantry("wait", name).trimmed == "3")
      #expect(try await state(name) == "exited 3")
      #expect(try await engine.gantry("logs", name).stdout == "hello\n")
      #expect(try await engine.gantry("start", "-a", name, expecting: 3).stdout == "hello\n")
      #expect(try await engine.gantry("logs", name).stdout == "hello\nhello\n")
      try await engine.gantry("rm", name)
      let gone = try await engine.gantry("start", name, expecting: 1)
      #expect(gone.stderr.contains("No such container: \(name)"))
    }

    @Test func stopAsksFirstAndKillsAfter() async throws {
      let polite = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", polite, "busybox", "sh", "-c",
        "trap 'echo bye; exit 5' TERM; while :; do sleep 0.05; done")
      try await engine.gantry("stop", polite)
      #expect(try await state(polite) == "exited 5")
      #expect(try await engine.gantry("logs", polite).stdout == "bye\n")
      let deaf = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", deaf, "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
      try await engine.gantry("stop", "-t", "1", deaf)
      #expect(try await state(deaf) == "exited 137")
      let custom = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", custom, "--stop-signal", "USR1", "busybox", "sh", "-c",
        "trap 'exit 9' USR1; while :; do sleep 0.05; done")
      try await engine.gantry("stop", custom)
      #expect(try await state(custom) == "exited 9")
      try await engine.gantry("rm", polite, deaf, custom)
    }

    @Test func killSendsTheSignal() async throws {
      let name = try await sleeper("--init")
      try await engine.gantry("kill", "-s", "INT", name)
      #expect(try await engine.gantry("wait", name).trimmed == "130")
      let again = try await engine.gantry("kill", name, expecting: 1)
      #expect(again.stderr.contains("is not running"))
      try await engine.gantry("rm", name)
    }

    @Test func restartRunsAgain() async throws {
      let name = try await sleeper("--stop-timeout", "0")
      let first = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      try await engine.gantry("restart", name)
      let second = try await engine.gantry("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", name).trimmed
      #expect(second.hasSuffix(" true") && !second.hasPrefix("\(first) "))
      try await engine.gantry("rm", "-f", name)
    }

    @Test func aRunningContainerIsNotRemovedWithoutForce() async throws {
      let name = try await sleeper()
      let refused = try await engine.gantry("rm", name, expecting: 1)
      #expect(refused.stderr.contains("-f") || refused.stderr.contains("force"))
      #expect(try await state(name) == "running 0")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func namesClashPrefixesAndRename() async throws {
      let name = try await sleeper()
      let clash = try await engine.gantry("create", "--name", name, "busybox", expecting: 1)
      #expect(clash.stderr.contains("is already in use by container"))
      let id = try await engine.gantry("inspect", "-f", "{{.Id}}", name).trimmed
      #expect(try await engine.gantry("inspect", "-f", "{{.Name}}", String(id.prefix(12))).trimmed == "/\(name)")
      let other = engine.name()
      try await engine.gantry("rename", name, other)
      #expect(try await engine.gantry("inspect", "-f", "{{.Id}}", other).trimmed == id)
      try await engine.gantry("inspect", name, expecting: 1)
      try await engine.gantry("rm", "-f", other)
    }

    @Test func generatedNamesAreTwoWords() async throws {
      let id = try await engine.gantry("create", "busybox").trimmed
      let name = try await engine.gantry("inspect", "-f", "{{.Name}}", id).trimmed
      #expect(name.wholeMatch(of: /\/[a-z]+_[a-z]+/) != nil, "\(name)")
      try await engine.gantry("rm", id)
    }

    @Test func pauseStopsTheProcessesAndUnpauseLetsThemGoOn() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done")
      try await engine.gantry("pause", name)
      #expect(try await state(name) == "paused 0")
      let before = try await engine.gantry("logs", "--tail", "1", name).stdout
      try await engine.gantry("exec", name, "true", expecting: 1)
      #expect(try await engine.gantry("logs", "--tail", "1", name).stdout == before)
      try await engine.gantry("unpause", name)
      try await engine.eventually("the loop goes on") {
        try await engine.gantry("logs", "--tail", "1", name).stdout != before
      }
      try await engine.gantry("rm", "-f", name)
    }

    @Test func listsAndFilters() async throws {
      let label = engine.name("label")
      let up = try await sleeper("--label", "which=\(label)")
      let down = engine.name()
      try await engine.gantry(
        "run", "--name", down, "--label", "which=\(label)", "busybox", "sh", "-c", "exit 4", expecting: 4)
      let filter = ["--filter", "label=which=\(label)"]
      let names = ["--format", "{{.Names}}"]
      #expect(try await engine.gantry(["ps"] + filter + names).trimmed == up)
      #expect(Set(try await engine.gantry(["ps", "-a"] + filter + names).lines.map(String.init)) == [up, down])
      #expect(try await engine.gantry(["ps", "-a", "--filter", "exited=4"] + filter + names).trimmed == down)
      #expect(try await engine.gantry(["ps", "-a", "--filter", "status=running"] + filter + names).trimmed == up)
      let table = try await engine.gantry(["ps", "-a"] + filter)
      #expect(table.lines[0].hasPrefix("CONTAINER ID   IMAGE"))
      #expect(table.stdout.contains("Exited (4)") && table.stdout.contains("Up "))
      try await engine.gantry(["ps", "--filter", "no-such=filter"], expecting: 1)
      try await engine.gantry("rm", "-f", up, down)
    }

    @Test func inspectHasDockersShape() async throws {
      let name = try await sleeper("-e", "A=1")
      let wanted = """
        {{.Path}} {{json .Args}} {{.State.Running}} {{.Config.Image}} {{.HostConfig.NetworkMode}} {{.Driver}} \
        {{.RestartCount}} {{len .Id}} {{index .Config.Env 0}}
        """
      #expect(
        try await engine.gantry("inspect", "-f", wanted, name).trimmed
          == "sleep [\"1000\"] true busybox none overlay2 0 64 A=1")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func eventsComeInOrder() async throws {
      let name = engine.name()
      try await engine.gantry("run", "--name", name, "busybox", "true")
      try await engine.gantry("rm", name)
      let events = try await engine.gantry(
        "events", "--since", "10m", "--until", "0s", "--filter", "container=\(name)", "--format", "{{.Action}}")
      let actions = events.lines.map(String.init)
      let order = ["create", "start", "die", "destroy"]
      #expect(actions.filter(order.contains) == order)
    }
  }

  /// exec and attach.
  @Suite struct Exec {
    var engine: TestEngine { TestEngine.current }

    @Test func runsBesideTheFirstProcess() async throws {
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "-e", "A=1", "busybox", "sleep", "1000")
      #expect(try await engine.gantry("exec", "-e", "B=2", name, "sh", "-c", "echo $A$B").trimmed == "12")
      #expect(try await engine.gantry("exec", "-w", "/etc", name, "pwd").trimmed == "/etc")
      #expect(try await engine.gantry("exec", "-u", "1:2", name, "sh", "-c", "id -u; id -g").trimmed == "1\n2")
      #expect(try await engine.gantry("exec", "-i", name, "cat", input: "through").trimmed == "through")
      try await engine.gantry("exec", name, "sh", "-c", "exit 42", expecting: 42)
      let missing = try await engine.gantry("exec", name, "no-such", expecting: 127)
      #expect(missing.stderr.contains("no-such"))
      try await engine.gantry("exec", name, "/etc", expecting: 126)
      #expect(try await engine.gantry("exec", name, "cat", "/proc/1/comm").trimmed == "sleep")
      try await engine.gantry("exec", "-d", name, "touch", "/tmp/detached")
      try await engine.eventually("the detached exec ran") {
        try await engine.gantry("exec", name, "test", "-e", "/tmp/detached", expecting: nil).status == 0
      }
      try await engine.gantry("rm", "-f", name)
      try await engine.gantry("exec", name, "true", expecting: 1)
    }

    @Test func aTerminalForExec() async throws {
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
      let output = try await Command.run(
        ["script", "-qec", "\(TestEngine.binaries)/gantry exec -it \(name) tty", "/dev/null"],
        environment: engine.environment)
      #expect(output.stdout.contains("/dev/pts/"))
      try await engine.gantry("rm", "-f", name)
    }

    @Test func attachSeesOutputAndTheExitCode() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "-i", "--name", name, "busybox", "sh", "-c", "read line; echo got $line; exit 6")
      let output = try await engine.gantry("attach", name, input: "hello\n", expecting: 6)
      #expect(output.stdout == "got hello\n")
      try await engine.gantry("rm", name)
    }
  }

  /// logs.
  @Suite struct Logs {
    var engine: TestEngine { TestEngine.current }

    @Test func tailSinceTimestampsAndStreams() async throws {
      let name = engine.name()
      try await engine.gantry("run", "--name", name, "busybox", "sh", "-c", "seq 1 1000; echo problem >&2")
      #expect(try await engine.gantry("logs", name).lines.count == 1000)
      #expect(try await engine.gantry("logs", name).stderr == "problem\n")
      let tail = try await engine.gantry("logs", "--tail", "3", name)
      #expect(tail.stdout == "999\n1000\n" && tail.stderr == "problem\n")
      let stamped = try await engine.gantry("logs", "-t", "-n", "2", name)
      #expect(stamped.lines.first?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z 1000/) != nil)
      #expect(try await engine.gantry("logs", "--since", "1h", name).lines.count == 1000)
      #expect(try await engine.gantry("logs", "--until", "1h", name).lines.isEmpty)
      try await engine.gantry("rm", name)
    }

    @Test func followEndsWithTheContainer() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
      #expect(try await engine.gantry("logs", "-f", name).stdout == "1\n2\n3\n")
      try await engine.gantry("rm", name)
    }

    @Test func rotationKeepsTheNewest() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "--name", name, "--log-opt", "max-size=10k", "--log-opt", "max-file=2", "busybox", "seq", "1", "5000")
      let lines = try await engine.gantry("logs", name).lines
      #expect(lines.last == "5000")
      #expect(lines.count < 1000 && lines.count > 50)
      #expect(lines.map { Int($0)! } == Array((5001 - lines.count)...5000))
      try await engine.gantry("rm", name)
    }

    @Test func hostileBytesStayOneLineOfJSON() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "--name", name, "busybox", "printf", "a\\033[31m\\\"\\\\\\377\\001 z\\n")
      let path = try await engine.gantry("inspect", "-f", "{{.LogPath}}", name).trimmed
      let parsed = try await Command.shell("jq -r .log \(path) | wc -l")
      #expect(parsed.trimmed == "2")
      try await engine.gantry("rm", name)
    }
  }
}
