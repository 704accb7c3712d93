import Foundation
import SystemPackage
import TestSupport
import Testing

/// What must survive: services killed at any moment, shims killed, full and read-only disks, a second engine.
@Suite(.root, .serialized, .timeLimit(.minutes(10)))
struct FaultTests {
  static let services = ["gantryd", "gantry-imaged", "gantry-snapshotd", "gantry-taskd"]

  /// Runs `body` with an engine of its own and checks after it that nothing is left.
  func withEngine(_ body: (TestEngine) async throws -> Void) async throws {
    let engine = try await TestEngine.start()
    do {
      try await body(engine)
      try await expectNothingLeft(engine)
    } catch {
      try? await engine.stop()
      throw error
    }
    try await engine.stop()
  }

  /// After every container is removed: no process, cgroup, mount, task folder, snapshot folder or row.
  func expectNothingLeft(_ engine: TestEngine) async throws {
    // What a killed service was removing is removed when it is back: then asking again finds nothing to do.
    try await engine.eventually("every container is removed", seconds: 20) {
      let containers = try await engine.gantry("ps", "-aq", expecting: nil).lines.map(String.init)
      if containers.isEmpty { return true }
      try await engine.gantry(["rm", "-f"] + containers, expecting: nil)
      return false
    }
    var rest = ""
    for _ in 0..<100 {
      rest = try await left(engine)
      if rest.isEmpty { break }
      try await Task.sleep(for: .milliseconds(50))
    }
    #expect(rest == "", "left after every container was removed")
  }

  func left(_ engine: TestEngine) async throws -> String {
    try await Command.shell(
      """
      ls -A \(engine.state)/tasks 2>/dev/null | grep -vx lock | sed 's/^/task /'
      ls -A \(engine.root)/snapshot/active 2>/dev/null | sed 's/^/snapshot /'
      ls -A \(engine.root)/snapshot/trash 2>/dev/null | sed 's/^/trash /'
      ls -A \(engine.root)/gateway/containers 2>/dev/null | sed 's/^/container /'
      ls -A \(engine.root)/gateway/volumes 2>/dev/null | sed 's/^/volume /'
      grep \(engine.folder) /proc/self/mountinfo | sed 's/^/mount /'
      for p in /proc/[0-9]*; do
        case $(tr '\\0' ' ' <$p/cmdline 2>/dev/null) in gantry-shim*\(engine.state)*) echo "process $p";; esac
      done
      true
      """
    ).stdout
  }

  @Test(arguments: services) func killedServiceLosesNothing(service: String) async throws {
    try await withEngine { engine in
      let counter = engine.name("counter")
      try await engine.gantry(
        "run", "-d", "--name", counter, "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done")
      let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", counter).trimmed

      // One hand works, the other kills: every command ends, well or with an error, and none hangs.
      let killer = Task {
        while !Task.isCancelled {
          try await Task.sleep(for: .milliseconds(Int.random(in: 5...120)))
          if let pid = try await engine.pidIfUp(of: service) { kill(pid, SIGKILL) }
        }
      }
      for round in 0..<15 {
        let name = engine.name("w\(round)")
        let run = try await engine.gantry(
          "run", "--name", name, "busybox", "sh", "-c", "echo hello; exit 7", expecting: nil, seconds: 60)
        #expect(run.status != 137, "a command hung: \(run)")
        if run.status == 7 { #expect(run.stdout == "hello\n") }
        _ = try await engine.gantry("exec", counter, "true", expecting: nil)
        _ = try await engine.gantry("rm", "-f", name, expecting: nil)
      }
      killer.cancel()
      _ = try? await killer.value

      try await engine.eventually("all services answer", seconds: 20) {
        try await engine.gantry("system", "status", expecting: nil).status == 0
      }
      #expect(
        try await engine.gantry("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", counter).trimmed == "\(pid) true")
      #expect(try await engine.gantry("exec", counter, "echo", "still here").trimmed == "still here")
      let numbers = try await engine.gantry("logs", counter).lines.map { Int($0)! }
      #expect(numbers == Array(1...numbers.count), "the log has a gap")
    }
  }

