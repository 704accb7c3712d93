import Archive
import ArchiveFixtures
import Faults
import Foundation
import Glibc
import JSONRPC
import Linux
import Protocol
import SnapshotConformance
import SystemPackage
import Testing

@testable import Snapshots

extension SnapshotsTests {
  @Suite(.enabled(if: geteuid() == 0, "needs root: owners and mounts")) struct StoreTests {
    let scratch = Scratch()

    /// A store with one image of two layers and one snapshot, closed again.
    private func filled() async throws -> ImageFixture {
      let image = try ImageFixture(scratch, [Tar { $0.file("a") }, Tar { $0.file("b") }])
      let store = try SnapshotStore(root: scratch["root"])
      _ = try await store.unpack(.init(layers: image.layers))
      _ = try await store.prepare(.init(key: "one", parent: image.chainID))
      await store.drain()
      return image
    }

    private func run(_ command: String) { #expect(shell("cd '\(scratch["root"])' && \(command)").status == 0) }

    @Test("Everything survives a restart")
    func restart() async throws {
      let image = try await filled()
      let store = try SnapshotStore(root: scratch["root"])
      #expect(try await store.list().snapshots.map(\.key) == image.layers.map(\.chainID) + ["one"])
      #expect(try MountedSnapshot(await store.mounts(.init(key: "one")).mounts).names() == ["a", "b"])
      let next = try await store.prepare(.init(key: "two", parent: image.chainID)).mounts
      #expect(next != (try await store.mounts(.init(key: "one")).mounts))
      try Invariants.check(store)
    }

    @Test("A start clears what was begun and not finished")
    func unfinished() async throws {
      let image = try await filled()
      run("mkdir -p ingest/77/fs/x layers/78/fs/y active/79/fs active/79/work trash/80/deep")
      let store = try SnapshotStore(root: scratch["root"])
      await store.drain()
      try Invariants.check(store)
      // Numbers that were seen are not used again.
      let place = try await store.prepare(.init(key: "two", parent: image.chainID)).mounts
      #expect(place.first?.options.contains { $0.hasSuffix("/active/84/fs") } == true, "\(place)")
    }

    @Test("A writable folder with files but no row is set aside, never deleted")
    func rowLost() async throws {
      _ = try await filled()
      run("mkdir -p active/90/fs active/90/work && echo precious >active/90/fs/work-of-years")
      let store = try SnapshotStore(root: scratch["root"])
      await store.drain()
      #expect(shell("cat '\(scratch["root"])'/aside/*/fs/work-of-years").output == "precious\n")
    }

    @Test("A removal that was cut off is finished")
    func removalCutOff() async throws {
      _ = try await filled()
      run("mv active/* trash/")
      let store = try SnapshotStore(root: scratch["root"])
      await store.drain()
      try Invariants.check(store)
      #expect(try await store.list().snapshots.map(\.kind) == [.layer, .layer])
    }

    @Test("A layer whose folder is gone is told, and unpacking it again heals it")
    func layerFolderGone() async throws {
      let image = try await filled()
      run("rm -rf layers/1")
      let store = try SnapshotStore(root: scratch["root"])
      await SnapshotConformance.expect(.corrupt) { _ = try await store.mounts(.init(key: "one")) }
      await SnapshotConformance.expect(.notFound) {
        _ = try await store.prepare(.init(key: "x", parent: image.chainID))
      }
      await SnapshotConformance.expect(.notFound) { _ = try await store.stat(.init(key: "x")) }
      #expect(try await store.unpack(.init(layers: image.layers)).bytes == 1)
      #expect(try MountedSnapshot(await store.mounts(.init(key: "one")).mounts).names() == ["a", "b"])
      await store.drain()
      try Invariants.check(store)
    }

    @Test("A snapshot whose folder is gone is told, and can be removed")
    func snapshotFolderGone() async throws {
      _ = try await filled()
      run("rm -rf active/*")
      let store = try SnapshotStore(root: scratch["root"])
      await SnapshotConformance.expect(.corrupt) { _ = try await store.mounts(.init(key: "one")) }
      _ = try await store.remove(.init(keys: ["one"]))
      await store.drain()
      try Invariants.check(store)
    }

    @Test("A damaged database is set aside with all folders")
    func damagedDatabase() async throws {
      let image = try await filled()
      run("rm -f snapshots.db-*; head -c 100000 /dev/urandom >snapshots.db")
      let store = try SnapshotStore(root: scratch["root"])
      #expect(try await store.list().snapshots.isEmpty)
      #expect(
        shell("ls '\(scratch["root"])'/aside/*/active/*/fs '\(scratch["root"])'/aside/*/snapshots.db").status == 0)
      #expect(try await store.unpack(.init(layers: image.layers)).unpacked.count == 2)
    }

    @Test("Folders are closed to other users of the host; the root folder has the image's mode")
    func modes() async throws {
      let image = try await filled()
      let store = try SnapshotStore(root: scratch["root"])
      let root = scratch["root"].string
      for name in ["", "/layers", "/active", "/ingest", "/trash", "/aside", "/layers/1"] {
        #expect(try FileStatus(root + name).permissions == 0o700, "\(name)")
      }
      #expect(try FileStatus(root + "/snapshots.db").permissions == 0o600)
      #expect(try FileStatus(root + "/layers/1/fs").permissions == 0o755)
      let mounts = try await store.prepare(.init(key: "x", parent: image.chainID)).mounts
      let upper = try #require(mounts.first?.options.first { $0.hasPrefix("upperdir=") }?.dropFirst(9))
      #expect(try FileStatus(String(upper)).permissions == 0o755)
      #expect(try FileStatus(FilePath(String(upper)).removingLastComponent().string).permissions == 0o700)
    }

    @Test("A full disk is told as such, leaves no part behind, and does not stop removing")
    func fullDisk() async throws {
      let small = scratch.folder("small")
      let mounted = shell("mount -t tmpfs -o size=6M tmpfs '\(small)'")
      try #require(mounted.status == 0, "\(mounted.output)")
      defer { _ = shell("umount '\(small)'") }
      let image = try ImageFixture(scratch, [Tar { $0.file("a") }])
      let large = try ImageFixture(
        scratch,
        [Tar { $0.file("x") }, Tar { $0.entry("big", type: "0", content: Array(repeating: 1, count: 8 << 20)) }],
        prefix: "large")
      let store = try SnapshotStore(root: small.appending("root"))
      _ = try await store.unpack(.init(layers: image.layers))
      await SnapshotConformance.expect(.noSpace) { _ = try await store.unpack(.init(layers: large.layers)) }
      await store.drain()
      #expect(try await store.list().snapshots.map(\.key) == [image.chainID])
      for index in 0..<10 { _ = try await store.prepare(.init(key: "k\(index)", parent: image.chainID)) }
      _ = shell("for d in '\(small)'/root/active/*/fs; do head -c 100000 /dev/zero >$d/data; done")
      _ = shell(
        "dd if=/dev/zero of='\(small)/fill' bs=64k status=none; dd if=/dev/zero of='\(small)/fill2' bs=1k status=none")
      await SnapshotConformance.expect(.noSpace) {
        for index in 0..<10_000 { _ = try await store.prepare(.init(key: "more\(index)", parent: image.chainID)) }
      }
      let keys = try await store.list().snapshots.filter { $0.kind == .active }.map(\.key)
      _ = try await store.remove(.init(keys: keys))
      await store.drain()
      _ = shell("rm '\(small)'/fill*")
      try Invariants.check(store)
      #expect(try await store.unpack(.init(layers: image.layers)).unpacked.isEmpty)
    }

    @Test("A call taken back stops its unpacking and leaves nothing")
    func cancellation() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      let image = try ImageFixture(
        scratch, [Tar { $0.entry("f", type: "0", content: Array(repeating: 3, count: 32 << 20)) }])
      let context = CallContext()
      context.cancellation.cancel()
      await SnapshotConformance.expect(.cancelled) {
        _ = try await store.unpack(.init(layers: image.layers), context)
        // So quick that nobody looked: then it is simply there.
        throw Fault(.cancelled, "")
      }
      // Another call that wants the same is not harmed by it.
      _ = try await store.unpack(.init(layers: image.layers))
      await store.drain()
      #expect(try await store.list().snapshots.count == 1)
    }

