import Faults
import JSONRPC
import OCI
import Protocol
import Testing

@testable import Engine

/// `container.commit` over services that remember what they were asked.
@Suite struct CommitTests {
  private let context = CallContext()

  @Test func aRunningContainerIsFrozenWhileItIsCopiedAndGoesOn() async throws {
    let test = try TestEngine()
    let id = try await test.run()
    let answer = try await test.engine.containerCommit(
      .init(container: id, reference: "made:1", author: "me", comment: "why", changes: ["ENV A=1"]), context)
    #expect(answer.id.hasPrefix("sha256:"))
    let request = try #require(test.images.commits.withLock { $0.first })
    #expect(request.names == ["made:1"] && request.author == "me" && request.comment == "why")
    #expect(request.layer?.size == 10_240 && request.config.env?.last == "A=1")
    let capture = try #require(test.snapshots.captures.withLock { $0.first })
    #expect(capture.key == id && capture.lease != nil && capture.mountPoints == Engine.ownMountPoints)
    #expect(test.snapshots.open.withLock { $0.isEmpty }, "the lease has ended")
    let container = try test.engine.directory.resolve(id)
    #expect({ if case .running = container.state { true } else { false } }())
  }

  @Test func aFailedCopyLetsTheContainerGoOnAndMakesNoImage() async throws {
    let test = try TestEngine()
    let id = try await test.run()
    test.snapshots.captureFault.withLock { $0 = Fault(.noSpace, "the disk is full") }
    await #expect { _ = try await test.engine.containerCommit(.init(container: id), context) } throws: {
      ($0 as? Fault)?.code == .noSpace
    }
    let container = try test.engine.directory.resolve(id)
    #expect({ if case .running = container.state { true } else { false } }())
    #expect(test.images.commits.withLock { $0.isEmpty })
  }

  @Test func badChangesAndNamesAreRefusedBeforeAnythingIsDone() async throws {
    let test = try TestEngine()
    let id = try await test.create()
    for params in [
      GatewayAPI.ContainerCommitParams(container: id, changes: ["RUN x"]),
      GatewayAPI.ContainerCommitParams(container: id, reference: "Upper"),
    ] {
      await #expect { _ = try await test.engine.containerCommit(params, context) } throws: {
        ($0 as? Fault)?.code == .invalidArgument
      }
    }
    #expect(test.snapshots.captures.withLock { $0.isEmpty })
  }
}
