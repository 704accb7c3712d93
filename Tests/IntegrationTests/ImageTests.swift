import TestSupport
import Testing

extension IntegrationTests {
  /// load, images, tag, rmi, history, and what other tools read of our content folder.
  @Suite struct Images {
    var engine: TestEngine { TestEngine.current }

    /// A copy of the busybox archive with another entry point and tag, made by skopeo and umoci.
    func variant(_ tag: String) async throws -> String {
      let folder = engine.folder.appending(engine.name("oci"))
      let archive = try await TestImage.busybox()
      _ = try await Command.shell(
        """
        skopeo copy -q docker-archive:\(archive):gantry/busybox:latest oci:\(folder):base
        umoci config --image \(folder):base --tag \(tag) --config.entrypoint /bin/echo --config.cmd \(tag)
        """)
      return folder.string
    }

    @Test func listsWhatWasLoaded() async throws {
      let table = try await engine.gantry("images")
      #expect(table.lines[0].hasPrefix("REPOSITORY"))
      #expect(table.stdout.contains("gantry/busybox"))
      let id = try await engine.gantry("images", "-q", "--no-trunc", "gantry/busybox").trimmed
      #expect(id.hasPrefix("sha256:") && id.count == 71)
      #expect(try await engine.gantry("image", "inspect", "-f", "{{.Id}}", "gantry/busybox").trimmed == id)
      #expect(
        try await engine.gantry("run", "--rm", String(id.dropFirst(7).prefix(12)), "echo", "by id").trimmed == "by id")
      #expect(try await engine.gantry("history", "gantry/busybox").lines[0].hasPrefix("IMAGE"))
    }

    @Test func tagsAndRemoves() async throws {
      let tag = engine.name("repo") + "/thing:v1"
      try await engine.gantry("tag", "busybox", tag)
      #expect(try await engine.gantry("run", "--rm", tag, "echo", "tagged").trimmed == "tagged")
      #expect(try await engine.gantry("rmi", tag).stdout.contains("Untagged: \(tag)"))
      let gone = try await engine.gantry("run", "--rm", "--pull", "never", tag, "true", expecting: 125)
      #expect(gone.stderr.contains("No such image"))
      try await engine.gantry("tag", "busybox", "upper/Case", expecting: 1)
    }

    @Test func anImageInUseIsNotRemoved() async throws {
      let folder = try await variant("inuse")
      let repository = engine.name("inuse")
      try await engine.gantry("load", "-q", "-i", folder)
      let name = engine.name()
      try await engine.gantry("tag", "inuse", repository, expecting: nil)
      let id = try await engine.gantry("images", "-q", "--no-trunc").lines.first { _ in true }
      #expect(id != nil)
      try await engine.gantry("run", "-d", "--name", name, "--entrypoint", "sleep", "inuse", "1000")
      let refused = try await engine.gantry("rmi", "inuse", repository, expecting: 1)
      #expect(refused.stderr.contains("container"))
      try await engine.gantry("rm", "-f", name)
      try await engine.gantry("rmi", "-f", "inuse", expecting: nil)
    }

    @Test(arguments: ["folder", "tar", "gzip", "zstd"])
    func loadsAnOCILayout(form: String) async throws {
      let tag = "oci\(form)"
      let folder = try await variant(tag)
      let source: String
      switch form {
      case "folder": source = folder
      case "tar": source = try await packed(folder, "cat")
      case "gzip": source = try await packed(folder, "gzip")
      default: source = try await packed(folder, "zstd -q")
      }
      let loaded = try await engine.gantry("load", "-i", source)
      #expect(loaded.stdout.contains("Loaded image"), "\(loaded)")
      #expect(try await engine.gantry("run", "--rm", tag).trimmed == tag)
      try await engine.gantry("rmi", tag)
    }

    func packed(_ folder: String, _ filter: String) async throws -> String {
      _ = try await Command.shell("tar -C \(folder) -c . | \(filter) >\(folder).packed")
      return "\(folder).packed"
    }

    @Test func loadsFromStandardInput() async throws {
      let archive = try await TestImage.busybox()
      let output = try await Command.run(
        ["/bin/sh", "-c", "\(TestEngine.binaries)/gantry load <\(archive)"], environment: engine.environment)
      #expect(output.stdout.contains("Loaded image: gantry/busybox:latest"))
    }

