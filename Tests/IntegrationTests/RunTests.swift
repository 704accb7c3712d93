import TestSupport
import Testing

extension IntegrationTests {
  /// `gantry run`: streams, exit codes, and each option seen from within the container.
  @Suite struct Run {
    var engine: TestEngine { TestEngine.current }

    @Test func printsWhatTheProcessPrints() async throws {
      let output = try await engine.busybox([], "sh", "-c", "echo out; echo err >&2")
      #expect(output.stdout == "out\n")
      #expect(output.stderr == "err\n")
    }

    @Test(arguments: [0, 1, 7, 125, 255])
    func exitsWithTheCodeOfTheContainer(code: Int32) async throws {
      try await engine.busybox([], "sh", "-c", "exit \(code)", expecting: code)
    }

    @Test func aSignalIs128AndItsNumber() async throws {
      // Pid 1 ignores what it has no handler for, so a child kills itself and the shell passes its status on.
      try await engine.busybox([], "sh", "-c", "sh -c 'kill -TERM $$'; exit $?", expecting: 143)
      try await engine.busybox(["--init"], "sh", "-c", "kill -KILL $$", expecting: 137)
    }

    @Test func aMissingProgramIs127AndOneThatCannotRunIs126() async throws {
      let missing = try await engine.busybox([], "no-such-program", expecting: 127)
      #expect(missing.stderr.contains("no-such-program"))
      #expect(missing.stderr.contains("executable file not found"))
      let folder = try await engine.busybox([], "/etc", expecting: 126)
      #expect(folder.stderr.contains("/etc"))
      try await engine.busybox([], "/etc/passwd", expecting: 126)
    }

    @Test func anErrorOfOursIs125() async throws {
      let image = try await engine.gantry("run", "--rm", "no-such-image", expecting: 125)
      #expect(image.stderr.contains("no-such-image"))
      try await engine.busybox(["--no-such-flag"], "true", expecting: 125)
    }

    @Test func aFlagThatIsNotBuiltYetIsRefusedByName() async throws {
      for flags in [["-p", "80:80"], ["--network", "bridge"]] {
        let output = try await engine.busybox(flags, "true", expecting: 125)
        #expect(output.stderr.contains(flags[0].hasPrefix("--") ? flags[0] : "--publish"), "\(flags): \(output)")
      }
    }

    @Test func standardInputReachesTheProcessAndItsEndToo() async throws {
      let output = try await engine.busybox(["-i"], "wc", "-c", input: String(repeating: "x", count: 300_000))
      #expect(output.trimmed == "300000")
    }

    @Test func withoutInteractiveThereIsNoInput() async throws {
      #expect(try await engine.busybox([], "wc", "-c", input: "ignored").trimmed == "0")
    }

    @Test func muchOutputArrivesWhole() async throws {
      let output = try await engine.busybox([], "sh", "-c", "yes 0123456789 | head -n 500000")
      #expect(output.stdout.utf8.count == 500_000 * 11)
    }

    @Test func detachedPrintsTheIdAndGoesOn() async throws {
      let id = try await engine.gantry("run", "-d", "busybox", "sleep", "1000").trimmed
      #expect(id.count == 64 && id.allSatisfy { $0.isHexDigit })
      #expect(try await engine.gantry("inspect", "-f", "{{.State.Running}}", id).trimmed == "true")
      try await engine.gantry("rm", "-f", id)
      try await engine.gantry("inspect", id, expecting: 1)
    }

    @Test func environmentWorkdirHostnameUserAndEntrypoint() async throws {
      let run = engine.busybox
      #expect(try await run(["-e", "A=b c"], ["sh", "-c", "echo $A"]) == "b c")
      #expect(try await run(["-w", "/usr/made/here"], ["pwd"]) == "/usr/made/here")
      #expect(try await run(["-h", "box"], ["hostname"]) == "box")
      #expect(try await run(["-u", "1000:1001"], ["sh", "-c", "id -u; id -g"]) == "1000\n1001")
      #expect(try await run(["-u", "nobody"], ["id", "-un"]) == "nobody")
      #expect(try await run(["--entrypoint", "echo"], ["a", "b"]) == "a b")
      #expect(try await run([], ["sh", "-c", "echo $PATH:$HOME"]).hasPrefix("/usr/local/sbin:"))
    }

