import Archive
import ArchiveFixtures
import Faults
import Glibc
import Linux
import Tar
import Testing

extension ArchiveTests {
  @Suite(.enabled(if: isRoot, "needs root: owners")) struct LimitTests {
    @Test("A bomb is stopped by the limit on expanded bytes", arguments: ["gzip -c", "zstd -qc", "xz -c", "bzip2 -c"])
    func expandedBytes(_ compress: String) throws {
      let bytes = [UInt8](repeating: 0, count: 64 << 20)
      let plain = Tar { $0.entry("zeros", type: "0", content: bytes) }.archive
      let unpacked = try Unpacked(plain, compress: compress, limits: ArchiveLimits(expandedBytes: 8 << 20))
      #expect(unpacked.code == .limitExceeded, "\(unpacked.result)")
      // After the end of the archive too: those bytes are hashed.
      let padding = try Unpacked(
        Tar { $0.file("a") }.archive + bytes, compress: compress, limits: ArchiveLimits(expandedBytes: 8 << 20))
      #expect(padding.code == .limitExceeded, "\(padding.result)")
    }

    @Test("Too many entries")
    func entries() throws {
      let unpacked = try Unpacked(limits: ArchiveLimits(entries: 100)) { tar in
        for index in 0...100 { tar.file("f\(index)", "") }
      }
      #expect(unpacked.code == .limitExceeded)
    }

    @Test("A path or link target longer than the limit", arguments: ["path", "link", "hard"])
    func paths(_ kind: String) throws {
      let long = String(repeating: "p/", count: 300)
      let unpacked = try Unpacked(limits: ArchiveLimits(pathBytes: 500)) { tar in
        switch kind {
        case "path": tar.file(long + "f")
        case "link": tar.symlink("l", long)
        default: tar.hardlink("l", long)
        }
      }
      #expect(unpacked.code == .limitExceeded)
    }

    @Test("A pax header of gigabytes does not fill the memory")
    func paxHeader() throws {
      for size in [2 << 20, 8 << 30] {
        var bytes = Tar.header(Array("x".utf8), type: "x", size: size)
        bytes += Array("\(size) comment=".utf8) + Array(repeating: UInt8(ascii: "a"), count: 32 << 20)
        let unpacked = try Unpacked(bytes + Tar { $0.file("a") }.archive)
        #expect(unpacked.code == .limitExceeded || unpacked.code == .corrupt, "\(unpacked.result)")
      }
    }

    @Test("Headers without end before one entry")
    func manyHeaders() throws {
      var tar = Tar()
      for _ in 0..<5000 { tar.pax([("comment", Array(repeating: UInt8(ascii: "a"), count: 4000))]) }
      tar.file("a")
      let unpacked = try Unpacked(tar.archive)
      #expect(unpacked.code == .limitExceeded || unpacked.code == .corrupt, "\(unpacked.result)")
    }

    @Test("A sparse file of terabytes counts with its size")
    func sparse() throws {
      let scratch = Scratch()
      let made = shell(
        "cd '\(scratch.path)' && truncate -s 3T s && tar --format=pax --sparse --hole-detection=seek -cf blob s")
      try #require(made.status == 0, "\(made.output)")
      let unpacked = try Unpacked(Files.read(scratch["blob"].string))
      #expect(unpacked.code == .limitExceeded, "\(unpacked.result)")
    }

    @Test("A zstd window above the limit is refused before the memory is taken")
    func zstdWindow() throws {
      let plain = Tar { $0.entry("f", type: "0", content: Array(repeating: 1, count: 40 << 20)) }.archive
      let compress = "zstd -qc --long=26"
      #expect(try Unpacked(plain, compress: compress).code == nil)
      #expect(try Unpacked(plain, compress: compress, limits: ArchiveLimits(zstdWindowLog: 23)).code == .limitExceeded)
      #expect(try Unpacked(plain, compress: "zstd -qc --ultra --long=31").code == .limitExceeded)
    }

    @Test("Attributes larger than the limit")
    func attributes() throws {
      let unpacked = try Unpacked(limits: ArchiveLimits(attributeBytes: 1000)) { tar in
        tar.file("a", pax: [("SCHILY.xattr.user.big", Array(repeating: 1, count: 2000))])
      }
      #expect(unpacked.code == .limitExceeded)
    }

    @Test("Owners that are no ids", arguments: ["4294967295", "4294967296", "-1", "99999999999999999999"])
    func owners(_ id: String) throws {
      let unpacked = try Unpacked { $0.file("a", pax: [("uid", Array(id.utf8))]) }
      // A number that is none at all is ignored as a bad record; it never becomes another owner than root.
      if unpacked.code == nil { #expect(unpacked.status("a")?.uid == 0) } else { #expect(unpacked.code == .corrupt) }
    }

    @Test("A tree deeper than one path can name, made through links, can be removed again")
    func depth() throws {
      let unpacked = try Unpacked { tar in
        let step = String(repeating: "d/", count: 1000)
        var link = ""
        for round in 0..<4 {
          tar.folder(link + step)
          tar.symlink("link\(round)", "/" + link + step)
          link = "link\(round)/"
        }
        tar.file(link + "bottom")
      }
      _ = try unpacked.layer
      let parent = try openat2(nil, unpacked.scratch["layer"].string, [.readOnly, .directory])
      try RemoveTree.remove(at: parent.rawValue, "fs")
      #expect(try Files.list(parent.rawValue).isEmpty)
    }

    @Test("Taking it back ends the unpacking")
    func cancellation() throws {
      let scratch = Scratch()
      let blob = scratch.write("blob", Tar { $0.file("a") }.archive)
      scratch.folder("fs")
      let folder = try openat2(nil, scratch["fs"].string, [.readOnly, .directory])
      let progress = UnpackingProgress()
      progress.cancel()
      #expect(throws: Fault.self) {
        try LayerUnpacking.unpack(blob: blob, into: folder.rawValue, progress: progress)
      }
    }

    @Test("A full disk is told as such")
    func fullDisk() throws {
      let scratch = Scratch()
      scratch.folder("small")
      let mounted = shell("mount -t tmpfs -o size=1M tmpfs '\(scratch["small"])'")
      try #require(mounted.status == 0, "\(mounted.output)")
      defer { _ = shell("umount '\(scratch["small"])'") }
      let blob = scratch.write(
        "blob", Tar { $0.entry("a", type: "0", content: Array(repeating: 7, count: 4 << 20)) }.archive)
      let folder = try openat2(nil, scratch["small"].string, [.readOnly, .directory])
      let fault = #expect(throws: Fault.self) { try LayerUnpacking.unpack(blob: blob, into: folder.rawValue) }
      #expect(fault?.code == .noSpace)
    }
  }
}