  @Test(arguments: services) func anExitWhileAServiceIsDownIsNotLost(service: String) async throws {
    try await withEngine { engine in
      let name = engine.name()
      let gate = engine.folder.appending("gate")
      try await engine.gantry(
        "run", "-d", "--name", name, "-v", "\(engine.folder):/host", "busybox", "sh", "-c",
        "while [ ! -e /host/gate ]; do sleep 0.01; done; echo last words; exit 42")
      kill(try await engine.pid(of: service), SIGKILL)
      _ = try await Command.shell("touch \(gate)")
      try await engine.eventually("the exit is told", seconds: 20) {
        try await engine.gantry("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name, expecting: nil).trimmed
          == "exited 42"
      }
      #expect(try await engine.gantry("wait", name).trimmed == "42")
      #expect(try await engine.gantry("logs", name).stdout == "last words\n")
    }
  }

  @Test func aGatewayKilledDuringABackOffGoesOnWaiting() async throws {
    try await withEngine { engine in
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "--restart", "always", "busybox", "sh", "-c", "exit 5")
      for count in [3, 4, 5] {
        try await engine.eventually("it waits for start \(count)", seconds: 20) {
          try await engine.gantry("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name, expecting: nil).trimmed
            == "restarting \(count)"
        }
        kill(try await engine.pid(of: "gantryd"), SIGKILL)
      }
      try await engine.eventually("it was started again", seconds: 20) {
        Int(try await engine.gantry("inspect", "-f", "{{.RestartCount}}", name, expecting: nil).trimmed) ?? 0 > 5
      }
      // Every run was told in order, whoever saw it.
      let actions = try await engine.gantry(
        "events", "--since", "1h", "--until", "0s", "--filter", "container=\(name)", "--format", "{{.Action}}"
      ).lines.map(String.init)
      #expect(actions.first == "create")
      for (index, action) in actions.dropFirst().enumerated() {
        #expect(action == (index % 2 == 0 ? "start" : "die"), "\(actions)")
      }
      try await engine.eventually("a stop ends it", seconds: 20) {
        try await engine.gantry("stop", name, expecting: nil).status == 0
      }
      kill(try await engine.pid(of: "gantryd"), SIGKILL)
      try await engine.eventually("the gateway is back", seconds: 20) {
        try await engine.gantry("inspect", "-f", "{{.State.Status}}", name, expecting: nil).trimmed == "exited"
      }
    }
  }

  @Test func stoppingDoesNotWaitForWaits() async throws {
    let engine = try await TestEngine.start()
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
    let wait = Task { try await engine.gantry("wait", name, expecting: nil) }
    let events = Task { try await engine.gantry("events", expecting: nil) }
    try await engine.eventually("both are connected") {
      try await engine.gantry("info", "-f", "{{.NEventsListener}}").trimmed == "1"
    }
    let began = ContinuousClock.now
    try await engine.gantry("system", "stop")
    #expect(ContinuousClock.now - began < .seconds(3))
    #expect(try await wait.value.status != 0)
    _ = try await events.value
    try await engine.gantry("system", "start")
    #expect(try await engine.gantry("inspect", "-f", "{{.State.Running}}", name).trimmed == "true")
    try await engine.stop()
  }

  @Test func killedShimIsTold() async throws {
    try await withEngine { engine in
      let name = engine.name()
      let id = try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000").trimmed
      let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      let shim = try #require(Int32(try await Command.shell("awk '{print $4}' /proc/\(pid)/stat").trimmed))
      #expect(shim > 1)
      kill(shim, SIGKILL)
      try await engine.eventually("the container is told dead", seconds: 1.5) {
        try await engine.gantry("inspect", "-f", "{{.State.Running}}", name).trimmed == "false"
      }
      let state = try await engine.gantry("inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", name).trimmed
      #expect(state.contains("shim"), "\(state)")
      try await engine.eventually("its process is gone") { kill(Int32(pid)!, 0) != 0 }
      let groups = try await Command.shell("find /sys/fs/cgroup -type d -name '*\(id)*' | wc -l").trimmed
      #expect(groups == "0")
      try await engine.gantry("rm", name)
    }
  }

  @Test func allServicesKilledAtOnce() async throws {
    try await withEngine { engine in
      let names = (0..<5).map { _ in engine.name() }
      for name in names { try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000") }
      for service in Self.services { kill(try await engine.pid(of: service), SIGKILL) }
      try await engine.eventually("all services answer", seconds: 20) {
        try await engine.gantry("system", "status", expecting: nil).status == 0
      }
      for name in names {
        #expect(try await engine.gantry("exec", name, "echo", "here").trimmed == "here")
      }
    }
  }

  /// `GANTRY_TEST_CYCLES` sets how many; the full thousand takes minutes.
  @Test func cyclesWhileServicesAreKilledLeakNothing() async throws {
    let count = ProcessInfo.processInfo.environment["GANTRY_TEST_CYCLES"] ?? "120"
    try await withEngine { engine in
      let cycles = TestEngine.repository.appending("Tests/FaultTests/cycles")
      let output = try await Command.run(
        [cycles.string, TestEngine.binaries.appending("gantry").string, count], environment: engine.environment,
        seconds: 500)
      print(output.trimmed)
      try await engine.eventually("all services answer", seconds: 20) {
        try await engine.gantry("system", "status", expecting: nil).status == 0
      }
    }
  }

  @Test func aFullDiskIsOneClearErrorAndNothingHalf() async throws {
    let disk = FileManager.default.temporaryDirectory.path + "/g-disk-\(UInt32.random(in: 0 ... .max))"
    _ = try await Command.shell("mkdir \(disk); mount -t tmpfs -o size=24m none \(disk)")
    do {
      try await fillDisk(disk)
    } catch {
      _ = try? await Command.shell("umount -l \(disk); rmdir \(disk)")
      throw error
    }
    _ = try await Command.shell("umount \(disk); rmdir \(disk)")
  }

  func fillDisk(_ disk: String) async throws {
    let engine = try await TestEngine.start(root: FilePath("\(disk)/r"))
    try await engine.gantry("run", "--rm", "busybox", "true")
    let before = try await engine.gantry("images", "-aq").stdout
    let big = engine.folder.appending("big.tar")
    _ = try await Command.shell(
      """
      head -c 40000000 /dev/urandom >\(engine.folder)/body
      cd \(engine.folder) && mkdir layer && mv body layer/ && tar -C layer -cf layer.tar body
      digest=$(sha256sum <layer.tar | cut -d' ' -f1)
      printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $digest >config.json
      echo '[{"Config":"config.json","RepoTags":["big:latest"],"Layers":["layer.tar"]}]' >manifest.json
      tar -cf big.tar manifest.json config.json layer.tar
      """)
    let output = try await engine.gantry("load", "-q", "-i", big.string, expecting: 1)
    #expect(output.stderr.contains("space") || output.stderr.contains("full"), "\(output)")
    #expect(output.stderr.split(separator: "\n").count == 1, "\(output)")
    #expect(try await engine.gantry("images", "-aq").stdout == before)
    // What had been written of it is gone, so that there is room to go on.
    #expect(try await engine.gantry("run", "--rm", "busybox", "echo", "goes on").trimmed == "goes on")
    try await engine.stop()
  }

  @Test func aReadOnlyFolderIsRefusedInOneSentence() async throws {
    let disk = FileManager.default.temporaryDirectory.path + "/g-disk-\(UInt32.random(in: 0 ... .max))"
    _ = try await Command.shell("mkdir \(disk); mount -t tmpfs -o ro,size=4m none \(disk)")
    let start = try await Command.run(
      [TestEngine.binaries.appending("gantry").string, "system", "start"],
      environment: ["GANTRY_ROOT": "\(disk)/r", "GANTRY_STATE": "\(disk)/s"], expecting: nil)
    _ = try await Command.shell("umount \(disk); rmdir \(disk)")
    #expect(start.status == 1, "\(start)")
    #expect(start.stderr.contains("\(disk)/"), "\(start)")
    #expect(start.stderr.lowercased().contains("read-only"), "\(start)")
  }

  @Test func aSecondEngineOnTheSameFolderIsRefused() async throws {
    try await withEngine { engine in
      for service in Self.services {
        let second = try await Command.run(
          [
            "/bin/bash", "-c", "exec -a \(service) \(TestEngine.binaries)/gantryd \"$@\"", "-", "--root",
            engine.root.string, "--state", engine.folder.appending("t").string,
          ], expecting: nil, seconds: 10)
        #expect(second.status != 0 && second.status != 137, "\(service): \(second)")
        #expect(second.stderr.contains("another") || second.stderr.contains("in use"), "\(service): \(second)")
      }
      #expect(try await engine.gantry("run", "--rm", "busybox", "echo", "unharmed").trimmed == "unharmed")
    }
  }
}
