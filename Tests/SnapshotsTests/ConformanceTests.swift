import ArchiveFixtures
import Faults
import Glibc
import JSONRPC
import Linux
import Logging
import Protocol
import SnapshotConformance
import SystemPackage
import Testing

@testable import Snapshots

/// Everything about snapshots.
@Suite struct SnapshotsTests {}

extension SnapshotsTests {
  @Suite(.enabled(if: geteuid() == 0, "needs root: owners and mounts")) struct ConformanceTests {
    @Test("overlayfs, in process", arguments: SnapshotConformance.checks)
    func local(_ check: SnapshotConformance.Check) async throws {
      let scratch = Scratch()
      let store = try SnapshotStore(root: scratch["root"])
      try await check.run(store, scratch)
      await store.drain()
      try Invariants.check(store)
    }

    @Test("overlayfs, through the protocol", arguments: SnapshotConformance.checks)
    func remote(_ check: SnapshotConformance.Check) async throws {
      let scratch = Scratch()
      let store = try SnapshotStore(root: scratch["root"])
      try await check.run(SnapshotClient(InMemoryChannel(SnapshotDispatch.table(store))), scratch)
      await store.drain()
      try Invariants.check(store)
    }
  }
}

/// What is true of a store at every moment when nothing runs.
enum Invariants {
  /// Every row has its folder, every folder its row, and nothing is left in between.
  static func check(_ store: SnapshotStore, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let (contents, layers, snapshots) = try store.database.read {
      (try $0.contents(), try $0.layers(), try $0.snapshots())
    }
    let places = contents.compactMap(\.place) + snapshots.compactMap(\.place)
    for place in places { #expect(store.folders.exists("\(place)/fs"), "\(place)", sourceLocation: sourceLocation) }
    #expect(contents.allSatisfy { $0.place != nil }, sourceLocation: sourceLocation)
    for layer in layers {
      #expect(contents.contains { $0.id == layer.content }, sourceLocation: sourceLocation)
    }
    for name in ["layers", "active"] {
      for entry in try Files.list(store.folders.path(name).string) {
        #expect(places.contains("\(name)/\(entry)"), "\(name)/\(entry)", sourceLocation: sourceLocation)
      }
    }
    for name in ["ingest", "trash", "aside"] {
      #expect(try Files.list(store.folders.path(name).string).isEmpty, "\(name)", sourceLocation: sourceLocation)
    }
  }
}
