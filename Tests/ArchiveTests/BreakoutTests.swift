import Archive
import ArchiveFixtures
import Faults
import Linux
import SystemPackage
import Testing

/// One hostile layer. `OUT` in names and links stands for the absolute path of a folder outside of the layer.
struct Breakout: Sendable, CustomTestStringConvertible {
  var name: String
  var build: @Sendable (inout Tar, String) -> Void
  /// What must be true when the layer is accepted; a refusal is right as well unless `mustWork`.
  var mustWork = false
  var check: @Sendable (Unpacked) -> Bool = { _ in true }

  var testDescription: String { name }
}

extension ArchiveTests {
  /// After containerd's breakout list, and more: whatever the layer says, nothing outside of its folder changes.
  @Test(
    "Unpack: nothing leaves the layer's folder", .enabled(if: isRoot, "needs root: makes devices"), arguments: breakouts
  )
  func breakout(_ attack: Breakout) throws {
    var before = ""
    func state(_ out: String) -> String {
      shell(
        """
        cd '\(out)' && find . -printf '%p %i %m %U %G %s %l %T@ %n\\n' | sort && cat file folder/inner
        stat -c '%n %i %a %u %g %s %Y %h' /etc/passwd /etc/shadow /tmp/.. /bin
        """
      ).output
    }
    // The folder's path must be known before the archive is made.
    let outside = Scratch()
    outside.write("file", Array("safe".utf8))
    outside.folder("folder")
    outside.write("folder/inner", Array("safe too".utf8))
    before = state(outside.path.string)
    let unpacked = try Unpacked { attack.build(&$0, outside.path.string) }
    let after = state(outside.path.string)
    #expect(before == after)
    switch unpacked.result {
    case .success: #expect(attack.check(unpacked), "\(shell("find '\(unpacked.folder)' -ls").output)")
    case .failure(let fault):
      #expect(!attack.mustWork, "\(fault)")
      #expect([.corrupt, .limitExceeded].contains(fault.code), "\(fault)")
    }
    // Only the layer, its blob and nothing else is in the scratch folder.
    #expect(try Files.list(unpacked.scratch.path.string).sorted() == ["blob", "layer"])
    #expect(try Files.list(unpacked.scratch["layer"].string) == ["fs"])
  }
}

