import Foundation
import OCI
import SystemPackage
import TestSupport
import Testing

/// The commands on a bundle, as an engine uses them.
@Suite(.root, .timeLimit(.minutes(5)))
struct LifeTests {
  @Test(arguments: [("exit 0", Int32(0)), ("exit 7", 7), ("echo hello; exit 255", 255)])
  func runPassesOutputAndExitCode(_ script: String, _ code: Int32) async throws {
    try await Bundle.with { bundle in
      let output = try await bundle.sh(script, expecting: code)
      #expect(output.stdout == (script.contains("echo") ? "hello\n" : ""))
      #expect(try await bundle.runtime("state", bundle.id, expecting: 1).stderr.contains("does not exist"))
    }
  }

  @Test func aLifeInSingleSteps() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["sh", "-c", "echo $$ >/tmp/ran; sleep 1000"]) { $0.annotations = ["a": "b"] }
      let pidFile = bundle.folder.appending("pid").string
      try await bundle.create(["--pid-file", pidFile])
      let state = try await bundle.state()
      #expect(state["status"] as? String == "created")
      #expect(state["ociVersion"] as? String == "1.2.1")
      #expect(state["bundle"] as? String == bundle.path.string)
      #expect((state["annotations"] as? [String: String]) == ["a": "b"])
      let pid = try #require(Int(String(contentsOfFile: pidFile, encoding: .utf8)))
      #expect(state["pid"] as? Int == pid)
      let ran = bundle.rootfs.appending("tmp/ran").string
      #expect(!FileManager.default.fileExists(atPath: ran))
      await #expect(throws: Bundle.Failed.self) { try await bundle.create() }
      try await bundle.runtime("start", bundle.id)
      try await eventually("the program runs") { FileManager.default.fileExists(atPath: ran) }
      #expect(try await bundle.status() == "running")
      let again = try await bundle.runtime("start", bundle.id, expecting: 1)
      #expect(again.stderr.contains("cannot start an already running container"))
      #expect(
        try await bundle.runtime("delete", bundle.id, expecting: 1).stderr.contains("that is not stopped: running"))
      #expect(try await bundle.runtime("list").stdout.contains("\(bundle.id)"))
      #expect(try await bundle.runtime("list", "-q").trimmed == bundle.id)
      let listed = try await bundle.runtime("list", "--format", "json")
      #expect((try JSONSerialization.jsonObject(with: Data(listed.stdout.utf8)) as? [[String: Any]])?.count == 1)
      try await bundle.runtime("kill", bundle.id, "KILL")
      try await eventually("the container stops") { try await bundle.status() == "stopped" }
      #expect(try await bundle.state()["pid"] as? Int == 0)
      #expect(try await bundle.runtime("kill", bundle.id, "0", expecting: 1).stderr.contains("container not running"))
      try await bundle.runtime("delete", bundle.id)
      #expect(try await bundle.runtime("delete", bundle.id, expecting: 1).stderr.contains("does not exist"))
      try await bundle.runtime("delete", "--force", bundle.id)
    }
  }

  @Test func execRunsBesideTheProgram() async throws {
    try await Bundle.with { bundle in
      try await bundle.sleeper()
      let output = try await bundle.runtime(
        "exec", "--env", "X=1", "--cwd", "/tmp", bundle.id, "sh", "-c", "echo $X $PWD; exit 9", expecting: 9)
      #expect(output.stdout == "1 /tmp\n")
      let user = try await bundle.runtime("exec", "-u", "5:6", "-g", "7", bundle.id, "id")
      #expect(user.stdout == "uid=5 gid=6 groups=6,7\n")
      #expect(try await bundle.runtime("exec", bundle.id, "cat", input: "in\n").stdout == "in\n")
      let process = bundle.folder.appending("process.json").string
      try Data(
        #"{"cwd": "/", "args": ["sh", "-c", "grep CapEff /proc/self/status; ulimit -n"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 99, "soft": 99}]}"#
          .utf8
      ).write(to: URL(filePath: process))
      let described = try await bundle.runtime("exec", "--process", process, bundle.id)
      #expect(described.lines.map { $0.split(separator: "\t").last } == ["0000000000000000", "99"])
      let added = try await bundle.runtime(
        "exec", "--cap", "CAP_CHOWN", bundle.id, "grep", "CapEff", "/proc/self/status")
      #expect(added.trimmed.hasSuffix("0000000020000421"), "\(added)")
      let missing = try await bundle.runtime("exec", bundle.id, "nosuch", expecting: 255)
      #expect(missing.stderr.contains("exec: \"nosuch\": executable file not found in $PATH"))
      let pidFile = bundle.folder.appending("exec.pid").string
      _ = try await Command.shell(
        "\(bundle.command) exec -d --pid-file \(pidFile) \(bundle.id) sleep 1000 </dev/null >/dev/null 2>&1")
      let pid = try String(contentsOfFile: pidFile, encoding: .utf8)
      #expect(try await bundle.runtime("ps", "--format", "json", bundle.id).stdout.contains(pid))
      #expect(try await bundle.runtime("ps", bundle.id).stdout.contains("sleep 1000"))
      #expect(try await bundle.runtime("ps", bundle.id, "-o", "pid,comm").lines.count == 3)
      try await bundle.runtime("kill", "--all", bundle.id, "KILL")
      try await eventually("the container stops") { try await bundle.status() == "stopped" }
      #expect(try await bundle.runtime("exec", bundle.id, "true", expecting: 255).stderr.contains("stopped container"))
    }
  }

  @Test func limitsPauseAndCounters() async throws {
    try await Bundle.with { bundle in
      try await bundle.sleeper { spec in
        spec.linux?.resources?.pids = .init(limit: 20)
        spec.linux?.resources?.memory = .init(limit: 64 << 20)
      }
      try await bundle.runtime("update", "--pids-limit", "33", "--memory", "32m", bundle.id)
      try await bundle.runtime("update", "--resources", "-", bundle.id, input: #"{"cpu": {"shares": 512}}"#)
      let stats = try await bundle.runtime("events", "--stats", bundle.id)
      let event = try JSONSerialization.jsonObject(with: Data(stats.stdout.utf8)) as? [String: Any]
      let data = event?["data"] as? [String: [String: Any]]
      #expect(event?["type"] as? String == "stats")
      #expect(data?["pids"]?["limit"] as? Int == 33)
      #expect((data?["memory"]?["usage"] as? [String: Int])?["limit"] == 32 << 20)
      try await bundle.runtime("pause", bundle.id)
      #expect(try await bundle.status() == "paused")
      #expect(try await bundle.runtime("exec", bundle.id, "true", expecting: 255).stderr.contains("paused"))
      try await bundle.runtime("resume", bundle.id)
      #expect(try await bundle.status() == "running")
      #expect(try await bundle.runtime("resume", bundle.id, expecting: 1).stderr.contains("not paused"))
      try await bundle.runtime("pause", bundle.id)
      try await bundle.runtime("kill", bundle.id, "KILL")
      try await eventually("a paused container dies") { try await bundle.status() == "stopped" }
      for wrong in [["--memory", "much"], ["--l3-cache-schema", "x"], []] {
        #expect(try await bundle.runtime(["update"] + wrong + [bundle.id], expecting: 1).stderr != "")
      }
    }
  }

  @Test func aTerminalGoesThroughTheConsoleSocket() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["sh", "-c", "tty; stty size; read line; echo got $line"]) { spec in
        spec.process?.terminal = true
        spec.process?.consoleSize = .init(height: 33, width: 77)
      }
      let refused = try await bundle.runtime("create", "--bundle", bundle.path.string, bundle.id, expecting: 1)
      #expect(refused.stderr.contains("console"))
      let socket = bundle.folder.appending("console.sock").string
      let script = """
        import os, socket, subprocess, sys
        listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
        runtime = sys.argv[2:5]
        null = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        create = subprocess.Popen(runtime + ["create", "--bundle", sys.argv[5], "--console-socket", sys.argv[1], sys.argv[6]], **null)
        connection = listener.accept()[0]
        data, (master,), _, _ = socket.recv_fds(connection, 100, 1)
        assert create.wait() == 0
        subprocess.run(runtime + ["start", sys.argv[6]], check=True)
        os.write(master, b"typed\\n")
        text = b""
        while b"got typed" not in text: text += os.read(master, 1000)
        print(data, text)
        """
      let output = try await Command.run([
        "python3", "-c", script, socket, Bundle.executable.string, "--root", bundle.root.string, bundle.path.string,
        bundle.id,
      ])
      #expect(output.stdout.hasPrefix("b'/dev/ptmx' b'"))
      #expect(output.stdout.contains("/dev/pts/0\\r\\n") && output.stdout.contains("33 77\\r\\n"), "\(output)")
      // In the foreground the caller's own terminal is used.
      try await eventually("it stops") { try await bundle.status() == "stopped" }
      try await bundle.runtime("delete", bundle.id)
      let typed = try await Command.run(
        ["script", "-qec", "\(bundle.command) run --bundle \(bundle.path) \(bundle.id)", "/dev/null"], input: "typed\n")
      #expect(typed.stdout.contains("got typed"), "\(typed)")
    }
  }

  @Test func descriptorsArePassedOn() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["sh", "-c", "cat <&3; ls /proc/self/fd | wc -l"])
      let output = try await Command.shell(
        "echo third >\(bundle.folder)/third; \(bundle.command) run --preserve-fds 1 --bundle \(bundle.path) \(bundle.id) "
          + "3<\(bundle.folder)/third 4</etc/passwd")
      // 0 to 3, and the folder that ls reads.
      #expect(output.stdout == "third\n5\n")
      let closed = try await Command.shell(
        "\(bundle.command) run --preserve-fds 1 --bundle \(bundle.path) \(bundle.id) 3<&-", expecting: 1)
      #expect(closed.stderr.contains("descriptor 3 is to be passed on, but is not open"))
    }
  }

  @Test func failuresAreToldInTheLogToo() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["nosuch"])
      let log = bundle.folder.appending("log.json").string
      let output = try await bundle.runtime(
        "--log", log, "--log-format", "json", "create", "--bundle", bundle.path.string, bundle.id, expecting: 1)
      #expect(output.stderr.contains("exec: \"nosuch\": executable file not found in $PATH"))
      let line = try String(contentsOfFile: log, encoding: .utf8)
      let entry = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String]
      #expect(entry?["level"] == "error")
      #expect(entry?["msg"]?.contains("executable file not found in $PATH") == true)
      #expect(entry?["time"]?.hasSuffix("Z") == true)
      #expect(try await bundle.runtime("list", "-q").stdout == "")
      for words in [
        ["nosuch"], ["--log-format", "xml", "list"], ["run", "--nosuch", "x"], ["checkpoint", "x"], ["state"],
      ] {
        #expect(try await bundle.runtime(words, expecting: 1).stderr != "", "\(words)")
      }
    }
  }

  @Test func versionFeaturesAndHelp() async throws {
    try await Bundle.with { bundle in
      let version = try await bundle.runtime("--version")
      #expect(version.lines.count == 3)
      #expect(version.lines[0].hasPrefix("gantry-runtime version "))
      #expect(version.lines[1] == "spec: 1.2.1")
      #expect(version.lines[2].hasPrefix("libseccomp: 2."))
      let features = try await bundle.runtime("features")
      let document = try JSONSerialization.jsonObject(with: Data(features.stdout.utf8)) as? [String: Any]
      #expect(document?["ociVersionMax"] as? String == "1.2.1")
      #expect((document?["hooks"] as? [String])?.count == 6)
      #expect((document?["mountOptions"] as? [String])?.contains("ridmap") == true)
      for command in ["create", "exec", "update"] {
        #expect(try await bundle.runtime(command, "--help").stdout.contains("usage: gantry-runtime \(command)"))
      }
    }
  }

  /// Killed at any moment, the runtime leaves nothing that `delete --force` does not remove.
  @Test func aCreationThatIsCutOffCanBeDeleted() async throws {
    try await Bundle.with { bundle in
      try await bundle.describe(["sleep", "1000"])
      for step in 0..<25 {
        _ = try await Command.shell(
          """
          \(bundle.command) create --bundle \(bundle.path) \(bundle.id) </dev/null >/dev/null 2>&1 & pid=$!
          usleep=\(step * 400); /bin/busybox usleep $usleep; kill -9 $pid 2>/dev/null || true; wait $pid || true
          \(bundle.command) list >/dev/null
          \(bundle.command) delete --force \(bundle.id)
          test ! -e \(bundle.root)/\(bundle.id)
          """)
        #expect(try await Command.shell("find /sys/fs/cgroup -maxdepth 3 -name '*\(bundle.id)*' || true").stdout == "")
      }
    }
  }
}
