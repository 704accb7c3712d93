import Archive
import ArchiveFixtures
import Faults
import Glibc
import Linux
import SystemPackage
import Testing

@testable import Tar

extension ArchiveTests {
  /// Trees into archives and back: `TreeArchiver`, `TarWriter` and `TreeExtractor`, beside GNU tar.
  @Suite(.enabled(if: isRoot, "needs root: owners and devices")) struct TreeTests {
    /// What a file is in all that an archive carries, for comparisons.
    private static let census = """
      find . -mindepth 1 | LC_ALL=C sort | while read -r f; do
        stat -c '%n %F %a %u %g %s %Y %h %t:%T' "$f"
        [ -L "$f" ] && readlink "$f"
        getfattr -h -d -m 'user|security.capability' --absolute-names "$f" 2>/dev/null | grep -v '^#'
        [ -f "$f" ] && [ ! -L "$f" ] && sha256sum <"$f"
      done; true
      """

    private static func tree(_ scratch: Scratch) {
      let long = String(repeating: "n", count: 150)
      let (output, status) = shell(
        """
        mkdir -p '\(scratch["tree"])/d/empty' && cd '\(scratch["tree"])' && set -e
        echo content >plain; : >nothing; head -c 300000 /dev/urandom >d/large
        mkdir -p '\(long)/\(long)'; echo deep >'\(long)/\(long)/\(long)'
        printf x >"$(printf 'not\\377utf8')"; echo ü >ümlaut
        ln plain d/hard; ln -s ../plain d/soft; ln -s '\(long)\(long)' longlink; ln d/soft d/softhard
        mkfifo fifo; mknod char c 1 3; mknod block b 7 0
        chown 4000000:5000000 plain; chmod 4755 nothing; chmod 1777 d; chmod 2750 d/empty; chown 1:2 d/empty
        setfattr -n user.note -v 'a b' plain; setcap cap_net_raw=ep d/large
        truncate -s 5M sparse; echo middle | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
        truncate -s 1M hole
        touch -h -d '1970-01-02 00:00:00.25 UTC' d/soft; touch -d '2001-02-03 04:05:06.123456789 UTC' d/large d/empty d
        """)
      precondition(status == 0, output)
    }

    /// Archives the tree into a file, as the content of a folder.
    private static func archive(_ scratch: Scratch) throws -> FilePath {
      let path = scratch["archive.tar"]
      let file = try openat2(nil, path.string, [.writeOnly, .create, .truncate], mode: 0o600)
      let writer = TarWriter(file.rawValue)
      try TreeArchiver(writer).add(TreeNode(path: scratch["tree"].string, followLinks: false), .init(top: []))
      try writer.finish()
      #expect(writer.bytes == Int64(try FileStatus(path.string).size))
      return path
    }

    private static func facts(_ folder: FilePath) -> String { shell("cd '\(folder)' && \(census)").output }

    @Test("GNU tar takes out of our archives what went in")
    func gnuReads() throws {
      let scratch = Scratch()
      Self.tree(scratch)
      let path = try Self.archive(scratch)
      let (output, status) = shell(
        """
        mkdir '\(scratch["out"])' && cd '\(scratch["out"])' && \
        tar --numeric-owner --xattrs --xattrs-include='*' -xpf '\(path)'
        """)
      #expect(status == 0 && output.isEmpty, "\(output)")
      #expect(Self.facts(scratch["out"]) == Self.facts(scratch["tree"]))
      #expect(shell("du -k '\(scratch["out/sparse"])' | cut -f1").output.hasPrefix("4"), "holes stay holes")
      #expect(
        shell("stat -c %y '\(scratch["out/d/large"])' '\(scratch["tree/d/large"])' | uniq | wc -l").output == "1\n",
        "nanoseconds too")
    }

    @Test("Our extraction takes out of our archives what went in, and the same of GNU tar's", arguments: [true, false])
    func extracts(own: Bool) throws {
      let scratch = Scratch()
      Self.tree(scratch)
      var path = scratch["gnu.tar"]
      if own {
        path = try Self.archive(scratch)
      } else {
        let (output, status) = shell(
          "cd '\(scratch["tree"])' && tar --format=pax --xattrs --xattrs-include='*' -cSf '\(path)' .")
        precondition(status == 0, output)
      }
      scratch.folder("out")
      let folder = try openat2(nil, scratch["out"].string, [.path, .directory])
      let extractor = TreeExtractor(beneath: folder.rawValue, name: "/out", options: .init())
      try extractor.extract(ArchiveReader(path: path))
      #expect(Self.facts(scratch["out"]) == Self.facts(scratch["tree"]))
    }

    @Test("One file, a folder, and what is in a folder have their names", arguments: ["file", ".", "/"])
    func names(top: String) throws {
      let scratch = Scratch()
      scratch.folder("tree")
      scratch.write("tree/x", [1])
      let path = scratch["a.tar"]
      let file = try openat2(nil, path.string, [.writeOnly, .create], mode: 0o600)
      let writer = TarWriter(file.rawValue)
      let node = try TreeNode(path: scratch[top == "file" ? "tree/x" : "tree"].string, followLinks: false)
      try TreeArchiver(writer).add(node, .init(top: Array(top.utf8)))
      try writer.finish()
      let reader = try ArchiveReader(path: path)
      var names: [String] = []
      while let entry = try reader.next() { names.append(entry.pathText) }
      #expect(names == (top == "file" ? ["file"] : top == "." ? ["./", "./x"] : ["/", "/x"]))
      #expect(writer.plainBytes == (top == "file" ? 2048 : 2560))
    }

