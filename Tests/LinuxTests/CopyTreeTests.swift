import Glibc
import Linux
import SystemPackage
import Testing

/// Copies of trees, as volumes are filled.
@Suite(.enabled(if: geteuid() == 0, "needs root: owners and devices")) struct CopyTreeTests {
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func shell(_ script: String) throws -> Int32 {
    let process = try SpawnRequest(
      .path("/bin/sh"), arguments: ["sh", "-euc", "cd '\(scratch.path)' && \(script)"]
    ).spawn()
    if case .exited(let code) = try process.pidFD.wait() { return code }
    return -1
  }

  private func copy(root: Bool = true) throws -> CopyTree.Outcome {
    let from = try openat2(nil, scratch.path.appending("from").string, [.readOnly, .directory])
    let to = try openat2(nil, scratch.path.appending("to").string, [.readOnly, .directory])
    return try CopyTree.copy(from: from.rawValue, to: to.rawValue, nodes: true, root: root)
  }

  @Test func everythingThatBelongsToAFileIsCopied() throws {
    #expect(
      try shell(
        """
        mkdir -p from/deep/er to; echo text >from/deep/er/file; chown 5:6 from/deep/er/file; chmod 4751 from/deep/er/file
        ln -s /etc/passwd from/link; chown -h 7:8 from/link; ln from/deep/er/file from/hard
        mkfifo -m 640 from/fifo; mknod -m 600 from/null c 1 3; chown 9:9 from/fifo
        truncate -s 50M from/sparse; echo end >>from/sparse
        printf 'x' >"from/$(printf 'bad\\\\377name')"; touch -d @1000 from/deep/er/file from/deep from; chmod 2770 from
        """) == 0)
    let file = try openat2(nil, scratch.path.appending("from/deep/er/file").string, .readOnly)
    try ExtendedAttributes.set(file.rawValue, "user.note", Array("kept".utf8))
    try ExtendedAttributes.set(
      file.rawValue, "security.capability", [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0] + Array(repeating: 0, count: 8))
    let outcome = try copy()
    #expect(outcome.entries == 9 && outcome.bytes < 1 << 20)
    #expect(
      try shell(
        """
        t() { stat -c '%n %F %a %u %g %Y %t %T %h' "$@"; }
        (cd from; t . deep deep/er/file hard fifo null; stat -c '%N %u %g' link) >one
        (cd to; t . deep deep/er/file hard fifo null; stat -c '%N %u %g' link) >two
        diff one two; cmp from/sparse to/sparse; test $(stat -c %b to/sparse) -lt 1000
        test $(stat -c %i to/hard) = $(stat -c %i to/deep/er/file); diff -r from/deep to/deep
        test "$(ls -A from)" = "$(ls -A to)"
        """) == 0)
    let made = try openat2(nil, scratch.path.appending("to/deep/er/file").string, .readOnly)
    #expect(try ExtendedAttributes.get(made.rawValue, "user.note") == Array("kept".utf8))
    #expect(try ExtendedAttributes.get(made.rawValue, "security.capability")?.count == 20)
  }

  @Test func whatIsThereStaysAndTheRestIsAdded() throws {
    #expect(
      try shell(
        """
        mkdir -p from/a to/a; echo new >from/a/one; echo new >from/a/two; echo new >from/b; mkdir from/c; echo x >from/c/d
        echo own >to/a/one; printf half >to/a/.gantry.copying; ln -s / to/c; chmod 711 to
        """) == 0)
    #expect(try copy(root: false).entries == 2)
    #expect(
      try shell(
        """
        test "$(cat to/a/one)" = own; test "$(cat to/a/two)" = new; test "$(cat to/b)" = new
        test ! -e to/a/.gantry.copying; test -L to/c; test ! -e /d; test $(stat -c %a to) = 711
        """) == 0)
    #expect(try copy(root: false).entries == 0)
  }

  @Test func diskUsageCountsContentOnce() throws {
    #expect(try shell("mkdir -p to/x; printf 12345 >to/x/f; ln to/x/f to/g; ln -s f to/x/l; truncate -s 1M to/h") == 0)
    let folder = try openat2(nil, scratch.path.appending("to").string, [.readOnly, .directory])
    let usage = DiskUsage(of: folder.rawValue)
    #expect(usage.content == 5 + (1 << 20))
    #expect(usage.inodes == 4)
  }
}
