import Foundation
import TestSupport
import Testing

extension IntegrationTests {
  /// `gantry cp`, `diff` and `export`, on containers in every state, beside what GNU tar sees.
  @Suite struct Copy {
    var engine: TestEngine { TestEngine.current }

    /// A container in one of Docker's states.
    enum State: String, CaseIterable { case running, paused, created, exited }

    /// Runs `body` with a container in `state`, and a folder of the test's own on the host.
    func with(
      _ state: State = .running, flags: [String] = [], _ body: (String, String) async throws -> Void
    ) async throws {
      let name = engine.name("cp")
      let folder = "\(engine.folder)/\(name)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let command = ["busybox", "sleep", "1000"]
      switch state {
      case .created: try await engine.gantry(["create", "--name", name] + flags + command)
      case .running, .paused, .exited: try await engine.gantry(["run", "-d", "--name", name] + flags + command)
      }
      if state == .paused { try await engine.gantry("pause", name) }
      if state == .exited { try await engine.gantry("stop", "-t", "0", name) }
      do { try await body(name, folder) } catch {
        try? await engine.gantry("rm", "-f", name)
        throw error
      }
      try await engine.gantry("rm", "-f", name)
      try FileManager.default.removeItem(atPath: folder)
    }

    @Test(arguments: State.allCases) func filesGoInAndOut(state: State) async throws {
      try await with(state) { name, folder in
        _ = try await Command.shell(
          """
          cd \(folder); mkdir -p tree/sub; echo content >tree/file; ln tree/file tree/sub/hard; ln -s file tree/soft
          chmod 2751 tree/sub; chown 12:34 tree/file; truncate -s 3M tree/sparse; echo end >>tree/sparse
          touch -d '2001-02-03 04:05:06.789' tree/sub tree/file
          """)
        let copied = try await engine.gantry("cp", "\(folder)/tree", "\(name):/tmp")
        #expect(copied.stdout.isEmpty)
        #expect(copied.stderr.hasPrefix("Successfully copied 3.15MB to \(name):/tmp\n"))
        try await engine.gantry("cp", "-q", "-a", "\(name):/tmp/tree", "\(folder)/back")
        let facts = "find . | LC_ALL=C sort | xargs stat -c '%n %F %a %u %g %s %Y %h'; sha256sum file sparse"
        let before = try await Command.shell("cd \(folder)/tree; \(facts)").stdout
        #expect(try await Command.shell("cd \(folder)/back; \(facts)").stdout == before)
        #expect(try await Command.shell("du -k \(folder)/back/sparse | cut -f1").trimmed == "4")
        // What GNU tar sees of the stream is what it sees of the source.
        let list = "tar --numeric-owner -tv --full-time | sed 's/ link to / -> /' | sort"
        let own = try await Command.shell(
          """
          export GANTRY_STATE=\(engine.state); \(TestEngine.binaries)/gantry cp \(name):/tmp/tree - | \(list)
          """
        ).stdout
        let gnu = try await Command.shell("tar -C \(folder) --format=pax -c --sort=name tree | \(list)").stdout
        #expect(own == gnu)
        if state == .running {
          #expect(try await engine.gantry("exec", name, "cat", "/tmp/tree/sub/hard").stdout == "content\n")
        }
      }
    }

