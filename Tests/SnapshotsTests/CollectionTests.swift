import ArchiveFixtures
import Faults
import Foundation
import Glibc
import JSONRPC
import Protocol
import SnapshotConformance
import SystemPackage
import Testing

@testable import Snapshots

extension SnapshotsTests {
  /// What stays and what goes of the layers.
  @Suite(.enabled(if: geteuid() == 0, "needs root: owners and mounts")) struct CollectionTests {
    let scratch = Scratch()

    private func image(_ names: String..., prefix: String) throws -> ImageFixture {
      try ImageFixture(scratch, names.map { name in Tar { $0.file(name) } }, prefix: prefix)
    }

    private func keys(_ store: SnapshotStore) async throws -> Set<String> {
      Set(try await store.list().snapshots.map(\.key))
    }

    @Test("What comes after the mark stays, however old the caller's list is")
    func mark() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      let (old, new) = (try image("a", prefix: "old"), try image("a", "b", prefix: "new"))
      _ = try await store.unpack(.init(layers: old.layers))
      let mark = try await store.mark().mark
      _ = try await store.unpack(.init(layers: new.layers))
      #expect(try await store.layerPrune(.init(keep: [], mark: mark)).removed.isEmpty)
      let later = try await store.mark().mark
      #expect(try await store.layerPrune(.init(keep: [], mark: later)).removed.count == 2)
      try Invariants.check(store)
    }

    @Test("A layer that was there and is asked for again is of use too")
    func askedFor() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      let image = try image("a", prefix: "i")
      _ = try await store.unpack(.init(layers: image.layers))
      let mark = try await store.mark().mark
      #expect(try await store.unpack(.init(layers: image.layers)).unpacked.isEmpty)
      #expect(try await store.layerPrune(.init(keep: [], mark: mark)).removed.isEmpty)
    }

    @Test("A mark of another run is refused")
    func foreignMark() async throws {
      let mark: String
      do { mark = try await SnapshotStore(root: scratch["root"]).mark().mark }
      let store = try SnapshotStore(root: scratch["root"])
      let fault = await #expect(throws: Fault.self) { try await store.layerPrune(.init(keep: [], mark: mark)) }
      #expect(fault?.code == .conflict)
      let wrong = await #expect(throws: Fault.self) { try await store.layerPrune(.init(keep: [], mark: "x")) }
      #expect(wrong?.code == .invalidArgument)
    }

    @Test("A lease holds layers across a restart, and what it let go of survives a prune that began before")
    func lease() async throws {
      let image = try image("a", "b", prefix: "i")
      do {
        let store = try SnapshotStore(root: scratch["root"])
        _ = try await store.lease(.init(lease: "pull", seconds: 60))
        _ = try await store.unpack(.init(layers: image.layers, lease: "pull"))
        #expect(try await store.layerPrune(.init(keep: [])).removed.isEmpty)
        let fault = await #expect(throws: Fault.self) { try await store.remove(.init(keys: [image.chainID])) }
        #expect(fault?.code == .conflict)
      }
      let store = try SnapshotStore(root: scratch["root"])
      #expect(try await store.leases().leases.map(\.name) == ["pull"])
      let mark = try await store.mark().mark
      #expect(try await store.layerPrune(.init(keep: [], mark: mark)).removed.isEmpty)
      _ = try await store.release(.init(lease: "pull"))
      #expect(try await store.layerPrune(.init(keep: [], mark: mark)).removed.isEmpty)
      #expect(try await store.layerPrune(.init(keep: [], mark: store.mark().mark)).removed.count == 2)
      try Invariants.check(store)
    }

    @Test("A commit under a lease is safe until an image names it")
    func commit() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      _ = try await store.lease(.init(lease: "commit", seconds: 60))
      _ = try await store.prepare(.init(key: "work"))
      let chainID = "sha256:" + String(repeating: "7", count: 64)
      _ = try await store.commit(.init(key: "work", chainID: chainID, lease: "commit"))
      #expect(try await store.layerPrune(.init(keep: [])).removed.isEmpty)
      _ = try await store.release(.init(lease: "commit"))
      #expect(try await store.layerPrune(.init(keep: [])).removed == [chainID])
    }

    @Test("What a waiting prune says is freed is off the disk when it answers")
    func freed() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      let big = try ImageFixture(
        scratch, [Tar { for number in 0..<200 { $0.file("f\(number)", String(repeating: "7", count: 5000)) } }])
      _ = try await store.unpack(.init(layers: big.layers))
      func used() -> Int64 {
        Int64(shell("du -sk '\(scratch["root"])' | cut -f1").output.trimmingCharacters(in: .whitespacesAndNewlines))!
          << 10
      }
      let before = used()
      let result = try await store.layerPrune(.init(keep: [], wait: true))
      let freed = before - used()
      #expect(result.bytes >= 200 * 8192)
      #expect(abs(result.bytes - freed) <= 64 << 10, "said \(result.bytes), freed \(freed)")
    }

    /// Unpacks, leases and prunes at the same time: nobody's layer goes between its unpacking and its use.
    @Test("Prunes and unpacks at the same time")
    func together() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      let images = try (0..<4).map { number in try image("base", "own \(number)", prefix: "i\(number)") }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (number, image) in images.enumerated() {
          group.addTask {
            for round in 0..<20 {
              let lease = "l-\(number)-\(round)"
              _ = try await store.lease(.init(lease: lease, seconds: 60))
              _ = try await store.unpack(.init(layers: image.layers, lease: lease))
              let key = "k-\(number)-\(round)"
              _ = try await store.prepare(.init(key: key, parent: image.chainID))
              _ = try await store.release(.init(lease: lease))
              #expect(try await store.stat(.init(key: image.chainID)).snapshot.path.isEmpty == false)
              _ = try await store.remove(.init(keys: [key]))
            }
          }
        }
        group.addTask {
          for _ in 0..<60 {
            let mark = try await store.mark().mark
            _ = try await store.layerPrune(.init(keep: [], mark: mark))
          }
        }
        try await group.waitForAll()
      }
      _ = try await store.layerPrune(.init(keep: [], wait: true))
      #expect(try await keys(store).isEmpty)
      try Invariants.check(store)
    }
  }
}
