import Foundation
import TestSupport
import Testing

extension FaultTests {
  /// Ends `gantry-snapshotd` while `command` stands still in the middle of its bytes, and checks that the command says one
  /// thing and that nothing is left.
  private func killDuring(_ script: (String, String) -> String) async throws -> Output {
    var result: Output?
    try await withEngine { engine in
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c",
        "head -c 30000000 /dev/zero >/big; : >/ready; exec sleep 1000")
      try await engine.eventually("the file is there") {
        try await engine.gantry("exec", name, "ls", "/ready", expecting: nil).status == 0
      }
      let pid = try await engine.pid(of: "gantry-snapshotd")
      let gantry = "GANTRY_STATE=\(engine.state) \(TestEngine.binaries)/gantry"
      result = try await Command.shell(
        """
        cd \(engine.folder); mkfifo p
        kill() { workers=$(pgrep -P \(pid)); command kill -9 \(pid); }
        \(script(gantry, name))
        for w in ${workers:-none}; do timeout 5 tail --pid=$w -f /dev/null || echo "a worker is left"; done
        """, expecting: nil, seconds: 60)
      try await engine.eventually("the service is back") { try await engine.pidIfUp(of: "gantry-snapshotd") != nil }
      #expect(try await engine.gantry("exec", name, "echo", "goes on").trimmed == "goes on")
      try await engine.gantry("cp", "\(name):/ready", engine.folder.string)
      try await engine.gantry("rm", "-f", name)
    }
    return try #require(result)
  }

  @Test func aKilledServiceEndsAnExportWithOneError() async throws {
    let output = try await killDuring { gantry, name in
      """
      \(gantry) export \(name) >p & job=$!; exec 3<p; head -c 1000 <&3 >/dev/null; kill; cat <&3 >/dev/null
      wait $job || echo "ended with $?"
      """
    }
    #expect(output.stdout == "ended with 1\n", "\(output)")
    #expect(output.stderr.hasPrefix("gantry: ") && output.stderr.split(separator: "\n").count == 1, "\(output)")
  }

  @Test func aKilledServiceEndsACopyOutWithOneError() async throws {
    let output = try await killDuring { gantry, name in
      """
      \(gantry) cp \(name):/big - >p & job=$!; exec 3<p; head -c 1000 <&3 >/dev/null; kill; cat <&3 >/dev/null
      wait $job || echo "ended with $?"
      """
    }
    #expect(output.stdout == "ended with 1\n", "\(output)")
    #expect(output.stderr.hasPrefix("gantry: ") && output.stderr.split(separator: "\n").count == 1, "\(output)")
  }

  @Test func aKilledServiceEndsACopyInWithOneError() async throws {
    let output = try await killDuring { gantry, name in
      """
      head -c 5000000 /dev/zero >zeros; tar -cf a.tar zeros
      \(gantry) cp - \(name):/tmp <p & job=$!; exec 3>p; head -c 1000000 a.tar >&3; kill; exec 3>&-
      wait $job || echo "ended with $?"
      """
    }
    #expect(output.stdout == "ended with 1\n", "\(output)")
    #expect(output.stderr.hasPrefix("gantry: ") && output.stderr.split(separator: "\n").count == 1, "\(output)")
  }

  @Test func aClientThatGoesAwayLeavesNoWorkerAndTheContainerStarts() async throws {
    try await withEngine { engine in
      let name = engine.name()
      try await engine.gantry("create", "--name", name, "busybox", "sleep", "1000")
      _ = try await Command.shell(
        """
        cd \(engine.folder); mkfifo p; head -c 3000000 /dev/zero >zeros; tar -cf a.tar zeros
        GANTRY_STATE=\(engine.state) \(TestEngine.binaries)/gantry cp - \(name):/tmp <p & job=$!
        exec 3>p; head -c 1000000 a.tar >&3; kill -9 $job; wait $job || true
        """)
      // The broken transfer ends, and with it the wait of the start.
      try await engine.gantry("start", name, seconds: 20)
      #expect(try await engine.gantry("exec", name, "echo", "runs").trimmed == "runs")
      try await engine.gantry("rm", "-f", name)
    }
  }
}
