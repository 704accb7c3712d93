import Faults
import JSONRPC
import Protocol
import Testing

@testable import Engine

/// Leases, use, pins and checks as the engine composes them.
@Suite struct ImageCareTests {
  @Test func aLeaseIsOfBothServicesAndEndsWithTheWork() async throws {
    let test = try TestEngine()
    let name = try await test.engine.withLease("pull") { lease in
      #expect(test.images.open.withLock { $0 } == [lease] && test.snapshots.open.withLock { $0 } == [lease])
      return lease
    }
    #expect(name.hasPrefix("pull-"))
    #expect(test.images.open.withLock { $0.isEmpty } && test.snapshots.open.withLock { $0.isEmpty })
    await #expect(throws: Fault.self) {
      try await test.engine.withLease("commit") { _ in throw Fault(.corrupt, "not whole") }
    }
    #expect(test.images.open.withLock { $0.isEmpty } && test.snapshots.open.withLock { $0.isEmpty })
    await test.engine.background.drain()
    // What the failed work left is collected; what images need is kept.
    #expect(test.snapshots.pruned.withLock { $0 } == [[FakeImages.digest("busyboxlayer")]])
  }

  @Test func useIsToldInOneCall() async throws {
    let test = try TestEngine()
    _ = try await test.run(name: "one")
    _ = try await test.create()
    #expect(test.images.used.withLock { $0.isEmpty })
    await test.engine.tellUse()
    await test.engine.tellUse()
    #expect(test.images.used.withLock { $0 } == [FakeImages.digest("busybox")])
  }

  @Test func aCheckReportsAndRemoves() async throws {
    let test = try TestEngine()
    let id = FakeImages.digest("busybox")
    test.images.damage.withLock { $0 = [.init(digest: "sha256:1", problem: "it is missing", images: [id])] }
    let found = try await test.engine.systemCheck(.init(), CallContext())
    #expect(found.damage.map(\.outcome) == ["left"] && found.damage[0].images == ["busybox:latest"])
    let removed = try await test.engine.systemCheck(.init(remove: true), CallContext())
    #expect(removed.damage.map(\.outcome) == ["removed"])
    #expect(test.images.removed.withLock { $0.map(\.reference) } == [id])
  }

  @Test func aDamagedLayerIsUnpackedAnew() async throws {
    let test = try TestEngine()
    let layer = FakeImages.digest("busyboxlayer")
    test.snapshots.damage.withLock { $0 = [.init(chainID: layer, diffID: layer, problem: "a is missing")] }
    #expect(try await test.engine.systemCheck(.init(), CallContext()).damage.map(\.outcome) == ["left"])
    test.snapshots.layers.withLock { $0 = [] }
    #expect(try await test.engine.systemCheck(.init(repair: true), CallContext()).damage.map(\.outcome) == ["repaired"])
    #expect(test.snapshots.layers.withLock { $0 } == [layer])
  }
}