    @Test(arguments: [State.running, .exited]) func pathsMeanWhatTheyMeanToDocker(state: State) async throws {
      try await with(state) { name, folder in
        func cp(_ source: String, _ target: String, expecting: Int32 = 0) async throws -> String {
          try await engine.gantry("cp", source, target, expecting: expecting).stderr
        }
        _ = try await Command.shell("cd \(folder); mkdir -p d/s; echo 1 >d/one; echo f >f; ln -s d l; mkdir empty")
        // Into: a file to a new name, into a folder, over a file; a folder to a new name, into a folder, its content.
        _ = try await cp("\(folder)/f", "\(name):/tmp/new")
        _ = try await cp("\(folder)/f", "\(name):/tmp/")
        _ = try await cp("\(folder)/d", "\(name):/tmp/dir")
        _ = try await cp("\(folder)/d", "\(name):/tmp/dir")
        _ = try await cp("\(folder)/d/.", "\(name):/tmp/content")
        _ = try await cp("\(folder)/l", "\(name):/tmp/link")
        let followed = try await engine.gantry("cp", "-L", "\(folder)/l", "\(name):/tmp/followed")
        #expect(followed.status == 0)
        let names = try await Command.shell(
          """
          export GANTRY_STATE=\(engine.state)
          \(TestEngine.binaries)/gantry cp \(name):/tmp/. - | tar -t | grep -v '/$' | LC_ALL=C sort
          """
        ).lines
        #expect(
          names == [
            "./content/one", "./dir/d/one", "./dir/one", "./f", "./followed/one", "./link", "./new",
          ])
        #expect(
          try await cp("\(folder)/f", "\(name):/tmp/none/f", expecting: 1).contains("Could not find the file /tmp/none")
        )
        #expect(try await cp("\(folder)/f", "\(name):/tmp/none/", expecting: 1) == "gantry: no such directory\n")
        #expect(try await cp("\(folder)/d", "\(name):/tmp/f", expecting: 1) == "gantry: cannot copy directory\n")
        #expect(
          try await cp("\(folder)/one", "\(name):/tmp/f", expecting: 1).contains("no such file or directory"))
        _ = try await Command.shell("mkdir \(folder)/new")
        #expect(
          try await cp("\(folder)/new", "\(name):/tmp", expecting: 1).contains(
            "cannot overwrite non-directory \"/tmp/new\" with directory \"/tmp\""))
        // Out.
        _ = try await cp("\(name):/tmp/f", "\(folder)/out")
        _ = try await cp("\(name):/tmp/dir", "\(folder)/empty")
        _ = try await cp("\(name):/tmp/dir/.", "\(folder)/outdir")
        _ = try await cp("\(name):/tmp/link", "\(folder)/outlink")
        #expect(
          try await Command.shell("cd \(folder); cat out; ls empty outdir; readlink outlink").stdout
            == "f\nempty:\ndir\n\noutdir:\nd\none\ns\nd\n")
        #expect(
          try await cp("\(name):/none", folder, expecting: 1)
            == "gantry: Could not find the file /none in container \(name)\n")
        #expect(try await cp("\(name):/tmp/dir", "\(folder)/f", expecting: 1) == "gantry: cannot copy directory\n")
        #expect(try await cp("\(name):/tmp/f", "\(folder)/no/f", expecting: 1).contains("does not exist"))
        #expect(
          try await cp("\(name):/a", "\(name):/b", expecting: 1).contains("copying between containers is not supported")
        )
        #expect(try await cp("a", "b", expecting: 1).contains("must specify at least one container source"))
        #expect(try await cp("\(folder)/f", "no-such:/", expecting: 1) == "gantry: No such container: no-such\n")
      }
    }

    @Test func archivesComeFromAndGoToPipes() async throws {
      try await with { name, folder in
        let gantry = "GANTRY_STATE=\(engine.state) \(TestEngine.binaries)/gantry"
        _ = try await Command.shell("cd \(folder); mkdir d; echo x >d/x; head -c 200000 /dev/zero >d/z")
        for compress in ["cat", "gzip", "zstd -q", "xz", "bzip2"] {
          _ = try await Command.shell("cd \(folder); tar -c d | \(compress) | \(gantry) cp - \(name):/tmp")
          #expect(try await engine.gantry("exec", name, "cat", "/tmp/d/x").stdout == "x\n", "\(compress)")
          try await engine.gantry("exec", name, "rm", "-r", "/tmp/d")
        }
        let bad = try await Command.shell("echo no archive | \(gantry) cp - \(name):/tmp", expecting: 1)
        #expect(bad.stderr.contains("this is not a tar archive"), "\(bad)")
        let cut = try await Command.shell(
          "cd \(folder); tar -c d | head -c 100000 | \(gantry) cp - \(name):/tmp", expecting: 1)
        #expect(cut.stderr.contains("cut off"), "\(cut)")
        let file = try await Command.shell("tar -C \(folder) -c d | \(gantry) cp - \(name):/etc/passwd", expecting: 1)
        #expect(file.stderr.contains("must be a directory"), "\(file)")
      }
    }

    @Test(arguments: State.allCases) func volumesAndBindsAreSeen(state: State) async throws {
      let host = "\(engine.folder)/\(engine.name("bind"))"
      _ = try await Command.shell("mkdir -p \(host)/in; echo bound >\(host)/in/file")
      try await with(state, flags: ["-v", "\(host):/made/for/it", "-v", "\(host)/in:/ro:ro"]) { name, folder in
        _ = try await Command.shell("echo new >\(folder)/f")
        try await engine.gantry("cp", "\(name):/made/for/it/in/file", "\(folder)/out")
        #expect(try String(contentsOfFile: "\(folder)/out", encoding: .utf8) == "bound\n")
        try await engine.gantry("cp", "\(folder)/f", "\(name):/made/for/it/f")
        #expect(try String(contentsOfFile: "\(host)/f", encoding: .utf8) == "new\n")
        let refused = try await engine.gantry("cp", "\(folder)/f", "\(name):/ro/f", expecting: 1)
        #expect(refused.stderr == "gantry: mounted volume is marked read-only\n")
        try await engine.gantry("cp", "\(name):/etc/hostname", "\(folder)/hostname")
        #expect(try String(contentsOfFile: "\(folder)/hostname", encoding: .utf8).utf8.count == 13)
      }
      _ = try await Command.shell("rm -r \(host)")
    }

    @Test func aPathThatOnlyTheContainerReachesIsRefused() async throws {
      try await with(flags: ["--tmpfs", "/mem"]) { name, folder in
        _ = try await Command.shell("echo x >\(folder)/f")
        for words in [["\(folder)/f", "\(name):/mem/f"], ["\(name):/mem", folder]] {
          let refused = try await engine.gantry(["cp"] + words, expecting: 1)
          let words = refused.stderr
          #expect(words.contains("/mem") && words.contains("only its own processes reach"), "\(refused)")
        }
      }
    }

    @Test(arguments: [State.running, .created]) func aReadOnlyRootTakesNothing(state: State) async throws {
      try await with(state, flags: ["--read-only"]) { name, folder in
        _ = try await Command.shell("echo new >\(folder)/f")
        let refused = try await engine.gantry("cp", "\(folder)/f", "\(name):/tmp", expecting: 1)
        #expect(refused.stderr == "gantry: container rootfs is marked read-only\n")
        try await engine.gantry("cp", "\(name):/etc/passwd", folder)
      }
    }

    @Test func copiedFilesKeepTheirOwnersOrGetTheContainersUser() async throws {
      try await with(flags: ["--user", "77:88"]) { name, folder in
        _ = try await Command.shell("echo x >\(folder)/f; chown 12:34 \(folder)/f")
        try await engine.gantry("cp", "\(folder)/f", "\(name):/tmp/kept")
        try await engine.gantry("cp", "-a", "\(folder)/f", "\(name):/tmp/given")
        #expect(
          try await engine.gantry("exec", name, "stat", "-c", "%u:%g", "/tmp/kept", "/tmp/given").stdout
            == "12:34\n77:88\n")
        try await engine.gantry("cp", "\(name):/tmp/kept", "\(folder)/own")
        #expect(try await Command.shell("stat -c %u:%g \(folder)/own").trimmed == "0:0")
      }
    }

    @Test(arguments: [State.running, .paused, .exited]) func changesAreAddedChangedAndDeleted(state: State) async throws
    {
      let name = engine.name("diff")
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c",
        """
        mkdir -p /new/sub; echo x >/new/sub/x; echo more >>/etc/passwd; rm /etc/group; chmod 700 /home; touch /ready
        rm -r /var/spool 2>/dev/null; mkdir -p /var/spool; sleep 1000
        """)
      try await engine.eventually("it is ready") {
        try await engine.gantry("exec", name, "ls", "/ready", expecting: nil).status == 0
      }
      if state == .paused { try await engine.gantry("pause", name) }
      if state == .exited { try await engine.gantry("stop", "-t", "0", name) }
      let lines = Set(try await engine.gantry("diff", name).lines.map(String.init))
      for line in ["A /new", "A /new/sub", "A /new/sub/x", "C /etc", "C /etc/passwd", "D /etc/group", "A /ready"] {
        #expect(lines.contains(line), "\(line) is not in \(lines.sorted())")
      }
      #expect(!lines.contains { $0.hasSuffix("/etc/hosts") || $0.hasSuffix("/proc") || $0.hasSuffix("/dev") })
      try await engine.gantry("rm", "-f", name)
    }

    @Test(arguments: State.allCases) func aContainerThatDidNothingChangedNothing(state: State) async throws {
      try await with(state, flags: ["-v", "/tmp:/mounted"]) { name, folder in
        try await engine.gantry("cp", "\(name):/etc/passwd", folder)
        let expected = state == .created ? "" : "A /mounted\n"
        #expect(try await engine.gantry("diff", name).stdout == expected)
      }
    }

    @Test(arguments: [State.running, .created, .exited]) func exportHasEverythingButVolumes(state: State) async throws {
      let host = "\(engine.folder)/\(engine.name("bind"))"
      _ = try await Command.shell("mkdir \(host); echo secret >\(host)/file")
      try await with(state, flags: ["-v", "\(host):/vol"]) { name, folder in
        _ = try await Command.shell("echo x >\(folder)/f")
        try await engine.gantry("cp", "\(folder)/f", "\(name):/added")
        try await engine.gantry("export", "-o", "\(folder)/all.tar", name)
        let names = Set(try await Command.shell("tar -tf \(folder)/all.tar").lines.map(String.init))
        #expect(names.isSuperset(of: ["bin/", "bin/busybox", "etc/passwd", "added"]) || names.contains("bin/sh"))
        #expect(names.contains("added") && !names.contains("vol/file") && !names.contains("./"))
        _ = try await Command.shell("mkdir \(folder)/root; tar -C \(folder)/root -xpf \(folder)/all.tar")
        #expect(try await Command.shell("chroot \(folder)/root /bin/sh -c 'cat /added'").stdout == "x\n")
        let missing = try await engine.gantry("export", "-o", "\(folder)/no/all.tar", name, expecting: 1)
        #expect(missing.stderr.contains("failed to export container: invalid output path"))
      }
      _ = try await Command.shell("rm -r \(host)")
      let output = try await engine.gantry("export", "no-such", expecting: 1)
      #expect(output.stderr == "gantry: No such container: no-such\n" && output.stdout.isEmpty)
    }

    @Test func aStoppedContainerStartsAfterACopyWithIt() async throws {
      try await with(.exited) { name, folder in
        _ = try await Command.shell("echo before >\(folder)/f")
        try await engine.gantry("cp", "\(folder)/f", "\(name):/tmp/f")
        try await engine.gantry("start", name)
        #expect(try await engine.gantry("exec", name, "cat", "/tmp/f").stdout == "before\n")
        try await engine.gantry("cp", "\(folder)/f", "\(name):/tmp/live")
        #expect(try await engine.gantry("exec", name, "cat", "/tmp/live").stdout == "before\n")
      }
    }

    @Test func completionOffersContainersWithAColon() async throws {
      try await with { name, _ in
        let offers = try await engine.gantry("__complete", "cp", String(name.prefix(5)))
        #expect(offers.stdout.contains("\(name):\t"))
        #expect(try await engine.gantry("__complete", "cp", "./").stdout == ":files\t\n")
      }
    }
  }
}
