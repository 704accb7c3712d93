import ArchiveFixtures
import Faults
import Linux
import Protocol
import Testing

extension SnapshotConformance {
  /// Hard links of a layer to files of the layers below it.
  static let links: [Check] = [
    Check("A hard link to a file of a layer below is that file under two names") { service, scratch in
      let image = try ImageFixture(
        scratch,
        [
          Tar { tar in
            tar.folder("usr", mode: 0o755)
            tar.folder("usr/bin", mode: 0o2751, uid: 5, gid: 6)
            tar.file(
              "usr/bin/tool", "content", mode: 0o4755, uid: 7, gid: 8,
              pax: [("SCHILY.xattr.user.note", Array("kept".utf8))])
            tar.file("usr/bin/other", "other")
            tar.symlink("bin", "usr/bin")
            tar.symlink("link", "nowhere")
          },
          Tar { $0.file("between", "b") },
          Tar { tar in
            tar.hardlink("first", "bin/tool")
            tar.hardlink("second", "/usr/bin/tool")
            tar.hardlink("third", "first")
            tar.hardlink("linked", "link")
            tar.folder("opt", mode: 0o700)
            tar.hardlink("opt/b", "between")
          },
        ])
      _ = try await service.unpack(.init(layers: image.layers))
      let mounted = try MountedSnapshot(await service.prepare(.init(key: "a", parent: image.chainID)).mounts)
      let tool = try mounted.status("usr/bin/tool")
      for name in ["first", "second", "third"] {
        #expect(mounted.text(name) == "content")
        #expect(try mounted.status(name).inode == tool.inode, "\(name)")
      }
      #expect(tool.links == 4 && tool.permissions == 0o4755 && tool.uid == 7 && tool.gid == 8)
      #expect(tool.modified.seconds == 1_000_000_000)
      let folder = try mounted.status("usr/bin")
      #expect(folder.permissions == 0o2751 && folder.uid == 5 && folder.gid == 6)
      #expect(folder.modified.seconds == 1_000_000_000, "copying a file up changes nothing else")
      #expect(try mounted.names("usr/bin") == ["other", "tool"])
      #expect(try mounted.status("linked").kind == .symbolicLink)
      #expect(mounted.text("opt/b") == "b" && mounted.text("between") == "b")
      #expect(try mounted.attribute("first", "user.note") == Array("kept".utf8))
    },
    Check("The same layer on other layers links to theirs") { service, scratch in
      let top = Tar { $0.hardlink("name", "file") }
      let one = try ImageFixture(scratch, [Tar { $0.file("file", "one") }, top], prefix: "one")
      let two = try ImageFixture(scratch, [Tar { $0.file("file", "two") }, top, Tar { $0.file("x") }], prefix: "two")
      try await withThrowingTaskGroup(of: Void.self) { group in
        for image in [one, two, one, two] {
          group.addTask { _ = try await service.unpack(.init(layers: image.layers)) }
        }
        try await group.waitForAll()
      }
      for (image, text) in [(one, "one"), (two, "two")] {
        let mounted = try MountedSnapshot(await service.prepare(.init(key: text, parent: image.chainID)).mounts)
        #expect(mounted.text("name") == text && mounted.text("file") == text)
      }
      #expect(try await service.unpack(.init(layers: two.layers)).unpacked.isEmpty)
      _ = try await service.remove(.init(keys: ["one", "two"]))
      #expect(try await service.layerPrune(.init(keep: [])).removed.count == 5)
    },
    Check("A hard link to what is hidden, missing, a folder or outside is refused, and leaves nothing") {
      service, scratch in
      let below = Tar { tar in
        tar.folder("d")
        tar.file("d/f")
        tar.file("hidden")
        tar.symlink("out", "/../../../etc")
        tar.symlink("loop", "loop")
      }
      let bad: [Tar] = [
        Tar {
          $0.file(".wh.hidden"); $0.hardlink("a", "hidden")
        },
        Tar {
          $0.file("d/.wh..wh..opq"); $0.hardlink("a", "d/f")
        },
        Tar { $0.hardlink("a", "missing") },
        Tar { $0.hardlink("a", "d") },
        Tar { $0.hardlink("a", "d/f/x") },
        Tar { $0.hardlink("a", "/etc/passwd") },
        Tar { $0.hardlink("a", "../../../../../../../../etc/passwd") },
        Tar { $0.hardlink("a", "out/passwd") },
        Tar { $0.hardlink("a", "loop/x") },
        Tar {
          $0.file(".wh..wh..opq"); $0.hardlink("a", "hidden")
        },
      ]
      for (index, tar) in bad.enumerated() {
        let image = try ImageFixture(scratch, [below, tar], prefix: "bad\(index)")
        await expect(.corrupt) { _ = try await service.unpack(.init(layers: image.layers)) }
      }
      #expect(try await service.list().snapshots.isEmpty)
    },
  ]
}
