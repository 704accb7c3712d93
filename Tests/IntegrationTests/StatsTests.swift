import Foundation
import TestSupport
import Testing

extension IntegrationTests {
  /// stats, top, port, info, sizes, metrics.
  @Suite struct Stats {
    var engine: TestEngine { TestEngine.current }

    private func container(_ flags: [String], _ command: String...) async throws -> String {
      let name = engine.name()
      try await engine.gantry(["run", "-d", "--name", name] + flags + ["busybox"] + command)
      return name
    }

    /// `Name CPU% …` of one container, once.
    private func fields(_ name: String, _ format: String) async throws -> String {
      try await engine.gantry("stats", "--no-stream", "--format", format, name).trimmed
    }

    @Test func aBusyContainerUsesItsShareAndASleeperNone() async throws {
      let busy = try await container(["--cpus", "0.5"], "sh", "-c", "while :; do :; done")
      let idle = try await container(["-m", "64m", "--pids-limit", "50"], "sleep", "1000")
      let lines = try await engine.gantry(
        "stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", busy, idle
      ).lines
      #expect(lines.count == 2 && lines[0].hasPrefix(busy) && lines[1].hasPrefix(idle))
      let share = try #require(Double(lines[0].split(separator: " ")[1].dropLast()))
      #expect(share > 10 && share < 90, "half a processor, on a machine that others use: \(share)")
      #expect(lines[1].contains(" 0.0") && lines[1].contains("/ 64MiB") && lines[1].hasSuffix(" 1"))
      try await engine.gantry("rm", "-f", busy, idle)
    }

