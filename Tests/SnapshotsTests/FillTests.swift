import Archive
import ArchiveFixtures
import Faults
import Glibc
import JSONRPC
import Linux
import Protocol
import SnapshotConformance
import SystemPackage
import Testing

@testable import Snapshots

extension SnapshotsTests {
  /// `snapshot.fill`: a folder of an image copied to the host, and nothing but that.
  @Suite(.enabled(if: geteuid() == 0, "needs root: owners and mounts")) struct FillTests {
    let scratch = Scratch()

    private func store(_ tars: [Tar]) async throws -> (SnapshotStore, String) {
      let image = try ImageFixture(scratch, tars)
      let store = try SnapshotStore(root: scratch["root"])
      _ = try await store.unpack(.init(layers: image.layers))
      return (store, image.chainID)
    }

    private func fill(_ store: SnapshotStore, _ parent: String, _ path: String) async throws -> SnapshotAPI.FillResult {
      try await store.fill(.init(parent: parent, path: path, target: scratch.folder("target").string, durable: true))
    }

    @Test("The layers are copied as one tree: the topmost counts, what is removed is not there")
    func merged() async throws {
      let (store, top) = try await store([
        Tar {
          $0.folder("data", mode: 0o700)
          $0.file("data/below", "lower")
          $0.file("data/over", "lower")
          $0.file("data/gone", "lower")
        },
        Tar {
          $0.folder("data", mode: 0o1770, uid: 3, gid: 4)
          $0.file("data/over", "upper", mode: 0o640, uid: 5, gid: 6)
          $0.file("data/.wh.gone", "")
        },
      ])
      let result = try await fill(store, top, "/data")
      #expect(result.files == 2 && result.bytes == 10)
      let target = scratch["target"]
      #expect(
        shell("cd '\(target)' && cat below over && ls -A && stat -c '%a %u %g' . over").output
          == "lowerupperbelow\nover\n1770 3 4\n640 5 6\n")
      #expect(try await fill(store, top, "/data") == .init(files: 0, bytes: 0))
    }

    @Test(
      "Links of the image lead through the image alone",
      arguments: ["/abs", "/climb", "/chain/x", "/magic", "/none", "/file"])
    func links(path: String) async throws {
      let outside = scratch.folder("outside")
      _ = shell("touch '\(outside)/secret'")
      let (store, top) = try await store([
        Tar {
          $0.symlink("abs", outside.string)
          $0.symlink("climb", "../../../../../../../../../../../..\(outside)")
          $0.symlink("chain", "/")
          $0.symlink("x", outside.string)
          $0.symlink("magic", "/proc/self/root\(outside)")
          $0.file("file", "plain")
        }
      ])
      #expect(try await fill(store, top, path) == .init(files: 0, bytes: 0))
      #expect(shell("ls -A '\(scratch["target"])'").output.isEmpty)
    }

    @Test("A wrong request is refused")
    func refusals() async throws {
      let (store, top) = try await store([Tar { $0.file("data/file", "x") }])
      let unknown = await #expect(throws: Fault.self) { try await fill(store, "sha256:none", "/data") }
      #expect(unknown?.code == .notFound)
      for target in ["relative", "/no/such/folder", ""] {
        await #expect(throws: Fault.self) {
          try await store.fill(.init(parent: top, path: "/data", target: target))
        }
      }
    }
  }
}