    @Test func aBrokenArchiveIsOneClearErrorAndChangesNothing() async throws {
      let engine = try await TestEngine.start()
      let before = try await engine.gantry("images", "-aq").stdout
      let archive = try await TestImage.busybox()
      let bad = engine.folder.appending(engine.name("bad"))
      for damage in [
        "head -c 100000 \(archive) >\(bad)", "head -c 5000 /dev/urandom >\(bad)", ": >\(bad)",
        "cp \(archive) \(bad); printf 'XXXXXXXX' | dd of=\(bad) bs=1 seek=500000 conv=notrunc status=none",
      ] {
        _ = try await Command.shell(damage)
        let output = try await engine.gantry("load", "-i", bad.string, expecting: 1)
        #expect(output.stderr.split(separator: "\n").count == 1, "\(damage): \(output)")
      }
      #expect(try await engine.gantry("images", "-aq").stdout == before)
      #expect(try await Command.shell("find \(engine.root)/image/ingest -type f").stdout.isEmpty)
      try await engine.stop()
    }

    @Test func skopeoReadsTheContentFolderAndPodmanRunsWhatItCopied() async throws {
      let layout = engine.root.appending("image")
      let name = "gantry/busybox:latest"
      let inspected = try await Command.run(["skopeo", "inspect", "oci:\(layout):\(name)"])
      #expect(inspected.stdout.contains("Layers"))
      let storage = engine.folder.appending(engine.name("podman"))
      let podman = "podman --root \(storage)/root --runroot \(storage)/run --cgroup-manager=cgroupfs"
      let ours = try await engine.gantry("run", "--rm", "gantry/busybox", "sh", "-c", "echo same; busybox | head -n 1")
        .stdout
      let theirs = try await Command.shell(
        """
        mkdir \(storage)
        skopeo copy -q oci:\(layout):\(name) docker-archive:\(storage)/image.tar:copied:latest
        exec unshare -m sh -euc '
          umount /sys/fs/cgroup/unified 2>/dev/null || true
          \(podman) load -q -i \(storage)/image.tar >/dev/null
          \(podman) run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 docker.io/library/copied sh -c "echo same; busybox | head -n 1"
          \(podman) rmi -af >/dev/null; \(podman) system reset -f >/dev/null 2>&1 || true'
        """, seconds: 120)
      #expect(theirs.stdout == ours)
    }
  }

  /// A real Debian: made by mmdebstrap, saved by other tools, loaded by us.
  @Suite struct Debian {
    var engine: TestEngine { TestEngine.current }

    static func archive() async throws -> String {
      try await TestImage.made("debian.tar") { path in
        _ = try await Command.shell(
          """
          work=$(mktemp -d)
          mmdebstrap --quiet --variant=minbase bookworm "$work/root.tar"
          umoci init --layout "$work/oci"
          umoci new --image "$work/oci:debian"
          umoci unpack --image "$work/oci:debian" "$work/bundle" >/dev/null 2>&1
          tar -C "$work/bundle/rootfs" -xpf "$work/root.tar"
          umoci repack --image "$work/oci:debian" "$work/bundle" >/dev/null 2>&1
          umoci config --image "$work/oci:debian" --config.cmd bash
          skopeo copy -q "oci:$work/oci:debian" "docker-archive:\(path):debian:latest"
          rm -rf "$work"
          """, seconds: 400)
      }.string
    }

    @Test(.timeLimit(.minutes(8))) func bashAptAndExec() async throws {
      let archive = try await Self.archive()
      try await engine.gantry("load", "-q", "-i", archive, seconds: 120)
      let shell = try await Command.run(
        [
          "script", "-qec", "\(TestEngine.binaries)/gantry run --rm -it debian bash -c 'tty; echo $BASH_VERSION; id'",
          "/dev/null",
        ],
        environment: engine.environment)
      #expect(shell.stdout.contains("/dev/pts/0") && shell.stdout.contains("uid=0(root)"))
      let name = engine.name()
      try await engine.gantry("run", "-d", "--network", "host", "--name", name, "debian", "sleep", "1000")
      let update = try await engine.gantry("exec", name, "apt-get", "update", seconds: 180)
      #expect(update.stdout.contains("Reading package lists"))
      #expect(try await engine.gantry("exec", name, "cat", "/etc/os-release").stdout.contains("bookworm"))
      try await engine.gantry("rm", "-f", name)
    }
  }
}