    @Test func memoryLeavesOutFileCacheAndCountsAnonymous() async throws {
      let name = try await container(
        [], "sh", "-c",
        "dd if=/dev/zero of=/file bs=1M count=40 2>/dev/null; dd if=/dev/zero of=/dev/shm/x bs=1M count=10 2>/dev/null; touch /ready; sleep 1000"
      )
      try await engine.eventually("the files are written") {
        try await engine.gantry("exec", name, "test", "-e", "/ready", expecting: nil).status == 0
      }
      let usage = try await fields(name, "{{.MemUsage}}")
      let megabytes = try #require(
        usage.contains("MiB /") ? Double(usage.prefix { $0.isNumber || $0 == "." }) : nil, "\(usage)")
      #expect(megabytes > 9 && megabytes < 40, "10 MiB of shared memory, 40 of file cache: \(usage)")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func streamsUntilItIsEndedAndRedrawsOnATerminal() async throws {
      let name = try await container([], "sleep", "1000")
      let gantry = TestEngine.binaries.appending("gantry")
      let variables = engine.environment.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      let plain = try await Command.shell(
        "\(variables) timeout 2.5 \(gantry) stats --format '{{.Name}} {{.CPUPerc}}' \(name) || true")
      #expect(plain.lines.count >= 2 && plain.lines.allSatisfy { $0.hasPrefix(name) }, "\(plain)")
      #expect(plain.lines.first == "\(name) --" && !plain.stdout.contains("\u{1B}"))
      let drawn = try await Command.shell(
        "script -qec '\(variables) timeout 1.5 \(gantry) stats \(name)' /dev/null </dev/null || true")
      #expect(drawn.stdout.contains("\u{1B}[HCONTAINER ID") && drawn.stdout.contains("\u{1B}[J"), "\(drawn)")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func stoppedOnesShowWhenAsked() async throws {
      let name = engine.name()
      try await engine.gantry("run", "--name", name, "busybox", "true")
      #expect(try await !engine.gantry("stats", "--no-stream").stdout.contains(name))
      #expect(try await engine.gantry("stats", "--no-stream", "-a").stdout.contains(name))
      #expect(try await fields(name, "{{.CPUPerc}} {{.PIDs}}") == "0.00% 0")
      let json = try await engine.gantry("stats", "--no-stream", "--format", "json", name).trimmed
      let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: String])
      #expect(
        Set(object.keys) == [
          "BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs",
        ])
      let missing = try await engine.gantry("stats", "--no-stream", "nosuch", expecting: 1)
      #expect(missing.stderr.contains("No such container: nosuch"))
      try await engine.gantry("rm", name)
    }

    @Test func topShowsTheContainersProcessesAlone() async throws {
      let name = try await container([], "sh", "-c", "sleep 1001 & sleep 1002")
      let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      try await engine.eventually("both have started") {
        try await engine.gantry("top", name).lines.count == 3
      }
      let usual = try await engine.gantry("top", name)
      #expect(usual.lines[0].hasPrefix("UID                 PID                 PPID "))
      #expect(usual.lines.contains { $0.contains(pid) } && usual.stdout.contains("sleep 1002"))
      let chosen = try await engine.gantry("top", name, "-o", "pid,args")
      #expect(chosen.lines[0].split(separator: " ") == ["PID", "COMMAND"] && chosen.lines.count == 3)
      #expect(try await engine.gantry("container", "top", name, "aux").lines.count == 3)
      let fake = try await engine.gantry("top", name, "-o", "comm=PID", expecting: 1)
      #expect(fake.stderr.contains("comm=PID"))
      try await engine.gantry("rm", "-f", name)
      let ended = try await container([], "true")
      try await engine.gantry("wait", ended)
      #expect(try await engine.gantry("top", ended, expecting: 1).stderr.contains("is not running"))
      try await engine.gantry("rm", ended)
    }

    @Test func portsAreEmptyWithoutNetworks() async throws {
      let name = try await container(["--expose", "80"], "sleep", "1000")
      #expect(try await engine.gantry("port", name).stdout == "")
      let one = try await engine.gantry("port", name, "80", expecting: 1)
      #expect(one.stderr.contains("No public port '80/tcp' published for \(name)"))
      try await engine.gantry("rm", "-f", name)
    }

    @Test func sizesAreWhatWasWritten() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "--name", name, "busybox", "sh", "-c", "dd if=/dev/zero of=/file bs=1M count=3 2>/dev/null")
      let sizes = try await engine.gantry("container", "inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", name)
        .trimmed
      let numbers = sizes.split(separator: " ").compactMap { Int($0) }
      #expect(numbers.count == 2 && numbers[0] >= 3 << 20 && numbers[1] > numbers[0], "\(sizes)")
      let list = try await engine.gantry("ps", "-a", "-s", "--filter", "name=\(name)", "--format", "{{.Size}}").trimmed
      #expect(list.hasPrefix("3.1") && list.contains("MB (virtual "), "\(list)")
      try await engine.gantry("rm", name)
    }

    @Test func infoCountsContainers() async throws {
      let running = try await container([], "sleep", "1000")
      let paused = try await container([], "sleep", "1000")
      try await engine.gantry("pause", paused)
      let format =
        "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.CgroupVersion}}"
      let counts = try await engine.gantry("info", "--format", format).trimmed.split(separator: " ").compactMap {
        Int($0)
      }
      // Other tests have containers of their own.
      try #require(counts.count == 5)
      #expect(counts[1] >= 1 && counts[2] >= 1 && counts[0] == counts[1] + counts[2] + counts[3], "\(counts)")
      #expect([1, 2].contains(counts[4]))
      let text = try await engine.gantry("info").stdout
      for part in [
        " Storage Driver: overlay2\n  Backing Filesystem: ", " Cgroup Driver: cgroupfs\n",
        "  seccomp\n   Profile: builtin\n",
      ] {
        #expect(text.contains(part), "\(part)")
      }
      try await engine.gantry("rm", "-f", running, paused)
    }

    @Test func metricsNameEveryRunningContainer() async throws {
      let name = try await container([], "sleep", "1000")
      let text = try await engine.gantry("system", "metrics").stdout
      #expect(text.contains("# TYPE gantry_container_cpu_seconds_total counter\n"))
      #expect(text.contains("gantry_container_processes{") && text.contains("name=\"\(name)\""))
      try await engine.gantry("rm", "-f", name)
      #expect(try await !engine.gantry("system", "metrics").stdout.contains(name))
    }
  }
}
