import ArchiveFixtures
import Glibc
import Linux
import Protocol
import SnapshotConformance
import SystemPackage
import Testing

@testable import Snapshots

extension SnapshotsTests {
  /// `kill -9` of the process at arbitrary moments of its work: the next start finds nothing half shown.
  @Suite(.serialized, .enabled(if: geteuid() == 0, "needs root: owners and mounts")) struct KillTests {
    /// The folder that a child and its parent, the test, share.
    private static func root(_ parent: pid_t) -> FilePath { FilePath("/tmp/gantry-kill-\(parent)") }

    private static func image(_ scratch: FilePath, _ number: Int) -> [Tar] {
      (0..<3).map { layer in
        Tar { tar in
          for file in 0..<40 { tar.file("d\(layer)/f\(file)", "\(number) \(layer) \(file)") }
        }
      }
    }

    @Test(
      "Killed while unpacking, preparing, committing, removing and pruning",
      arguments: [3, 9, 20, 45, 80, 130, 200, 300])
    func kill(_ milliseconds: Int) async throws {
      let root = Self.root(getpid())
      _ = shell("rm -rf '\(root)'; mkdir '\(root)'; echo \(milliseconds) >'\(root)/delay'")
      defer { _ = shell("rm -rf '\(root)'") }
      let scratch = Scratch()
      for round in 0..<2 {
        await #expect(processExitsWith: .signal(SIGKILL)) { try await KillTests.work() }
        let store = try SnapshotStore(root: root.appending("store"))
        await store.drain()
        try Invariants.check(store)
        let snapshots = try await store.list().snapshots
        for snapshot in snapshots where snapshot.kind != .layer {
          let mounted = try MountedSnapshot(await store.mounts(.init(key: snapshot.key)).mounts)
          guard snapshot.parent != nil else { continue }
          for layer in 0..<3 {
            let names = try mounted.names("d\(layer)")
            #expect(names.count == 40, "\(snapshot.key): a layer that is shown is whole")
          }
        }
        // And it works as if nothing had been.
        let image = try ImageFixture(scratch, Self.image(scratch.path, 1000 + round))
        _ = try await store.unpack(.init(layers: image.layers))
        _ = try await store.prepare(.init(key: "after \(round)".replacing(" ", with: "-"), parent: image.chainID))
      }
    }

    /// The child: works until it kills itself.
    private static func work() async throws {
      let root = root(getppid())
      let delay = Int(try Files.readText(root.appending("delay").string).prefix { $0 != "\n" }) ?? 10
      let store = try SnapshotStore(root: root.appending("store"))
      let scratch = Scratch(root.string)
      let killer = WorkThread {
        usleep(UInt32(delay * 1000))
        Glibc.kill(getpid(), SIGKILL)
      }
      killer?.detach()
      for number in 0... {
        let image = try ImageFixture(scratch, image(scratch.path, number), prefix: "image-\(number)")
        _ = try await store.unpack(.init(layers: image.layers))
        for index in 0..<4 {
          _ = try await store.prepare(.init(key: "\(getpid())-\(number)-\(index)", parent: image.chainID))
        }
        let name = "sha256:" + String(repeating: "\(number % 10)", count: 52) + String(100_000_000_000 + Int(getpid()))
        _ = try? await store.commit(.init(key: "\(getpid())-\(number)-0", chainID: name))
        _ = try await store.remove(.init(keys: ["\(getpid())-\(number)-1", "\(getpid())-\(number)-2"]))
        if number % 3 == 2 { _ = try await store.layerPrune(.init(keep: [])) }
      }
    }
  }
}
