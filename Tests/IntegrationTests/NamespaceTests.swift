import Foundation
import TestSupport
import Testing

extension IntegrationTests {
  /// Namespaces that containers share, and user namespaces.
  @Suite struct Namespaces {
    var engine: TestEngine { TestEngine.current }

    @Test func ipcAndPidOfAnotherContainer() async throws {
      let donor = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", donor, "--ipc", "shareable", "busybox", "sh", "-c",
        "echo shared >/dev/shm/x; exec sleep 1000")
      try await engine.eventually("the donor has written") {
        try await engine.gantry("exec", donor, "test", "-s", "/dev/shm/x", expecting: nil).status == 0
      }
      let shared = try await engine.busybox(
        ["--ipc", "container:\(donor)"], "sh", "-c", "cat /dev/shm/x; echo back >/dev/shm/y; readlink /proc/self/ns/ipc"
      )
      #expect(shared.lines.first == "shared")
      #expect(try await engine.gantry("exec", donor, "cat", "/dev/shm/y").trimmed == "back")
      #expect(
        try await engine.gantry("exec", donor, "readlink", "/proc/self/ns/ipc").trimmed
          == shared.lines.last.map(String.init))
      let processes = try await engine.busybox(["--pid", "container:\(donor)"], "ps")
      #expect(processes.stdout.contains("sleep 1000"), "\(processes)")
      #expect(
        try await engine.busybox(["--pid", "host"], "sh", "-c", "test -d /proc/\(getpid()) && echo seen").trimmed
          == "seen")
      #expect(try await engine.busybox(["--ipc", "none"], "sh", "-c", "test -e /dev/shm; echo $?").trimmed == "1")
      let closed = engine.name()
      try await engine.gantry("run", "-d", "--name", closed, "busybox", "sleep", "1000")
      let refused = try await engine.busybox(["--ipc", "container:\(closed)"], "true", expecting: 125)
      #expect(refused.stderr.contains("non-shareable IPC"))
      try await engine.gantry("rm", "-f", closed, donor)
      let gone = try await engine.busybox(["--pid", "container:\(donor)"], "true", expecting: 125)
      #expect(gone.stderr.contains("No such container: \(donor)"))
    }

    @Test func aContainerWithIDsOfItsOwn() async throws {
      let name = engine.name()
      let script = "rm /etc/passwd; echo x >>/etc/group; mkdir /made; echo out >/dev/stdout; sleep 1000"
      try await engine.gantry("run", "-d", "--name", name, "--userns", "auto", "busybox", "sh", "-c", script)
      try await engine.eventually("it has written") { try await engine.gantry("logs", name).trimmed == "out" }
      let inside = try await engine.gantry(
        "exec", name, "sh", "-c", "id -u; cat /proc/self/uid_map; stat -c %u /made /bin/busybox")
      let lines = inside.lines.map { $0.split(separator: " ").joined(separator: " ") }
      #expect(lines.first == "0" && lines.suffix(2) == ["0", "0"])
      let start = try #require(lines[1].split(separator: " ").dropFirst().first.flatMap { UInt32($0) })
      #expect(start > 65536 && lines[1].hasSuffix(" 65536"))
      // Outside it is nobody: no id of the machine's.
      let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      #expect(try await Command.shell("stat -c %u /proc/\(pid)").trimmed == String(start))
      // On the disk the ids are the container's: a copy of them was never made.
      let upper = try await engine.gantry("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name).trimmed
      #expect(try await Command.shell("stat -c %u \(upper)/made \(upper)/etc/group | sort -u").trimmed == "0")
      // Another one has other ids, also after a restart of the gateway, and a stopped one keeps its own.
      let before = try await engine.pid(of: "gantryd")
      kill(before, SIGKILL)
      try await engine.eventually("the gateway is back", seconds: 20) {
        try await engine.pidIfUp(of: "gantryd").map { $0 != before } ?? false
      }
      let other = try await engine.busybox(["--userns", "auto:size=5000"], "cat", "/proc/self/uid_map")
      let fields = other.trimmed.split(separator: " ")
      #expect(UInt32(fields[1]).map { $0 >= start + 65536 || $0 + 5000 <= start } == true && fields[2] == "5000")
      try await engine.gantry("restart", "-t", "0", name)
      #expect(try await engine.gantry("exec", name, "cat", "/proc/self/uid_map").stdout.contains(" \(start) "))
      try await engine.gantry("rm", "-f", name)
    }

    @Test func bindsShowTheContainersIDs() async throws {
      let folder = engine.folder.appending(engine.name("bind"))
      _ = try await Command.shell("mkdir \(folder); echo host >\(folder)/file; chown 1000:1000 \(folder)/file")
      let output = try await engine.busybox(
        ["--userns", "auto", "-v", "\(folder):/data"], "sh", "-c",
        "stat -c %u /data/file; echo x >/data/made; stat -c %u /data/made")
      #expect(output.lines == ["1000", "0"])
      #expect(try await Command.shell("stat -c %u \(folder)/made").trimmed == "0")
      let refused = try await engine.busybox(["--userns", "auto", "-v", "/proc/sys:/data"], "true", expecting: 125)
      #expect(
        refused.stderr.contains("the file system proc") && refused.stderr.contains("does not support idmapped mounts"))
      _ = try await Command.shell("rm -r \(folder)")
    }

    @Test func keepIDIsForOrdinaryUsers() async throws {
      let output = try await engine.busybox(["--userns", "keep-id"], "true", expecting: 125)
      #expect(output.stderr.contains("keeps the ids of who calls, and that is root"))
      for (flags, words) in [
        (["--userns", "auto:size=0"], "size=0"), (["--userns", "mine"], "allowed are host, private, auto"),
        (["--userns", "auto", "--privileged"], "privileged mode is incompatible"),
        (["--userns", "auto", "--pid", "host"], "PID namespace"),
      ] {
        let refused = try await engine.busybox(flags, "true", expecting: 125)
        #expect(refused.stderr.contains(words), "\(flags): \(refused)")
      }
    }

    @Test func aRemapOfTheWholeEngine() async throws {
      // An engine of its own, in a mount namespace with other files of subordinate ids; an ordinary user calls it too.
      let script = """
        set -eu
        mkdir \(engine.folder)/u; cd \(engine.folder)/u; export GANTRY_ROOT=$PWD/r GANTRY_STATE=$PWD/s PATH=\(TestEngine.binaries):$PATH
        echo gantry:300000:65536 >ids; echo 1234:400000:65536 >>ids; touch /etc/subuid /etc/subgid
        mount --bind ids /etc/subuid; mount --bind ids /etc/subgid
        chmod 755 \(engine.folder)
        gantry system start --userns-remap default --group 1234 >/dev/null
        trap 'gantry ps -aq | xargs -r gantry rm -f >/dev/null; gantry system stop >/dev/null; cd /; rm -rf \(engine.folder)/u' EXIT
        gantry load -q -i \(try await TestImage.busybox()) >/dev/null
        gantry run --rm busybox cat /proc/self/uid_map
        gantry run --rm --userns host busybox cat /proc/self/uid_map
        mkdir own; chown 1234:1234 own; chmod 755 . s
        setpriv --reuid 1234 --regid 1234 --clear-groups gantry run -d --name kept --userns keep-id -v $PWD/own:/own busybox \
          sh -c 'id -u; id -g; echo x >/own/file; stat -c %u /own/file' >/dev/null
        gantry wait kept >/dev/null; gantry logs kept
        stat -c %u own/file
        ! gantry run --rm --privileged busybox true 2>&1
        """
      let output = try await Command.run(["unshare", "-m", "bash", "-c", script], seconds: 120)
      let lines = output.lines.map { $0.split(separator: " ").joined(separator: " ") }
      #expect(lines.prefix(2) == ["0 300000 65536", "0 0 4294967295"], "\(output)")
      #expect(lines.dropFirst(2).prefix(4) == ["1234", "1234", "1234", "1234"], "\(output)")
      #expect(lines.last?.contains("privileged mode is incompatible with user namespaces") == true, "\(output)")
    }

    @Test func devicesThatVendorsDescribe() async throws {
      let file = "/var/run/cdi/gantry-test-\(engine.name()).json"
      let spec = """
        {"cdiVersion":"0.6.0","kind":"gantry.test/device","devices":[{"name":"one","containerEdits":{"env":["VENDOR=1"],
          "deviceNodes":[{"path":"/dev/vendor","hostPath":"/dev/null"}],
          "mounts":[{"hostPath":"/etc/os-release","containerPath":"/vendor","options":["ro"]}],"additionalGids":[4242]}}]}
        """
      try FileManager.default.createDirectory(atPath: "/var/run/cdi", withIntermediateDirectories: true)
      try Data(spec.utf8).write(to: URL(filePath: file))
      defer { try? FileManager.default.removeItem(atPath: file) }
      let output = try await engine.busybox(
        ["--device", "gantry.test/device=one"], "sh", "-c",
        "echo $VENDOR; echo x >/dev/vendor; test -s /vendor && echo file; id -G")
      #expect(output.lines.prefix(2) == ["1", "file"] && output.stdout.contains("4242"), "\(output)")
      let missing = try await engine.busybox(["--device", "gantry.test/device=two"], "true", expecting: 125)
      #expect(missing.stderr.contains("unresolvable CDI devices gantry.test/device=two"))
      let graphics = try await engine.busybox(["--gpus", "all"], "true", expecting: 125)
      #expect(graphics.stderr.contains("could not select device driver \"\" with capabilities: [[gpu]]"))
    }
  }
}
