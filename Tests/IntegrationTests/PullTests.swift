import Foundation
import SystemPackage
import TestSupport
import Testing

/// Pulls with whole engines and Debian's registry.
extension IntegrationTests {
  @Suite(.root, .engine) struct PullTests {
    private let engine = TestEngine.current!

    @Test func pullsRunsAndKnowsWhatItHas() async throws {
      let registry = try await TestRegistry.start()
      try await registry.put("app:1")
      let name = "\(registry.host)/app:1"
      let first = try await engine.gantry("pull", name)
      #expect(first.stdout.contains("1: Pulling from app") && first.stdout.contains("Digest: sha256:"))
      #expect(first.stdout.contains("Status: Downloaded newer image for \(name)"))
      #expect(try await engine.gantry("pull", name).stdout.contains("Status: Image is up to date for \(name)"))
      #expect(try await engine.gantry("image", "pull", "-q", name).trimmed == name)
      #expect(try await engine.gantry("run", "--rm", name, "echo", "pulled").trimmed == "pulled")
      try await engine.gantry("rmi", name)
      let missing = try await engine.gantry("run", "--rm", name, "echo", "came")
      #expect(missing.trimmed == "came" && missing.stderr.contains("Unable to find image '\(name)' locally"))
      #expect(missing.stderr.contains("Status: Downloaded newer image"))
      let always = try await engine.gantry("run", "--rm", "--pull", "always", name, "true")
      #expect(always.stderr.contains("Image is up to date") && always.stdout.isEmpty)
      try await engine.gantry("rmi", name)
      let never = try await engine.gantry("run", "--rm", "--pull", "never", name, "true", expecting: 125)
      #expect(never.stderr.contains("No such image"))
      let unknown = try await engine.gantry("pull", "\(registry.host)/none", expecting: 1)
      #expect(unknown.stderr.contains("manifest for \(registry.host)/none:latest not found"))
      try registry.stop()
    }

    @Test func whatDoesNotUnpackIsNeverSeen() async throws {
      let registry = try await FakeRegistry.start()
      let refused = try await engine.gantry("pull", "\(registry.host)/diff", expecting: 1)
      #expect(refused.stderr.contains("but the image says"), "\(refused)")
      #expect(try await engine.gantry("images", "-q", "\(registry.host)/diff").stdout.isEmpty)
      try registry.stop()
    }

    /// A service that is killed in the middle: the pull survives it or fails in plain words, and the next one goes on behind
    /// what came.
    @Test(arguments: ["gantry-imaged", "gantry-snapshotd", "gantryd"])
    func killedServicesLeaveAPullThatGoesOn(service: String) async throws {
      let registry = try await FakeRegistry.start(size: 6 << 20)
      try registry.set("rate", "1500000")
      let name = "\(registry.host)/slow:\(service)"
      let digest = try registry.facts().layer.dropFirst("sha256:".count)
      let partial = engine.root.appending("image/ingest/sha256-\(digest)")
      func size() -> Int {
        ((try? FileManager.default.attributesOfItem(atPath: partial.string))?[.size] as? UInt64).map { Int($0) } ?? 0
      }
      async let pull = engine.gantry("pull", name, expecting: nil)
      try await engine.eventually("a part of the layer is there", seconds: 30) { size() > 1 << 20 }
      kill(try await engine.pid(of: service), SIGKILL)
      let ended = try await pull
      // The gateway has the layers unpacked again when only the snapshot service went away.
      let isLost = service != "gantry-snapshotd"
      #expect((ended.status != 0) == isLost, "\(ended)")
      if isLost { #expect(!ended.stderr.isEmpty && size() > 1 << 20) }
      try await engine.eventually("the service is back", seconds: 30) {
        try await engine.gantry("pull", name, expecting: nil).status == 0
      }
      let resumed = registry.requests("blobs/sha256:\(digest)").contains { $0.contains("bytes=") }
      #expect(resumed == isLost)
      let shown = try await engine.gantry("images", "-q", name).lines
      #expect(shown.count == 1)
      try await engine.gantry("rmi", "-f", name)
      try registry.stop()
    }
  }
}
