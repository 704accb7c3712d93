import Foundation
import TestSupport
import Testing

extension FaultTests {
  /// A gateway, or a task service, that is killed while an exec runs ends nothing, and its exit code is not lost.
  @Test(arguments: ["gantryd", "gantry-taskd"]) func anExecOutlivesAKilledService(service: String) async throws {
    try await withEngine { engine in
      let name = engine.name()
      let gate = engine.folder.appending("gate")
      try await engine.gantry("run", "-d", "--name", name, "-v", "\(engine.folder):/host", "busybox", "sleep", "1000")
      async let exec = engine.gantry(
        "exec", name, "sh", "-c", "touch /host/up; while [ ! -e /host/gate ]; do sleep 0.01; done; echo done; exit 7",
        expecting: nil)
      try await engine.eventually("the exec runs") {
        FileManager.default.fileExists(atPath: engine.folder.appending("up").string)
      }
      kill(try await engine.pid(of: service), SIGKILL)
      try await engine.eventually("all services answer", seconds: 20) {
        try await engine.gantry("system", "status", expecting: nil).status == 0
      }
      _ = try await Command.shell("touch \(gate)")
      let ended = try await exec
      #expect(ended.stdout == "done\n" && ended.status == 7, "\(ended)")
      #expect(try await engine.gantry("inspect", "-f", "{{.State.Running}}", name).trimmed == "true")
    }
  }
}