private let breakouts: [Breakout] = [
  Breakout(name: "a file by ..", build: { tar, _ in tar.file("../escaped") }, check: { $0.text("escaped") == "x" }),
  Breakout(name: "a file by many ..", build: { tar, out in tar.file("../../../../../../../../..\(out)/escaped") }),
  Breakout(name: "an absolute file", build: { tar, out in tar.file("\(out)/file", "pwned") }, mustWork: true),
  Breakout(
    name: ".. in the middle", build: { tar, _ in tar.file("a/../../../b/./c//d") }, check: { $0.text("b/c/d") == "x" }),
  Breakout(
    name: "a folder named ..",
    build: { tar, _ in
      tar.folder("..", mode: 0o777); tar.folder("../..", mode: 0o777)
    }),
  Breakout(
    name: "an absolute symbolic link to a folder",
    build: { tar, _ in
      tar.folder("etc"); tar.symlink("local", "/etc"); tar.file("local/unbroken")
    }, mustWork: true,
    check: { $0.text("etc/unbroken") == "x" }),
  Breakout(
    name: "a symbolic link to the outside",
    build: { tar, out in
      tar.symlink("a", out); tar.file("a/escaped")
    }, mustWork: true,
    check: { $0.status("a")?.kind == .symbolicLink }),
  Breakout(
    name: "a relative symbolic link up and out",
    build: { tar, out in
      tar.symlink("a", "../../../../../../../../..\(out)"); tar.file("a/escaped")
    }),
  Breakout(
    name: "a symbolic link down and out",
    build: { tar, out in
      tar.folder("a/b")
      tar.symlink("a/b/c", "../../../../../..\(out)")
      tar.file("a/b/c/escaped")
    }),
  Breakout(
    name: "chained absolute symbolic links",
    build: { tar, out in
      tar.symlink("a", "/b")
      tar.symlink("b", "/c")
      tar.symlink("c", out)
      tar.file("a/escaped")
    }),
  Breakout(
    name: "chained relative symbolic links",
    build: { tar, out in
      tar.folder("d")
      tar.symlink("d/a", "../../..")
      tar.symlink("d/b", "a/../..")
      tar.file("d/b\(out)/escaped")
      tar.file("d/a\(out)/escaped")
    }),
  Breakout(
    name: "a loop of symbolic links",
    build: { tar, _ in
      tar.symlink("a", "b"); tar.symlink("b", "a"); tar.file("a/escaped")
    }),
  Breakout(
    name: "a symbolic link to itself",
    build: { tar, _ in
      tar.symlink("a", "a"); tar.file("a/b")
    }),
  Breakout(
    name: "a file through a symbolic link as last part",
    build: { tar, out in
      tar.symlink("a", "\(out)/file"); tar.file("a", "pwned")
    }, mustWork: true,
    check: { $0.text("a") == "pwned" && $0.status("a")?.kind == .regular }),
  Breakout(
    name: "emptying a file through a symbolic link",
    build: { tar, out in
      tar.symlink("a", "\(out)/file"); tar.file("a", "")
    }, mustWork: true,
    check: { $0.status("a")?.size == 0 }),
  Breakout(
    name: "a hard link to an absolute path",
    build: { tar, out in
      tar.hardlink("a", "\(out)/file"); tar.file("a", "pwned")
    }),
  Breakout(
    name: "a hard link to /etc/passwd",
    build: { tar, _ in
      tar.hardlink("passwd", "/etc/passwd"); tar.file("passwd", "pwned")
    }),
  Breakout(
    name: "a hard link by ..", build: { tar, out in tar.hardlink("a", "../../../../../../..\(out)/file") }),
  Breakout(
    name: "a hard link through a symbolic link",
    build: { tar, out in
      tar.symlink("s", out); tar.hardlink("a", "s/file"); tar.file("a", "pwned")
    }),
  Breakout(
    name: "a hard link to a symbolic link, written through",
    build: { tar, out in
      tar.symlink("s", "\(out)/file")
      tar.hardlink("a", "s")
      tar.file("a", "pwned")
    }, mustWork: true, check: { $0.text("a") == "pwned" && $0.status("s")?.kind == .symbolicLink }),
  Breakout(
    name: "chmod through a hard link to a symbolic link",
    build: { tar, out in
      tar.symlink("s", "\(out)/file")
      tar.hardlink("a", "s", mode: 0o4777)
    }, mustWork: true, check: { $0.status("a")?.kind == .symbolicLink }),
  Breakout(
    name: "a hard link to a symbolic link before its target is made",
    build: { tar, out in
      tar.symlink("s", "\(out)/new")
      tar.hardlink("a", "s")
      tar.hardlink("b", "a")
      tar.file("b", "pwned")
    }),
  Breakout(
    name: "a hard link as a parent",
    build: { tar, out in
      tar.symlink("s", out); tar.hardlink("a", "s"); tar.file("a/escaped")
    }),
  Breakout(
    name: "chown and chmod through a symbolic link",
    build: { tar, out in
      tar.symlink("a", "\(out)/folder")
      tar.folder("a", mode: 0o4777, uid: 1234)
    }, mustWork: true, check: { $0.status("a")?.kind == .directory && $0.status("a")?.uid == 1234 }),
  Breakout(
    name: "a folder replaced by a symbolic link",
    build: { tar, out in
      tar.folder("a")
      tar.file("a/one")
      tar.symlink("a", out)
      tar.file("a/file", "pwned")
    }),
  Breakout(
    name: "a folder replaced by a symbolic link, its time set last",
    build: { tar, out in
      tar.folder("a/b")
      tar.symlink("a", out)
      tar.folder("folder")
    }),
  Breakout(
    name: "a folder in a folder that becomes a symbolic link",
    build: { tar, out in
      tar.folder("a")
      tar.folder("a/folder")
      tar.symlink("a", out)
      tar.file("a/folder/inner", "pwned")
    }),
  Breakout(
    name: "whiteout of the parent",
    build: { tar, _ in
      tar.folder("a"); tar.file("a/.wh..")
    },
    check: { _ in false }),
  Breakout(
    name: "whiteout of the parent's parent",
    build: { tar, _ in
      tar.folder("a"); tar.file("a/.wh...")
    },
    check: { _ in false }),
  Breakout(name: "whiteout of nothing", build: { tar, _ in tar.file("a/.wh.") }, check: { _ in false }),
  Breakout(
    name: "whiteout through a symbolic link",
    build: { tar, out in
      tar.symlink("a", out); tar.file("a/.wh.file")
    }, mustWork: true),
  Breakout(name: "whiteout by ..", build: { tar, out in tar.file("../../../../..\(out)/.wh.file") }, mustWork: true),
  Breakout(name: "an absolute whiteout", build: { tar, out in tar.file("\(out)/.wh.file") }, mustWork: true),
  Breakout(
    name: "opaque mark through a symbolic link",
    build: { tar, out in
      tar.symlink("a", out); tar.file("a/.wh..wh..opq")
    }, mustWork: true),
  Breakout(
    name: "aufs bookkeeping",
    build: { tar, _ in
      tar.file(".wh..wh.plnk"); tar.file(".wh..wh.aufs")
    }, mustWork: true,
    check: { $0.names().isEmpty }),
  Breakout(
    name: "the host's disk as a device, and opening through it",
    build: { tar, _ in
      tar.device("sda", major: 8, minor: 0, type: "4"); tar.file("sda/x")
    }),
  Breakout(
    name: "a file where a device is",
    build: { tar, _ in
      tar.device("null", major: 1, minor: 5); tar.file("null", "x")
    },
    mustWork: true, check: { $0.status("null")?.kind == .regular }),
  Breakout(
    name: "a file where a fifo is",
    build: { tar, _ in
      tar.fifo("p"); tar.file("p", "x")
    }, mustWork: true,
    check: { $0.text("p") == "x" }),
  Breakout(
    name: "a symbolic link into /proc",
    build: { tar, _ in
      tar.symlink("a", "/proc/self/root"); tar.file("a/tmp/gantry-escaped")
    }, mustWork: true),
  Breakout(
    name: "a name with a zero byte",
    build: { tar, _ in tar.file("a", pax: [("path", Array("b\u{0}/../../../escaped".utf8))]) }),
  Breakout(
    name: "a name of the path limit", build: { tar, _ in tar.file(String(repeating: "a/", count: 5000) + "b") },
    check: { _ in false }),
  Breakout(
    name: "a part longer than file systems take", build: { tar, _ in tar.file(String(repeating: "a", count: 300)) },
    check: { _ in false }),
  Breakout(
    name: "a file as root",
    build: { tar, _ in
      tar.file("/"); tar.symlink(".", "/etc")
    }, check: { _ in false }),
  Breakout(
    name: "redirects of overlayfs",
    build: { tar, _ in
      tar.folder(
        "a",
        pax: [
          ("SCHILY.xattr.trusted.overlay.redirect", Array("/etc".utf8)),
          ("SCHILY.xattr.trusted.overlay.metacopy", []),
        ])
    }, mustWork: true,
    check: {
      $0.attribute("a", "trusted.overlay.redirect") == nil && $0.attribute("a", "trusted.overlay.metacopy") == nil
    }),
]