    @Test func environmentFiles() async throws {
      let file = engine.folder.appending("env-\(engine.name())")
      _ = try await Command.shell("printf '# comment\\nA=1\\n\\nB=two words\\n' >\(file)")
      #expect(try await engine.busybox(["--env-file", file.string], "sh", "-c", "echo $A-$B").trimmed == "1-two words")
      _ = try await Command.shell("echo 'bad name=1' >\(file)")
      try await engine.busybox(["--env-file", file.string], "true", expecting: 125)
    }

    @Test func bindsAndMounts() async throws {
      let folder = engine.folder.appending(engine.name("bind"))
      _ = try await Command.shell("mkdir \(folder); echo from-host >\(folder)/file")
      let read = try await engine.busybox(["-v", "\(folder):/data"], "sh", "-c", "cat /data/file; echo x >/data/made")
      #expect(read.trimmed == "from-host")
      #expect(try await Command.shell("cat \(folder)/made").trimmed == "x")
      try await engine.busybox(["-v", "\(folder):/data:ro"], "sh", "-c", "echo y >/data/file", expecting: 1)
      try await engine.busybox(
        ["--mount", "type=bind,src=\(folder)/file,dst=/one,readonly"], "grep", "-q", "from-host", "/one")
      let tmpfs = try await engine.busybox(
        ["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"], "sh", "-c", "stat -c %a /t; df -k /t | tail -n 1"
      )
      #expect(tmpfs.lines[0] == "700" && tmpfs.stdout.contains(" 1024 "))
      let missing = try await engine.busybox(["--mount", "type=bind,src=/no/such,dst=/x"], "true", expecting: 125)
      #expect(missing.stderr.contains("/no/such"))
    }

    @Test func readOnlyRoot() async throws {
      let output = try await engine.busybox(["--read-only"], "sh", "-c", "echo x >/file", expecting: 1)
      #expect(output.stderr.contains("Read-only file system"))
    }