    @Test("Progress comes for every layer, and ends with all its bytes")
    func progress() async throws {
      let store = try SnapshotStore(root: scratch["root"])
      let image = try ImageFixture(scratch, [Tar { $0.file("a") }, Tar { $0.file("b") }])
      let (stream, sender) = AsyncStream.makeStream(of: SnapshotAPI.UnpackProgress.self)
      _ = try await store.unpack(
        .init(layers: image.layers),
        CallContext { data in
          if let value: SnapshotAPI.UnpackProgress = try? RPCCoding.decode(data) { sender.yield(value) }
        })
      sender.finish()
      var last: [String: SnapshotAPI.UnpackProgress] = [:]
      for await value in stream { last[value.layer] = value }
      for layer in image.layers {
        #expect(last[layer.diffID]?.current == layer.descriptor.size)
        #expect(last[layer.diffID]?.total == layer.descriptor.size)
      }
    }

    @Test("Every migration that was ever released is still there, in order")
    func migrations() throws {
      #expect(SnapshotDatabase.migrator.migrations == ["1 contents, layers and snapshots", "2 leases"])
    }

    @Test("1,000 snapshots: preparing stays quick, a start takes no time")
    func many() async throws {
      let image = try ImageFixture(scratch, [Tar { $0.file("a") }])
      let store = try SnapshotStore(root: scratch["root"])
      _ = try await store.unpack(.init(layers: image.layers))
      for index in 0..<1000 { _ = try await store.prepare(.init(key: "k\(index)", parent: image.chainID)) }
      let clock = ContinuousClock()
      let again = try clock.measure { _ = try SnapshotStore(root: scratch["root"]) }
      #expect(again < .seconds(2))
      #expect(try await store.list().snapshots.count == 1001)
      _ = try await store.remove(.init(keys: (0..<1000).map { "k\($0)" }))
      await store.drain()
      try Invariants.check(store)
    }
  }
}