    @Test("A folder is not put in the place of a file, nor the other way round, when that is asked")
    func keepsKind() throws {
      let scratch = Scratch()
      scratch.folder("out")
      scratch.folder("out/d")
      scratch.write("out/f", [1])
      let folder = try openat2(nil, scratch["out"].string, [.path, .directory])
      var options = TreeExtractor.Options()
      options.keepsKind = true
      for (tar, message) in [
        (Tar { $0.file("d") }, "cannot overwrite directory \"/out/d\" with non-directory \"/out\""),
        (Tar { $0.folder("f") }, "cannot overwrite non-directory \"/out/f\" with directory \"/out\""),
      ] {
        let path = scratch.write("a.tar", tar.archive)
        do {
          try TreeExtractor(beneath: folder.rawValue, name: "/out", options: options).extract(ArchiveReader(path: path))
          Issue.record("\(message): not refused")
        } catch let fault as Fault {
          #expect(fault.message == message)
        }
      }
      options.keepsKind = false
      let path = scratch.write(
        "a.tar",
        Tar {
          $0.file("d", "new"); $0.folder("f")
        }.archive)
      try TreeExtractor(beneath: folder.rawValue, name: "/out", options: options).extract(ArchiveReader(path: path))
      #expect(try Files.readText("\(scratch["out/d"])") == "new")
      #expect(try FileStatus("\(scratch["out/f"])").kind == .directory)
    }

    @Test(
      "Nothing is written outside of the folder",
      arguments: [
        { (tar: inout Tar, out: String) in
          tar.file("../escaped"); tar.file("/escaped")
        },
        { tar, out in
          tar.symlink("a", out); tar.file("a/escaped")
        },
        { tar, out in
          tar.symlink("a", ".."); tar.file("a/escaped")
        },
        { tar, out in
          tar.symlink("a", "\(out)/file"); tar.file("a", "pwned")
        },
        { tar, out in
          tar.hardlink("a", "\(out)/file"); tar.file("a", "pwned")
        },
        { tar, out in tar.hardlink("a", "../outside/file") },
        { tar, out in
          tar.symlink("s", out); tar.hardlink("a", "s/file")
        },
        { tar, out in
          tar.symlink("a", out); tar.folder("a", mode: 0o4777, uid: 12)
        },
        { tar, out in
          tar.symlink("a", "\(out)/file"); tar.hardlink("b", "a"); tar.file("b", "pwned")
        },
      ] as [@Sendable (inout Tar, String) -> Void])
    func breakout(build: @Sendable (inout Tar, String) -> Void) throws {
      let scratch = Scratch()
      for folder in ["tree", "tree/dest", "outside"] { scratch.folder(folder) }
      scratch.write("outside/file", Array("safe".utf8))
      let before = Self.facts(scratch["outside"])
      var tar = Tar()
      build(&tar, scratch["outside"].string)
      let path = scratch.write("a.tar", tar.archive)
      let dest = try openat2(nil, scratch["tree/dest"].string, [.path, .directory])
      try? TreeExtractor(beneath: dest.rawValue, name: "/dest", options: .init()).extract(ArchiveReader(path: path))
      #expect(Self.facts(scratch["outside"]) == before)
      #expect(try Files.list(scratch["tree"].string) == ["dest"])
      // The same below a root in which links are followed: they stay in it.
      let root = TreeRoot(try openat2(nil, scratch["tree"].string, [.path, .directory]))
      try? TreeExtractor(
        root: root, path: TreeRoot.Path(Array("/dest".utf8)), options: .init(), descriptorPrefix: "/proc/self/fd/"
      ).extract(ArchiveReader(path: path))
      #expect(Self.facts(scratch["outside"]) == before)
    }

    @Test(
      "Paths are resolved as if the tree were the root",
      arguments: [
        ("/link/x", "/d/x"), ("/up", "/d/x"), ("/absolute", "/d/x"), ("/broken", "/nowhere/at/all"), ("/chain", "/d/x"),
      ])
    func targets(path: String, target: String) throws {
      let scratch = Scratch()
      let (output, status) = shell(
        """
        cd '\(scratch.path)' && mkdir d && echo x >d/x && ln -s /d link && ln -s ../../../../d/x up && ln -s /d/x absolute \
        && ln -s nowhere/at/all broken && ln -s link/x chain && ln -s loop loop
        """)
      precondition(status == 0, output)
      let root = TreeRoot(try openat2(nil, scratch.path.string, [.path, .directory]))
      #expect(String(decoding: try root.target(of: .init(Array(path.utf8))), as: UTF8.self) == target)
      let node = try root.find(.init(Array(path.utf8)))
      #expect(node.status.kind == (path == "/link/x" ? .regular : .symbolicLink))
      #expect(throws: Errno.tooManySymbolicLinkLevels) { try root.target(of: .init(Array("/loop".utf8))) }
    }

    @Test func theTimesOfHeaders() {
      #expect(TarHeader.time(5, 0) == "5")
      #expect(TarHeader.time(5, 250_000_000) == "5.25")
      #expect(TarHeader.time(0, 1) == "0.000000001")
      #expect(TarHeader.time(-2, 750_000_000) == "-2")
    }
  }
}
