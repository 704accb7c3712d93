import Foundation
import OCI
import SystemPackage
import TestSupport
import Testing

/// What the runtime specification's linux section and hooks ask for.
@Suite(.root, .timeLimit(.minutes(5)))
struct SpecificationTests {
  /// A hook that writes what it gets to `file`, and then runs `then`.
  private func hook(_ name: String, _ file: String, then: String = "true") -> RuntimeSpec.Hook {
    RuntimeSpec.Hook(
      path: "/bin/sh",
      args: ["sh", "-c", "echo \(name) $HOOK $(sed -E 's/.*\"status\":\"([a-z]*)\".*/\\1/') >>\(file); \(then)"],
      env: ["HOOK=\(name.count)", "PATH=/bin:/usr/bin"], timeout: 20)
  }

  @Test func hooksRunInTheirOrderWithTheState() async throws {
    try await Bundle.with { bundle in
      let file = bundle.folder.appending("hooks").string
      try await bundle.describe(["sh", "-c", "echo program >>/tmp/inside"]) { spec in
        spec.hooks = .init(
          prestart: [hook("prestart", file, then: "test -d \(bundle.rootfs)/bin")],
          createRuntime: [hook("createRuntime", file)],
          createContainer: [
            hook("createContainer", file, then: "grep -q ' \(bundle.rootfs)/proc ' /proc/self/mountinfo")
          ],
          startContainer: [hook("startContainer", "/tmp/inside")], poststart: [hook("poststart", file)],
          poststop: [hook("poststop", file)])
      }
      try await bundle.create()
      let created = try String(contentsOfFile: file, encoding: .utf8)
      #expect(
        created == "prestart 8 creating\ncreateRuntime 13 creating\ncreateContainer 15 creating\n")
      try await bundle.runtime("start", bundle.id)
      let inside = bundle.rootfs.appending("tmp/inside").string
      try await eventually("the program has run") {
        ((try? String(contentsOfFile: inside, encoding: .utf8)) ?? "").hasSuffix("program\n")
      }
      #expect(try String(contentsOfFile: inside, encoding: .utf8) == "startContainer 14 creating\nprogram\n")
      try await eventually("it stops") { try await bundle.status() == "stopped" }
      try await bundle.runtime("delete", bundle.id)
      let all = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
      #expect(all.suffix(2) == ["poststart 9 running", "poststop 8 stopped"])
    }
  }

  @Test(arguments: ["prestart", "createRuntime", "createContainer", "startContainer"])
  func aHookThatFailsStopsTheContainer(_ name: String) async throws {
    try await Bundle.with { bundle in
      let hook = RuntimeSpec.Hook(path: "/bin/sh", args: ["sh", "-c", "echo no wish >&2; exit 3"])
      let slow = RuntimeSpec.Hook(path: "/bin/sleep", args: ["sleep", "100"], timeout: 1)
      for hook in name == "createRuntime" ? [hook, slow] : [hook] {
        try await bundle.describe(["true"]) { spec in
          spec.hooks = .init(
            prestart: name == "prestart" ? [hook] : nil, createRuntime: name == "createRuntime" ? [hook] : nil,
            createContainer: name == "createContainer" ? [hook] : nil,
            startContainer: name == "startContainer" ? [hook] : nil)
        }
        let output = try await bundle.runtime("run", "--bundle", bundle.path.string, bundle.id, expecting: 1)
        #expect(output.stderr.contains("the \(name) hook"), "\(output)")
        #expect(output.stderr.contains(hook == slow ? "took longer than its 1 s" : "exit code 3: no wish"))
        #expect(try await bundle.runtime("list", "-q").stdout == "")
      }
    }
  }

  @Test func clocksAreMoved() async throws {
    try await Bundle.with { bundle in
      let output = try await bundle.sh("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets") { spec in
        spec.linux?.namespaces?.append(.init(type: "time"))
        spec.linux?.timeOffsets = ["boottime": .init(secs: 1_000_000), "monotonic": .init(secs: 7, nanosecs: 5)]
      }
      #expect(try #require(Int(output.lines[0])) > 1_000_000)
      #expect(output.stdout.contains("1000000"))
      let refused = try await bundle.sh("true", expecting: 1) { $0.linux?.timeOffsets = ["boottime": .init(secs: 1)] }
      #expect(refused.stderr.contains("time namespace"))
    }
  }

  @Test func bindsGetOtherIds() async throws {
    try await Bundle.with { bundle in
      let data = bundle.folder.appending("data").string
      try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: false)
      chown(data, 1000, 1000)
      for option in ["idmap", "ridmap"] {
        let output = try await bundle.sh("stat -c %u:%g /data; touch /data/\(option); stat -c %u /data/\(option)") {
          spec in
          let mapping = [RuntimeSpec.IDMapping(containerID: 0, hostID: 5000, size: 2000)]
          spec.mounts?.append(
            .init(
              destination: "/data", type: "bind", source: data, options: ["rbind", option], uidMappings: mapping,
              gidMappings: mapping))
          spec.process?.user = .init(uid: 6000, gid: 6000)
        }
        #expect(output.stdout == "6000:6000\n6000\n")
        let made = try FileManager.default.attributesOfItem(atPath: "\(data)/\(option)")
        #expect(made[.ownerAccountID] as? Int == 1000)
      }
    }
  }

  @Test func existingNamespacesAreJoined() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["sleep", "1000"]) { spec in
        spec.linux?.namespaces?.append(.init(type: "user"))
        spec.linux?.uidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
        spec.linux?.gidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
        spec.linux?.resources = nil
      }
      _ = try await Command.shell("chown -R 100000:100000 \(bundle.rootfs); chmod 755 \(bundle.folder)")
      try await bundle.create()
      try await bundle.runtime("start", bundle.id)
      let pid = try #require(try await bundle.state()["pid"] as? Int)
      func link(_ name: String) throws -> String {
        try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/ns/\(name)")
      }
      let names = ["user", "net", "ipc", "uts", "pid"]
      let script =
        names.map { "readlink /proc/self/ns/\($0)" }.joined(separator: ";") + "; id -u; cat /proc/self/uid_map"
      try await bundle.describe(["sh", "-c", script]) { spec in
        spec.hostname = nil
        spec.linux?.resources = nil
        spec.linux?.namespaces = [
          .init(type: "mount"), .init(type: "cgroup"), .init(type: "user", path: "/proc/\(pid)/ns/user"),
          .init(type: "network", path: "/proc/\(pid)/ns/net"), .init(type: "ipc", path: "/proc/\(pid)/ns/ipc"),
          .init(type: "uts", path: "/proc/\(pid)/ns/uts"), .init(type: "pid", path: "/proc/\(pid)/ns/pid"),
        ]
      }
      let output = try await bundle.runtime("run", "--bundle", bundle.path.string, "\(bundle.id)-second")
      #expect(output.lines.prefix(5).map(String.init) == (try names.map(link)), "\(output)")
      #expect(output.lines[5] == "0")
      #expect(output.lines[6].split(separator: " ") == ["0", "100000", "65536"])
      // A mount namespace that is joined is used with what it has.
      try await bundle.describe(["readlink", "/proc/self/ns/mnt"]) { spec in
        spec.hostname = nil
        spec.mounts = nil
        spec.linux = .init(namespaces: [
          .init(type: "mount", path: "/proc/\(pid)/ns/mnt"), .init(type: "pid", path: "/proc/\(pid)/ns/pid"),
        ])
      }
      let joined = try await bundle.runtime("run", "--bundle", bundle.path.string, "\(bundle.id)-third")
      #expect(joined.trimmed == (try link("mnt")))
    }
  }

  @Test func interfacesMoveInWithTheirAddresses() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["sh", "-c", "ip -o addr show dev inside; ip -o link show dev inside"]) { spec in
        spec.linux?.netDevices = ["outside": .init(name: "inside")]
      }
      // In a network namespace of the test's own: the machine's interfaces are left alone.
      let output = try await Command.shell(
        """
        unshare -n /bin/sh -euc 'ip link add outside type veth peer name other
          ip addr add 192.0.2.7/24 dev outside; ip -6 addr add 2001:db8::7/64 dev outside nodad; ip link set outside up
          \(bundle.command) run --bundle \(bundle.path) \(bundle.id)'
        """)
      #expect(output.stdout.contains("192.0.2.7/24"), "\(output)")
      #expect(output.stdout.contains("2001:db8::7/64"))
      #expect(output.stdout.contains(",UP"))
      let refused = try await bundle.runtime("run", "--bundle", bundle.path.string, bundle.id, expecting: 1)
      #expect(refused.stderr.contains("cannot find the interface outside"))
    }
  }

  /// A supervisor answers the container's mkdir calls: they fail with its errno.
  @Test func aSupervisorDecides() async throws {
    try await Bundle.with { bundle in
      let socket = bundle.folder.appending("supervisor.sock").string
      try await bundle.describe(["sh", "-c", "mkdir /tmp/x; echo $?"]) { spec in
        spec.linux?.seccomp = .init(
          defaultAction: "SCMP_ACT_ALLOW", listenerPath: socket, listenerMetadata: "for me",
          syscalls: [.init(names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY")])
      }
      let script = """
        import fcntl, json, os, socket, struct, subprocess, sys
        listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
        run = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        data, (notify,), _, _ = socket.recv_fds(listener.accept()[0], 100000, 1)
        state = json.loads(data)
        assert state["fds"] == ["seccompFd"] and state["metadata"] == "for me" and state["state"]["id"] == sys.argv[-1]
        assert os.path.exists(f"/proc/{state['pid']}")
        request = bytearray(80)
        fcntl.ioctl(notify, 0xC0502100, request)
        fcntl.ioctl(notify, 0xC0182101, bytearray(struct.pack("QqiI", struct.unpack_from("Q", request)[0], 0, -122, 0)))
        print(run.communicate()[0])
        """
      let output = try await Command.run(
        [
          "python3", "-c", script, socket, Bundle.executable.string, "--root", bundle.root.string, "run", "--bundle",
          bundle.path.string, bundle.id,
        ])
      #expect(output.stdout.contains("Disk quota exceeded") || output.stdout.contains("Quota exceeded"), "\(output)")
      #expect(output.stdout.contains("1\n"))
      let refused = try await bundle.sh("true", expecting: 1) { spec in
        spec.linux?.seccomp = .init(
          defaultAction: "SCMP_ACT_ALLOW", listenerPath: socket,
          syscalls: [.init(names: ["write"], action: "SCMP_ACT_NOTIFY")])
      }
      #expect(refused.stderr.contains("SCMP_ACT_NOTIFY"))
    }
  }

  @Test func filtersAreKeptByTheirWholeInput() async throws {
    try await Bundle.with { bundle in
      func run(_ errno: UInt32) async throws -> String {
        try await bundle.sh("mkdir /tmp/x 2>&1 || true") { spec in
          spec.linux?.seccomp = .init(
            defaultAction: "SCMP_ACT_ALLOW",
            syscalls: [.init(names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: errno)])
        }.stdout
      }
      #expect(try await run(13).contains("Permission denied"))
      #expect(try await run(28).contains("No space"))
      #expect(try await run(13).contains("Permission denied"))
      let folder = bundle.root.appending(".filters").string
      let kept = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(kept.count == 2)
      // A file that was tampered with or cut short is not believed.
      for name in kept { try Data("rubbish".utf8).write(to: URL(filePath: "\(folder)/\(name)")) }
      #expect(try await run(13).contains("Permission denied"))
    }
  }

  @Test func smallerParts() async throws {
    try await Bundle.with { bundle in
      #expect(try await bundle.sh("uname -m") { $0.linux?.personality = .init(domain: "LINUX32") }.trimmed == "i686")
      let affinity = try await bundle.sh("grep Cpus_allowed: /proc/self/status") {
        $0.process?.execCPUAffinity = .init(initial: "0", final: "0")
      }
      #expect(!affinity.trimmed.hasSuffix("\t1"), "the affinity is for execs alone")
      #expect(try await bundle.sh("cat /proc/self/oom_score_adj") { $0.process?.oomScoreAdj = 321 }.trimmed == "321")
      let nice = try await bundle.sh("cut -d' ' -f19 /proc/self/stat") {
        $0.process?.scheduler = .init(policy: "SCHED_BATCH", nice: 5)
        $0.process?.ioPriority = .init(class: "IOPRIO_CLASS_BE", priority: 6)
      }
      #expect(nice.trimmed == "5")
      let relative = try await bundle.sh("cat /data") { spec in
        spec.mounts?.append(.init(destination: "/data", type: "bind", source: "config.json", options: ["bind", "ro"]))
      }
      #expect(relative.stdout.contains("ociVersion"))
      #expect(
        try await bundle.sh("echo $$; cat /proc/1/comm") { spec in
          spec.linux?.namespaces?.removeAll { $0.type == "pid" }
          spec.mounts?.removeAll { $0.destination == "/proc" }
          spec.mounts?.append(.init(destination: "/proc", type: "bind", source: "/proc", options: ["rbind"]))
          spec.linux?.maskedPaths = nil
          spec.linux?.readonlyPaths = nil
        }.lines.count == 2)
      try await bundle.describe(["ls", "/"])
      let chrooted = try await bundle.runtime("run", "--no-pivot", "--bundle", bundle.path.string, bundle.id)
      #expect(chrooted.lines.contains("bin") && !chrooted.lines.contains("usr"), "\(chrooted)")
    }
  }

  @Test(arguments: ["intelRdt", "personality", "mountLabel", "memoryPolicy", "hook", "userMap", "clock"])
  func whatCannotBeDoneIsRefusedByName(_ part: String) async throws {
    try await Bundle.with { bundle in
      let output = try await bundle.sh("true", expecting: 1) { spec in
        switch part {
        case "intelRdt": spec.linux?.intelRdt = .init(closID: "x")
        case "personality": spec.linux?.personality = .init(domain: "LINUX", flags: ["X"])
        case "mountLabel": spec.linux?.mountLabel = "system_u:object_r:container_file_t:s0"
        case "memoryPolicy": spec.linux?.memoryPolicy = .init(mode: "MPOL_NOSUCH")
        case "hook": spec.hooks = .init(prestart: [.init(path: "relative")])
        case "userMap": spec.linux?.uidMappings = [.init(containerID: 0, hostID: 0, size: 1)]
        default: spec.linux?.timeOffsets = ["realtime": .init(secs: 1)]
        }
      }
      #expect(output.stderr.contains("run failed: "), "\(output)")
      #expect(try await bundle.runtime("list", "-q").stdout == "")
    }
  }

  /// CVE-2019-5736: a container that executes the runtime's own file by its script's first line cannot write to it.
  @Test func theRuntimesOwnFileCannotBeWritten() async throws {
    try await Bundle.with { bundle in
      let copy = bundle.folder.appending("gantry-runtime").string
      try FileManager.default.copyItem(atPath: Bundle.executable.string, toPath: copy)
      let before = try await Command.shell("sha256sum \(copy)").stdout
      let evil = bundle.rootfs.appending("bin/evil").string
      try Data("#!/proc/self/exe\n".utf8).write(to: URL(filePath: evil))
      chmod(evil, 0o755)
      try await bundle.describe([
        "sh", "-c",
        "for i in $(seq 300); do for e in /proc/[0-9]*/exe; do (echo x >>$e) 2>/dev/null; done; done; sleep 1000",
      ])
      let command = "\(copy) --root \(bundle.root)"
      _ = try await Command.shell(
        """
        \(command) create --bundle \(bundle.path) \(bundle.id) </dev/null >/dev/null 2>&1
        \(command) start \(bundle.id)
        for i in $(seq 20); do \(command) exec \(bundle.id) /bin/evil >/dev/null 2>&1 || true; done
        """)
      #expect(try await Command.shell("sha256sum \(copy)").stdout == before)
    }
  }
}
