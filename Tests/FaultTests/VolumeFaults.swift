import Foundation
import TestSupport
import Testing

extension FaultTests {
  @Test(arguments: ["gantryd", "gantry-snapshotd"]) func volumesAreNeitherLostNorLeft(service: String) async throws {
    try await withEngine { engine in
      let kept = engine.name("kept")
      try await engine.gantry("volume", "create", kept)
      try await engine.busybox(["-v", "\(kept):/d"], "sh", "-c", "echo kept >/d/file")
      let killer = Task {
        while !Task.isCancelled {
          try await Task.sleep(for: .milliseconds(Int.random(in: 5...150)))
          if let pid = try await engine.pidIfUp(of: service) { kill(pid, SIGKILL) }
        }
      }
      // Busybox's /etc has files: each run fills a volume of its own, anonymous and by name.
      var named: [String] = []
      for round in 0..<12 {
        let volume = engine.name("v\(round)")
        let name = engine.name("c\(round)")
        _ = try await engine.gantry("volume", "create", "--label", "round=\(round)", volume, expecting: nil)
        let run = try await engine.gantry(
          "run", "--name", name, "-v", "\(volume):/etc", "-v", "/anonymous", "-v", "\(kept):/d", "busybox", "sh", "-c",
          "cat /d/file; ls /etc | wc -l", expecting: nil, seconds: 60)
        #expect(run.status != 137, "a command hung: \(run)")
        if run.status == 0 { #expect(run.lines.first == "kept" && run.lines.count == 2) }
        _ = try await engine.gantry("rm", "-f", "-v", name, expecting: nil)
        if round % 2 == 0 { _ = try await engine.gantry("volume", "rm", volume, expecting: nil) }
        named.append(volume)
      }
      killer.cancel()
      _ = try? await killer.value
      try await engine.eventually("all services answer", seconds: 20) {
        try await engine.gantry("system", "status", expecting: nil).status == 0
      }
      let left = try await engine.gantry("ps", "-aq").lines.map(String.init)
      if !left.isEmpty { try await engine.gantry(["rm", "-f", "-v"] + left) }
      #expect(try await engine.busybox(["-v", "\(kept):/d"], "cat", "/d/file").trimmed == "kept")

      // A volume that a cut-off run filled holds what a whole one does.
      for volume in try await engine.gantry("volume", "ls", "-q").lines.map(String.init) where named.contains(volume) {
        let seen = try await engine.busybox(["-v", "\(volume):/etc"], "ls", "-A", "/etc")
        let whole = try await engine.busybox(["-v", "/etc"], "ls", "-A", "/etc")
        #expect(seen.stdout == whole.stdout, "\(volume) is half filled")
      }
      // An anonymous one may be left where `rm -v` was cut off: as one that can be seen and removed.
      try await engine.gantry("volume", "prune", "-af")
      #expect(try await engine.gantry("volume", "ls", "-q").stdout.isEmpty)
    }
  }
}
