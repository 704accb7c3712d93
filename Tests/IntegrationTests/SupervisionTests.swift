import Foundation
import TestSupport
import Testing

/// Restart policies, health checks and events, as a user sees them.
@Suite(.root, .engine, .serialized, .timeLimit(.minutes(5)))
struct SupervisionTests {
  var engine: TestEngine { TestEngine.current }

  func inspect(_ name: String, _ template: String) async throws -> String {
    try await engine.gantry("inspect", "-f", template, name, expecting: nil).trimmed
  }

  /// The actions of the events of one container so far.
  func actions(_ name: String) async throws -> [String] {
    try await engine.gantry(
      "events", "--since", "1h", "--until", "0s", "--filter", "container=\(name)", "--format", "{{.Action}}"
    ).lines.map(String.init)
  }

  @Test func onFailureTriesAsOftenAsItWasTold() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 3")
    try await engine.eventually("it gives up") {
      try await inspect(name, "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}") == "exited 2 3"
    }
    #expect(try await actions(name) == ["create", "start", "die", "start", "die", "start", "die"])
    #expect(try await inspect(name, "{{json .HostConfig.RestartPolicy}}").contains("\"MaximumRetryCount\":2"))
    try await engine.gantry("start", name)
    try await engine.eventually("a start by hand counts anew") {
      try await actions(name).count { $0 == "die" } == 6
    }
    #expect(try await inspect(name, "{{.RestartCount}}") == "2")
    try await engine.gantry("rm", "-f", name)
  }

  @Test func aKilledContainerIsBackAndAStoppedOneIsNot() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "--restart", "always", "busybox", "sleep", "1000")
    let pid = try await inspect(name, "{{.State.Pid}}")
    kill(try #require(Int32(pid)), SIGKILL)
    try await engine.eventually("it is back") {
      let now = try await inspect(name, "{{.State.Running}} {{.State.Restarting}} {{.State.Pid}}")
      return now.hasPrefix("true false ") && now != "true false \(pid)"
    }
    try await engine.gantry("stop", "-t", "0", name)
    #expect(try await inspect(name, "{{.State.Status}}") == "exited")
    try await engine.gantry("rm", name)
  }

  @Test func stopEndsABackOff() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "--restart", "always", "busybox", "sh", "-c", "exit 1")
    try await engine.eventually("it waits a while") {
      try await inspect(name, "{{.State.Status}} {{.RestartCount}}") == "restarting 4"
    }
    let listed = try await engine.gantry("ps", "--filter", "name=\(name)", "--format", "{{.Status}}").trimmed
    #expect(listed.hasPrefix("Restarting (1) "))
    let exec = try await engine.gantry("exec", name, "true", expecting: 1)
    #expect(exec.stderr.contains("is restarting, wait until the container is running"))
    try await engine.gantry("stop", name)
    #expect(try await inspect(name, "{{.State.Status}}") == "exited")
    try await engine.gantry("rm", name)
  }

  @Test func badFlagsAreRefused() async throws {
    let both = try await engine.gantry("run", "--rm", "--restart", "always", "busybox", "true", expecting: 125)
    #expect(both.stderr.contains("conflicting options: cannot specify both --restart and --rm"))
    let policy = try await engine.gantry("run", "--restart", "sometimes", "busybox", "true", expecting: 125)
    #expect(policy.stderr.contains("invalid restart policy: unknown policy 'sometimes'"))
    let off = try await engine.gantry(
      "run", "--no-healthcheck", "--health-cmd", "true", "busybox", "true", expecting: 125)
    #expect(off.stderr.contains("--no-healthcheck conflicts with --health-* options"))
    let name = try await engine.gantry("run", "--health-cmd", "tcp://web:80", "busybox", "true", expecting: 125)
    #expect(name.stderr.contains("\"web\" is no address"))
  }

  @Test(arguments: ["cat /dev/well", "file:///dev/well"]) func healthIsSeenAndTold(command: String) async throws {
    let name = engine.name()
    try await engine.gantry(
      "run", "-d", "--name", name, "--health-cmd", command, "--health-interval", "50ms", "--health-retries", "2",
      "busybox", "sleep", "1000")
    try await engine.eventually("it is unhealthy") {
      try await inspect(name, "{{.State.Health.Status}}") == "unhealthy"
    }
    #expect(try await Int(inspect(name, "{{.State.Health.FailingStreak}}")) ?? 0 >= 2)
    try await engine.gantry("exec", name, "touch", "/dev/well")
    try await engine.eventually("it is healthy") {
      try await engine.gantry("ps", "--filter", "health=healthy", "--format", "{{.Names}}").lines.contains {
        $0 == name
      }
    }
    #expect(
      try await engine.gantry("ps", "--filter", "name=\(name)", "--format", "{{.Status}}").trimmed.hasSuffix(
        "(healthy)"))
    // The verdict is the shim's: services come and go.
    kill(try await engine.pid(of: "gantry-taskd"), SIGKILL)
    kill(try await engine.pid(of: "gantryd"), SIGKILL)
    try await engine.eventually("the services are back", seconds: 20) {
      try await inspect(name, "{{.State.Health.Status}}") == "healthy"
    }
    #expect(
      try await actions(name).filter { $0.hasPrefix("health") }
        == ["health_status: unhealthy", "health_status: healthy"], "the history survives the gateway")
    try await engine.gantry("rm", "-f", name)
  }

  @Test func portsAreProbedInTheContainersNetwork() async throws {
    let name = engine.name()
    try await engine.gantry(
      "run", "-d", "--name", name, "--health-cmd", "http://localhost:8080/etc/hostname", "--health-interval", "50ms",
      "busybox", "httpd", "-f", "-p", "8080", "-h", "/")
    try await engine.eventually("it is healthy") {
      try await inspect(name, "{{.State.Health.Status}}") == "healthy"
    }
    #expect(try await inspect(name, "{{json .Config.Healthcheck.Test}}").hasPrefix("[\"HTTP\""))
    #expect(try await inspect(name, "{{(index .State.Health.Log 0).Output}}").contains("200"))
    try await engine.gantry("rm", "-f", name)
  }

  @Test func unhealthyContainersAreRestarted() async throws {
    let name = engine.name()
    try await engine.gantry(
      "run", "-d", "--name", name, "--health-cmd", "file:///dev/shm/well", "--health-interval", "100ms",
      "--health-retries", "1", "--health-start-period", "30s", "--on-unhealthy", "restart", "--stop-timeout", "0",
      "busybox", "sh", "-c", "touch /dev/shm/well; exec sleep 1000")
    try await engine.eventually("it is healthy") {
      try await inspect(name, "{{.State.Health.Status}}") == "healthy"
    }
    try await engine.gantry("exec", name, "rm", "/dev/shm/well")
    try await engine.eventually("it is restarted and healthy") {
      try await inspect(name, "{{.RestartCount}} {{.State.Health.Status}}") == "1 healthy"
    }
    try await engine.gantry("rm", "-f", name)
  }

  @Test func eventsTellTheWholeLifeInOrder() async throws {
    let name = engine.name()
    try await engine.gantry("create", "--name", name, "busybox", "sleep", "1000")
    try await engine.gantry("start", name)
    try await engine.gantry("exec", name, "true")
    try await engine.gantry("pause", name)
    try await engine.gantry("unpause", name)
    try await engine.gantry("rename", name, name + "x")
    try await engine.gantry("restart", "-t", "0", name + "x")
    try await engine.gantry("kill", name + "x")
    try await engine.gantry("rm", name + "x")
    let seen = try await actions(name)
    #expect(
      seen == [
        "create", "start", "exec_create: true", "exec_start: true", "exec_die", "pause", "unpause", "rename", "kill",
        "kill", "die", "stop", "start", "restart", "kill", "die", "destroy",
      ])
    let fields = try await engine.gantry(
      "events", "--since", "1h", "--until", "0s", "--filter", "container=\(name)", "--filter", "event=create",
      "--format", "{{.Type}} {{.Scope}} {{.From}} {{.Actor.Attributes.name}}")
    #expect(fields.stdout == "container local busybox \(name)\n")
    let json = try await engine.gantry(
      "events", "--since", "1h", "--until", "0s", "--filter", "container=\(name)", "--filter", "event=die", "--format",
      "json")
    #expect(json.lines.count == 2 && json.stdout.contains("\"exitCode\":\"137\""))
  }

  @Test func waitsForWhatItIsTold() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "busybox", "sh", "-c", "sleep 0.2; exit 4")
    #expect(try await engine.gantry("wait", "--condition", "next-exit", name).trimmed == "4")
    async let removed = engine.gantry("wait", "--condition", "removed", name)
    try await engine.gantry("start", name)
    try await engine.gantry("rm", "-f", name)
    _ = try await removed.trimmed
    let bad = try await engine.gantry("wait", "--condition", "never", name, expecting: 125)
    #expect(bad.stderr.contains("not-running, next-exit or removed"))
  }

  @Test func oneThatHangsDoesNotHoldUpTheOthers() async throws {
    let names = (0..<8).map { _ in engine.name("s") }
    for name in names.dropFirst() {
      try await engine.gantry("run", "-d", "--init", "--name", name, "busybox", "sleep", "1000")
    }
    try await engine.gantry(
      "run", "-d", "--name", names[0], "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    let began = ContinuousClock.now
    let slow = Task { try await engine.gantry("stop", "-t", "3", names[0]) }
    try await engine.gantry(["stop"] + names.dropFirst())
    #expect(ContinuousClock.now - began < .seconds(2), "the others did not wait for it")
    _ = try await slow.value
    try await engine.gantry(["rm"] + names)
  }
}
