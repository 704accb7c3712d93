import Foundation
import TestSupport
import Testing

extension SecurityTests {
  /// A container that wants everything: within its limits it gets what it can, and nobody else notices.
  struct Bomb: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var flags: [String]
    var script: String
  }

  static let bombs = [
    Bomb(
      testDescription: "fork bomb", flags: ["--pids-limit", "200", "--cpus", "0.5"],
      script: "b() { b | b & }; b; while :; do sleep 100 & done"),
    Bomb(
      testDescription: "memory bomb", flags: ["-m", "64m", "--memory-swap", "64m", "--cpus", "0.5"],
      script: "while :; do x=$(yes | head -c 200000000); done"),
    Bomb(
      testDescription: "descriptor bomb", flags: ["--pids-limit", "200", "--cpus", "0.5"],
      script: """
        hold() { for i in 3 4 5 6 7 8 9; do eval "exec $i</dev/null"; done; while :; do (hold) & done; }; hold
        """),
    Bomb(
      testDescription: "inode bomb", flags: ["--cpus", "0.5", "--tmpfs", "/t:size=64m,nr_inodes=20000"],
      script: "i=0; mkdir -p /t/x; cd /t/x; while :; do i=$((i+1)); : >f$i; done 2>/dev/null"),
    Bomb(
      testDescription: "log flood", flags: ["--cpus", "0.5", "--log-opt", "max-size=1m", "--log-opt", "max-file=2"],
      script: "yes flood-flood-flood-flood-flood-flood-flood"),
  ]

  @Test("Bombs: the engine answers within a second, others go on, and the bomb can be removed", arguments: bombs)
  func bomb(_ bomb: Bomb) async throws {
    let quiet = engine.name("quiet")
    let name = engine.name("bomb")
    try await engine.gantry("run", "-d", "--name", quiet, "busybox", "sh", "-c", "while :; do sleep 0.1; echo .; done")
    try await engine.gantry(["run", "-d", "--name", name] + bomb.flags + ["busybox", "sh", "-c", bomb.script])
    try await others(quiet, of: name)
    try await engine.gantry("rm", "-f", name, quiet)
    #expect(try await engine.busybox([], "echo", "fine").trimmed == "fine")
  }

  @Test("Zombies: many thousand dead processes that nobody buries, in one container")
  func zombies() async throws {
    let quiet = engine.name("quiet")
    let name = engine.name("bomb")
    // As many as there can be and leave room for others, at most 100,000.
    let most =
      Int(
        try String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8).trimmingCharacters(
          in: .whitespacesAndNewlines)) ?? 32768
    let count = min(ProcessInfo.processInfo.environment["GANTRY_ZOMBIES"].flatMap { Int($0) } ?? 10_000, most / 2)
    try await engine.gantry("run", "-d", "--name", quiet, "busybox", "sh", "-c", "while :; do sleep 0.1; echo .; done")
    try await engine.gantry(
      "run", "-d", "--name", name, "--pids-limit", "-1", "busybox", "sh", "-c",
      "i=0; while [ $i -lt \(count) ]; do i=$((i+1)); : & done; echo all; exec sleep 1000")
    try await engine.eventually("all are dead", seconds: 300) { try await engine.gantry("logs", name).trimmed == "all" }
    try await others(quiet, of: name)
    let start = ContinuousClock.now
    try await engine.gantry("rm", "-f", name, quiet)
    #expect(ContinuousClock.now - start < .seconds(20))
  }

  /// The engine answers within a second, and `quiet` goes on writing, while `name` does its worst.
  private func others(_ quiet: String, of name: String) async throws {
    let before = try await engine.gantry("logs", quiet).stdout.utf8.count
    for _ in 0..<5 {
      let start = ContinuousClock.now
      let list = try await engine.gantry("ps", "--format", "{{.Names}}")
      #expect(ContinuousClock.now - start < .seconds(1))
      #expect(list.lines.contains { $0 == quiet })
    }
    try await engine.eventually("the other container goes on", seconds: 5) {
      try await engine.gantry("logs", quiet).stdout.utf8.count > before + 4
    }
    let inspect = try await engine.gantry("inspect", "-f", "{{.State.OOMKilled}} {{.State.Running}}", quiet)
    #expect(inspect.trimmed == "false true")
  }
}
