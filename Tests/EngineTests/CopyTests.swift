import Faults
import Foundation
import Protocol
import Testing

@testable import Engine

@Suite struct CopyTests {
  @Test func aRunningContainersFilesAreThoseOfItsProcess() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web")
    _ = try await test.engine.containerPathStat(.init(container: "web", path: "/x"))
    let tree = try #require(test.snapshots.trees.withLock { $0.last })
    #expect(tree.key == id && tree.process == 1001 && tree.name == "container web")
    #expect(tree.mounts?.map(\.destination) == ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"])
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id))
    _ = try await test.engine.containerArchive(.init(container: "web", path: "/x"))
    #expect(test.snapshots.trees.withLock { $0.last?.process } == nil)
  }

  @Test func aProcessThatHasJustEndedIsLookedAtAgain() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web")
    test.snapshots.treeFaults.withLock { $0 = [Fault(.conflict, "it ended"), Fault(.conflict, "it ended")] }
    Task {
      try await Task.sleep(for: .milliseconds(20))
      test.tasks.end(id, 0)
    }
    _ = try await test.engine.containerPathStat(.init(container: "web", path: "/x"))
    #expect(test.snapshots.trees.withLock { $0.last?.process } == nil)
    #expect(test.snapshots.trees.withLock { $0.first?.process } == 1001)
  }

  @Test func aStartWaitsForATransferIntoTheStoppedContainer() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web")
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id))
    let opened = try await test.engine.containerExtract(.init(container: "web", path: "/"))
    let started = Task { try await test.engine.containerStart(.init(container: "web")) }
    let finished = Task { try await test.engine.containerFinishCopy(.init(copy: opened.copy)).bytes }
    // The start is asked for and has had every chance to go on.
    for _ in 0..<100 { await Task.yield() }
    #expect(try test.engine.directory.resolve("web").state.running == nil)
    #expect(test.tasks.state.withLock { $0.created.count } == 1)
    test.snapshots.ends.withLock { $0[opened.copy]?.finish() }
    #expect(try await finished.value == 512)
    _ = try await started.value
    #expect(try test.engine.directory.resolve("web").state.running != nil)
  }

  @Test func copiedOwnersAreTheContainersUserWhereItHasOne() async throws {
    let test = try TestEngine()
    _ = try await test.run(name: "web") { $0.user = "1000:1000" }
    #expect(Engine.ownMountPoints.contains("/etc/hosts"))
    let opened = try await test.engine.containerExtract(.init(container: "web", path: "/", copyUIDGID: true))
    test.snapshots.ends.withLock { $0[opened.copy]?.finish() }
    _ = try await test.engine.containerFinishCopy(.init(copy: opened.copy))
    await #expect(throws: Fault.self) { try await test.engine.containerFinishCopy(.init(copy: opened.copy)) }
  }
}
