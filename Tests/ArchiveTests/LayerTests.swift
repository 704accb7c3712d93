import Archive
import ArchiveFixtures
import Faults
import Linux
import Testing

extension ArchiveTests {
  @Suite(.enabled(if: isRoot, "needs root: owners, devices and overlayfs's attributes")) struct LayerTests {
    @Test("A whiteout hides what the layers below have, and its name only")
    func whiteout() throws {
      let unpacked = try Unpacked {
        $0.folder("etc"); $0.file("etc/.wh.passwd"); $0.file(".wh.gone")
      }
      _ = try unpacked.layer
      #expect(unpacked.isWhiteout("etc/passwd"))
      #expect(unpacked.isWhiteout("gone"))
      #expect(unpacked.names() == ["etc", "gone"])
    }

    @Test("A whiteout never hides what its own layer has", arguments: [true, false])
    func whiteoutOfOwnFile(before: Bool) throws {
      let unpacked = try Unpacked { tar in
        if before { tar.file(".wh.a"); tar.file(".wh.d"); tar.file(".wh.i") }
        tar.file("a", "mine")
        tar.folder("d")
        tar.file("d/x")
        tar.file("i/x")
        if !before { tar.file(".wh.a"); tar.file(".wh.d"); tar.file(".wh.i") }
      }
      _ = try unpacked.layer
      #expect(unpacked.text("a") == "mine")
      #expect(unpacked.text("d/x") == "x")
      // The folder of the layer below is removed, this one is new: nothing of it may show.
      #expect(unpacked.isOpaque("d"))
      #expect(unpacked.text("i/x") == "x")
      #expect(unpacked.isOpaque("i"))
    }

    @Test("An opaque folder keeps what its own layer has, before and after the mark")
    func opaque() throws {
      let unpacked = try Unpacked { tar in
        tar.folder("d")
        tar.file("d/before")
        tar.file("d/.wh..wh..opq")
        tar.file("d/after")
        tar.file("missing/.wh..wh..opq")
      }
      #expect(try !unpacked.layer.isOpaque)
      #expect(unpacked.isOpaque("d"))
      #expect(unpacked.names("d") == ["after", "before"])
      #expect(unpacked.isOpaque("missing"))
    }

    @Test("An opaque mark at the top is told: overlayfs does not read it there")
    func opaqueRoot() throws {
      let unpacked = try Unpacked {
        $0.file("a"); $0.file(".wh..wh..opq")
      }
      #expect(try unpacked.layer.isOpaque)
    }

    @Test("Hard links have one inode, whatever their order; their own metadata counts for nothing")
    func hardLinks() throws {
      let unpacked = try Unpacked { tar in
        tar.hardlink("early", "d/target")
        tar.folder("d")
        tar.file("d/target", "content", mode: 0o640, uid: 7, gid: 8)
        tar.hardlink("late", "./d/target", mode: 0o777)
        tar.hardlink("absolute", "/d/target")
        tar.symlink("s", "d/target")
        tar.hardlink("link-to-link", "s")
        tar.hardlink("d/target", "d/target")
      }
      let layer = try unpacked.layer
      #expect(layer.bytes == 7)
      let target = try #require(unpacked.status("d/target"))
      for name in ["early", "late", "absolute"] { #expect(unpacked.status(name)?.inode == target.inode, "\(name)") }
      #expect(target.permissions == 0o640 && target.uid == 7 && target.gid == 8 && target.links == 4)
      #expect(unpacked.status("link-to-link")?.kind == .symbolicLink)
      #expect(unpacked.status("link-to-link")?.inode == unpacked.status("s")?.inode)
    }

    @Test("Hard links to what the layer does not have are told, for whoever knows the layers below")
    func outerHardLinks() throws {
      let unpacked = try Unpacked { tar in
        tar.hardlink("a", "/not/./there")
        tar.hardlink("b", "a")
      }
      #expect(
        try unpacked.layer.outerLinks == [
          OuterLink(path: Array("a".utf8), target: Array("not/there".utf8)),
          OuterLink(path: Array("b".utf8), target: Array("a".utf8)),
        ])
      #expect(unpacked.names().isEmpty)
    }

    @Test("Of entries with one name the last counts, whatever kinds they are")
    func duplicates() throws {
      let unpacked = try Unpacked { tar in
        tar.file("a", "one")
        tar.file("a", "two", mode: 0o600)
        tar.folder("d")
        tar.file("d/x")
        tar.file("d", "now a file")
        tar.file("f", "file")
        tar.folder("f")
        tar.file("f/x")
        tar.folder("t", mode: 0o700)
        tar.file("t/kept")
        tar.folder("t", mode: 0o1777, uid: 5)
        tar.symlink("l", "a")
        tar.symlink("l", "d")
        tar.folder("w")
        tar.symlink("w", "f")
        tar.file("w/through")
      }
      _ = try unpacked.layer
      #expect(unpacked.text("a") == "two" && unpacked.status("a")?.permissions == 0o600)
      #expect(unpacked.text("d") == "now a file")
      #expect(unpacked.names("f") == ["through", "x"])
      #expect(unpacked.names("t") == ["kept"])
      #expect(unpacked.status("t")?.permissions == 0o1777 && unpacked.status("t")?.uid == 5)
      #expect(try Files.readLink("\(unpacked.folder)/l") == "d")
    }

    @Test("Owners, modes with set-id bits, devices, fifos")
    func metadata() throws {
      let unpacked = try Unpacked { tar in
        tar.folder("./", mode: 0o711, uid: 3, gid: 4)
        tar.folder("sgid", mode: 0o2775, gid: 50)
        tar.file("sgid/plain", mode: 0o604)
        tar.folder("sgid/sub", mode: 0o755)
        tar.file("su", mode: 0o6755, uid: 1, gid: 2)
        tar.device("null", major: 1, minor: 3)
        tar.device("disk", major: 8, minor: 17, type: "4")
        tar.fifo("pipe")
        tar.symlink("link", "nowhere")
        tar.file("a/b/c", uid: 2_000_000)
      }
      _ = try unpacked.layer
      let root = try #require(unpacked.status("."))
      #expect(root.permissions == 0o711 && root.uid == 3 && root.gid == 4)
      #expect(unpacked.status("sgid")?.permissions == 0o2775 && unpacked.status("sgid")?.gid == 50)
      #expect(unpacked.status("sgid/plain")?.gid == 0 && unpacked.status("sgid/plain")?.permissions == 0o604)
      #expect(unpacked.status("sgid/sub")?.permissions == 0o755 && unpacked.status("sgid/sub")?.gid == 0)
      #expect(unpacked.status("su")?.permissions == 0o6755 && unpacked.status("su")?.uid == 1)
      #expect(unpacked.status("null")?.special == DeviceNumber(major: 1, minor: 3))
      #expect(unpacked.status("disk")?.kind == .blockDevice)
      #expect(unpacked.status("disk")?.special == DeviceNumber(major: 8, minor: 17))
      #expect(unpacked.status("pipe")?.kind == .fifo)
      for name in ["a", "a/b"] { #expect(unpacked.status(name)?.permissions == 0o755, "\(name)") }
      #expect(unpacked.status("link")?.modified == .init(seconds: 1_000_000_000, nanoseconds: 0))
    }

    @Test("Times in nanoseconds, of folders too, although entries come after them")
    func times() throws {
      let time: [(String, [UInt8])] = [("mtime", Array("1234567890.123456789".utf8))]
      let unpacked = try Unpacked { tar in
        tar.folder("d", pax: time)
        tar.file("d/f", pax: time)
        tar.folder("d/e")
        tar.file("d/e/g")
      }
      _ = try unpacked.layer
      let exact = FileStatus.Time(seconds: 1_234_567_890, nanoseconds: 123_456_789)
      #expect(unpacked.status("d")?.modified == exact)
      #expect(unpacked.status("d/f")?.modified == exact)
      #expect(unpacked.status("d/e")?.modified.seconds == 1_000_000_000)
    }

    @Test("Extended attributes and file capabilities; overlayfs's own never")
    func attributes() throws {
      // cap_net_raw=ep, as getcap shows it: revision 2 and two pairs of 32-bit words.
      let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
      let unpacked = try Unpacked { tar in
        tar.file(
          "ping", mode: 0o755, uid: 9,
          pax: [
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", [0, 1, 2, 10, 61, 255]),
            ("SCHILY.xattr.trusted.overlay.opaque", Array("y".utf8)),
          ])
        tar.folder("d", pax: [("SCHILY.xattr.user.note", Array("folder".utf8))])
        tar.pax([("SCHILY.xattr.trusted.note", Array("link".utf8))])
        tar.symlink("l", "ping")
      }
      let layer = try unpacked.layer
      #expect(unpacked.attribute("ping", "security.capability") == capability)
      #expect(unpacked.attribute("ping", "user.note") == [0, 1, 2, 10, 61, 255])
      #expect(unpacked.attribute("ping", "trusted.overlay.opaque") == nil)
      #expect(unpacked.attribute("d", "user.note") == Array("folder".utf8))
      #expect(unpacked.attribute("l", "trusted.note") == Array("link".utf8))
      #expect(layer.attributesLeftOut == 0)
    }

    @Test("Names of any length and bytes that are no UTF-8")
    func names() throws {
      let long = String(repeating: "d", count: 200) + "/" + String(repeating: "f", count: 250)
      let raw: [UInt8] = Array("caf".utf8) + [0xe9, 0xff]
      let unpacked = try Unpacked { tar in
        tar.file(long, "pax")
        tar.gnuLong("L", Array((long + "2").utf8))
        tar.file("cut", "gnu")
        tar.file("x", "latin", pax: [("path", raw)])
        tar.file("ünïcode-✓")
        tar.gnuLong("K", Array(repeating: UInt8(ascii: "t"), count: 300))
        tar.symlink("long-target", "cut")
      }
      _ = try unpacked.layer
      #expect(unpacked.text(long) == "pax")
      #expect(unpacked.text(long + "2") == "gnu")
      #expect(unpacked.text("ünïcode-✓") == "x")
      #expect(try Files.readLink("\(unpacked.folder)/long-target").utf8.count == 300)
      let folder = try openat2(nil, unpacked.folder.string, [.readOnly, .directory])
      #expect(try RemoveTree.list(folder.rawValue).contains(raw))
    }

    @Test("The digest covers what follows the end of the archive")
    func digest() throws {
      let plain = Tar { $0.file("a") }.archive
      let padded = plain + Array(repeating: 0, count: 9000)
      let (first, second) = (try Unpacked(plain).layer.diffID, try Unpacked(padded).layer.diffID)
      #expect(first != second)
      let expected = shell("sha256sum").output
      #expect(!expected.isEmpty)
      for (bytes, found) in [(plain, first), (padded, second)] {
        let scratch = Scratch()
        let file = scratch.write("tar", bytes)
        #expect(shell("sha256sum <'\(file)'").output.hasPrefix(found.hex))
      }
    }

    @Test("An empty layer: zero blocks, nothing at all, or no end marker")
    func empty() throws {
      for bytes in [Tar().archive, [], Tar().archive + Array(repeating: 0, count: 10240)] {
        let unpacked = try Unpacked(bytes)
        #expect(try unpacked.layer.inodes == 0)
      }
      let unfinished = try Unpacked(Tar { $0.file("a") }.bytes)
      _ = try unfinished.layer
      #expect(unfinished.text("a") == "x")
    }
  }
}