    @Test func limitsAreInTheCgroup() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "-m", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "--pids-limit", "50",
        "busybox",
        "sleep", "1000")
      let inspect = try await engine.gantry(
        "inspect", "-f",
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpusetCpus}} {{.HostConfig.PidsLimit}}", name)
      #expect(inspect.trimmed == "67108864 500000000 0 50")
      let seen = try await engine.gantry(
        "exec", name, "sh", "-c",
        """
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us \
          /sys/fs/cgroup/cpuset/cpuset.cpus /sys/fs/cgroup/pids/pids.max 2>/dev/null ||
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpuset.cpus /sys/fs/cgroup/pids.max
        """)
      #expect(seen.lines.map { $0.split(separator: " ")[0] } == ["67108864", "50000", "0", "50"])
      try await engine.gantry("rm", "-f", name)
    }

    @Test func outOfMemoryIsNoticed() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "--name", name, "-m", "16m", "busybox", "sh", "-c", "x=$(yes | head -c 100000000); echo ${#x}",
        expecting: 137)
      #expect(
        try await engine.gantry("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", name).trimmed == "true 137"
      )
      try await engine.gantry("rm", name)
    }

    @Test func capabilities() async throws {
      let run = engine.busybox
      let read = ["sh", "-c", "grep -E 'Cap(Eff|Inh)' /proc/self/status | tr -d '\\t'"]
      let docker = try await run([], read)
      #expect(docker.contains("CapEff:00000000a80425fb"))
      #expect(docker.contains("CapInh:0000000000000000"))
      #expect(try await run(["--cap-drop", "ALL"], read).contains("CapEff:0000000000000000"))
      #expect(try await run(["--cap-drop", "ALL", "--cap-add", "NET_RAW"], read).contains("CapEff:0000000000002000"))
      let unknown = try await engine.busybox(["--cap-add", "NO_SUCH"], "true", expecting: 125)
      #expect(unknown.stderr.contains("NO_SUCH"))
    }

    @Test func privilegedHasDevicesAndMayMount() async throws {
      try await engine.busybox(
        ["--privileged"], "sh", "-c", "mount -t tmpfs none /tmp && test -e /dev/mem -o -e /dev/kmsg")
      try await engine.busybox([], "mount", "-t", "tmpfs", "none", "/tmp", expecting: 1)
    }

    @Test func securityOptions() async throws {
      #expect(
        try await engine.busybox(["--security-opt", "no-new-privileges"], "grep", "NoNewPrivs", "/proc/self/status")
          .trimmed.hasSuffix("1"))
      #expect(
        try await engine.busybox(["--security-opt", "seccomp=unconfined"], "grep", "Seccomp:", "/proc/self/status")
          .trimmed.hasSuffix("0"))
      #expect(try await engine.busybox([], "grep", "Seccomp:", "/proc/self/status").trimmed.hasSuffix("2"))
    }

    @Test func ulimitsLabelsAndCidfile() async throws {
      #expect(
        try await engine.busybox(["--ulimit", "nofile=512:1024"], "sh", "-c", "ulimit -n; ulimit -Hn").trimmed
          == "512\n1024")
      let name = engine.name()
      let cidfile = engine.folder.appending(name)
      try await engine.gantry(
        "run", "--name", name, "--label", "a=1", "--label", "b", "--cidfile", cidfile.string, "busybox", "true")
      let id = try await Command.shell("cat \(cidfile)").trimmed
      #expect(
        try await engine.gantry(
          "inspect", "-f", "{{.Id}} {{index .Config.Labels \"a\"}} {{index .Config.Labels \"b\"}}.", name
        ).trimmed
          == "\(id) 1 .")
      try await engine.gantry("run", "--cidfile", cidfile.string, "busybox", "true", expecting: 125)
      try await engine.gantry("rm", name)
    }

    @Test func initReapsAndIsPidOne() async throws {
      let output = try await engine.busybox(["--init"], "sh", "-c", "(sleep 0.01 &) ; sleep 0.1; ps -o pid,stat,args")
      #expect(!output.stdout.contains(" Z"))
      #expect(try await engine.busybox(["--init"], "sh", "-c", "echo $$").trimmed != "1")
      #expect(try await engine.busybox([], "sh", "-c", "echo $$").trimmed == "1")
    }

    @Test func networkNoneHasLoopbackOnlyAndHostHasAll() async throws {
      #expect(try await engine.busybox(["--network", "none"], "ls", "/sys/class/net").lines.contains("lo"))
      #expect(
        try await engine.busybox(["--network", "none"], "sh", "-c", "ip -o link | grep -vc ' lo:'; true").trimmed == "0"
      )
      let host = try await Command.shell("readlink /proc/self/ns/net").trimmed
      #expect(try await engine.busybox(["--network", "host"], "readlink", "/proc/self/ns/net").trimmed == host)
    }

    @Test func aTerminalHasItsNameAndSize() async throws {
      let output = try await Command.run(
        [
          "script", "-qec",
          "stty rows 33 cols 99; \(TestEngine.binaries)/gantry run --rm -it busybox sh -c 'tty; sleep 0.2; stty size'",
          "/dev/null",
        ],
        environment: engine.environment)
      #expect(output.stdout.contains("/dev/pts/0"))
      #expect(output.stdout.contains("33 99"))
    }

    /// Resizes, ctrl-c, the keys to detach, attaching again: `terminal-session` says each step.
    @Test func aSessionAtATerminal() async throws {
      let name = engine.name()
      let session = TestEngine.repository.appending("Tests/IntegrationTests/terminal-session")
      let output = try await Command.run(
        [session.string, TestEngine.binaries.appending("gantry").string, name], environment: engine.environment)
      #expect(output.lines.count == 6, "\(output)")
      try await engine.gantry("rm", "-f", name, "\(name)-keys")
    }

    @Test func removedWhenAsked() async throws {
      let name = engine.name()
      try await engine.busybox(["--name", name], "true")
      // The name is free at once.
      try await engine.busybox(["--name", name], "true")
      let left = try await engine.gantry("ps", "-aq", "--filter", "name=\(name)")
      #expect(left.lines.isEmpty)
    }

    @Test func aHundredStartTogether() async throws {
      let prefix = engine.name("many")
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<100 {
          group.addTask { [engine] in
            try await engine.gantry(
              "run", "-d", "--name", "\(prefix)-\(index)", "busybox", "sleep", "1000", seconds: 120)
          }
        }
        try await group.waitForAll()
      }
      let running = try await engine.gantry("ps", "-q", "--filter", "name=\(prefix)", "--filter", "status=running")
      #expect(running.lines.count == 100)
      try await engine.gantry(["rm", "-f"] + running.lines.map(String.init), seconds: 120)
      #expect(try await engine.gantry("ps", "-aq", "--filter", "name=\(prefix)").lines.isEmpty)
    }
  }
}

extension TestEngine {
  /// The trimmed output of a command run in a container that is removed after.
  fileprivate func busybox(_ flags: [String], _ command: [String]) async throws -> String {
    try await gantry(["run", "--rm"] + flags + ["busybox"] + command).trimmed
  }
}
