import Foundation
import TestSupport
import Testing

extension IntegrationTests {
  /// checkpoint create, ls, rm; start --checkpoint.
  @Suite struct Checkpoints {
    /// Whether CRIU is here and works on this kernel: 3.17 of Debian 12 does not from Linux 6.13 on.
    static let works: Bool = {
      let check = Process()
      check.executableURL = URL(filePath: "/bin/sh")
      check.arguments = ["-c", "PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH criu check >/dev/null 2>&1"]
      guard (try? check.run()) != nil else { return false }
      check.waitUntilExit()
      return check.terminationStatus == 0
    }()

    var engine: TestEngine { TestEngine.current }

    /// A container that counts, and the last number that it has written.
    private func counter() async throws -> String {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
      try await engine.eventually("it counts") { try await last(name) > 5 }
      return name
    }

    private func last(_ name: String) async throws -> Int {
      Int(try await engine.gantry("logs", "--tail", "1", name).trimmed) ?? 0
    }

    @Test(.disabled(if: works, "CRIU works here")) func aMissingOrOldCRIUIsTold() async throws {
      let name = try await counter()
      let refused = try await engine.gantry("checkpoint", "create", name, "one", expecting: 1)
      #expect(refused.stderr.contains("CRIU") && refused.stderr.contains("install"), "\(refused)")
      #expect(try await engine.gantry("inspect", "-f", "{{.State.Status}}", name).trimmed == "running")
      #expect(try await engine.gantry("checkpoint", "ls", name).stdout == "CHECKPOINT NAME\n")
      try await engine.gantry("rm", "-f", name)
    }

    @Test(.enabled(if: works, "needs a CRIU that works on this kernel (`criu check`)"))
    func goesOnWhereItWas() async throws {
      let name = try await counter()
      #expect(try await engine.gantry("checkpoint", "create", "--leave-running", name, "early").trimmed == "early")
      #expect(try await engine.gantry("inspect", "-f", "{{.State.Status}}", name).trimmed == "running")
      try await engine.gantry("checkpoint", "create", name, "late")
      #expect(
        try await engine.gantry("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).trimmed == "exited 137")
      #expect(try await engine.gantry("checkpoint", "ls", name).lines == ["CHECKPOINT NAME", "early", "late"])
      let before = try await last(name)

      try await engine.gantry("start", "--checkpoint", "late", name)
      try await engine.eventually("it counts on") { try await last(name) > before + 3 }
      let numbers = try await engine.gantry("logs", name).lines.compactMap { Int($0) }
      #expect(numbers == Array(1...numbers.count), "a number is missing or told twice")
      // It is a container like any other: its own namespaces, cgroup, exec, stop.
      #expect(try await engine.gantry("exec", name, "cat", "/proc/1/comm").trimmed == "sh")
      #expect(try await engine.gantry("top", name).lines.count >= 2)
      let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      let id = try await engine.gantry("inspect", "-f", "{{.Id}}", name).trimmed
      #expect(try await Command.shell("grep -c \(id) /proc/\(pid)/cgroup").trimmed != "0")
      let own = try await Command.shell("readlink /proc/self/ns/net").trimmed
      #expect(try await Command.shell("readlink /proc/\(pid)/ns/net").trimmed != own)
      try await engine.gantry("stop", "-t", "0", name)

      // The earlier one again: its memory is of then.
      try await engine.gantry("start", "--checkpoint", "early", name)
      try await engine.eventually("it counts again") { try await last(name) < before + 100 }
      try await engine.gantry("kill", name)
      try await engine.gantry("checkpoint", "rm", name, "early")
      #expect(try await engine.gantry("checkpoint", "ls", name).lines == ["CHECKPOINT NAME", "late"])
      try await engine.gantry("rm", "-f", name)
    }

    @Test(.enabled(if: works, "needs a CRIU that works on this kernel (`criu check`)"))
    func aFolderOfTheUsersIsChecked() async throws {
      let name = try await counter()
      let folder = engine.folder.appending("checkpoints").string
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try await engine.gantry("checkpoint", "create", "--checkpoint-dir", folder, name, "one")
      try await engine.gantry("start", "--checkpoint", "one", "--checkpoint-dir", folder, name)
      try await engine.gantry("stop", "-t", "0", name)
      _ = try await Command.shell("printf x >>\(folder)/one/pages-1.img")
      let changed = try await engine.gantry(
        "start", "--checkpoint", "one", "--checkpoint-dir", folder, name, expecting: 1)
      #expect(changed.stderr.contains("was changed after the checkpoint was made"))
      // Another kind of container does not take its processes over.
      let other = engine.name()
      try await engine.gantry("create", "--name", other, "--privileged", "busybox", "sleep", "1000")
      try await engine.gantry("start", other)
      try await engine.gantry("checkpoint", "create", "--checkpoint-dir", folder, other, "wide", expecting: nil)
      let wide = try await engine.gantry(
        "start", "--checkpoint", "wide", "--checkpoint-dir", folder, name, expecting: 1)
      #expect(wide.status == 1)
      try await engine.gantry("rm", "-f", name, other)
    }

    @Test func badRequestsAreRefusedByName() async throws {
      let name = engine.name()
      try await engine.gantry("create", "--name", name, "busybox", "true")
      #expect(try await engine.gantry("checkpoint", "create", name, "../x", expecting: 1).stderr.contains("../x"))
      #expect(
        try await engine.gantry("checkpoint", "create", name, "x", expecting: 1).stderr.contains("is not running"))
      #expect(try await engine.gantry("checkpoint", "rm", name, "x", expecting: 1).stderr.contains("does not exist"))
      #expect(
        try await engine.gantry("start", "--checkpoint", "x", name, expecting: 1).stderr.contains("does not exist"))
      let two = try await engine.gantry("start", "--checkpoint", "x", name, "other", expecting: 1)
      #expect(two.stderr.contains("multiple containers"))
      #expect(
        try await engine.gantry("start", "--checkpoint-dir", "/tmp", name, expecting: 1).stderr.contains("--checkpoint")
      )
      try await engine.gantry("rm", name)
    }
  }
}
