import TestSupport
import Testing

extension IntegrationTests {
  /// commit, save, load, import: images made here and what other tools make of them.
  @Suite struct Making {
    var engine: TestEngine { TestEngine.current }

    /// A container that has changed something of every kind, and its name.
    func changed() async throws -> String {
      let name = engine.name("made")
      try await engine.gantry(
        "run", "--name", name, "-v", "/data", "busybox", "sh", "-c",
        "echo new >/file; ln /file /hard; ln -s file /soft; mkfifo /fifo; mkdir -p /d/e; echo x >/d/e/f; rm /etc/passwd; "
          + "echo volume >/data/file; chmod 4711 /hard; truncate -s 3M /sparse")
      return name
    }

    @Test func aCommittedImageHasTheFilesTheChangesAndTheHistory() async throws {
      let name = try await changed()
      let image = engine.name("image") + ":1"
      let id = try await engine.gantry(
        "commit", "-a", "me", "-m", "why", "-c", "CMD [\"cat\", \"/file\"]", "-c", "ENV A=\"b c\"", "-c", "EXPOSE 80",
        name, image
      ).trimmed
      #expect(id.hasPrefix("sha256:") && id.count == 71)
      #expect(try await engine.gantry("run", "--rm", image).trimmed == "new")
      let seen = try await engine.gantry(
        "run", "--rm", image, "sh", "-c",
        "echo $A; stat -c '%h %a %F' /hard; stat -c %s /sparse; cat /soft /d/e/f; ls /data /etc; test -p /fifo && echo fifo"
      )
      #expect(
        seen.stdout.contains("b c\n2 4711 regular file\n3145728\nnew\nx\n") && seen.stdout.contains("fifo\n"), "\(seen)"
      )
      #expect(!seen.stdout.contains("passwd"), "what was removed is not there")
      #expect(
        try await engine.gantry(
          "image", "inspect", "-f", "{{.Author}} {{.Comment}} {{json .Config.ExposedPorts}} {{len .RootFS.Layers}}",
          image
        ).trimmed == "me why {\"80/tcp\":{}} 2")
      let history = try await engine.gantry("history", "--no-trunc", image)
      #expect(history.lines[1].contains("why") && history.lines[1].contains("sh -c echo new"), "\(history)")
      let events = try await engine.gantry("events", "--since", "5m", "--until", "0s", "--filter", "event=commit")
      #expect(events.stdout.contains("imageID=\(id)"), "\(events)")
      try await engine.gantry("rm", "-v", name)
      try await engine.gantry("rmi", image)
    }

    @Test func aRunningContainerGoesOnAfterItWasCommitted() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c",
        "while :; do echo $((n += 1)) >/new; mv /new /count; done")
      let image = engine.name("image")
      try await engine.gantry("commit", name, image)
      let unnamed = try await engine.gantry("commit", "--pause=false", name).trimmed
      #expect(try await engine.gantry("inspect", "-f", "{{.State.Status}}", name).trimmed == "running")
      let first = Int(try await engine.gantry("run", "--rm", image, "cat", "/count").trimmed)
      let now = Int(try await engine.gantry("exec", name, "cat", "/count").trimmed)
      #expect(try #require(first) <= (try #require(now)))
      try await engine.gantry("rm", "-f", name)
      try await engine.gantry("rmi", image, unnamed)
    }

    @Test func aContainerWithIDsOfItsOwnIsCommittedWithItsIDs() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "--name", name, "--userns", "auto", "busybox", "sh", "-c", "echo x >/mine; chown 5:6 /mine")
      let image = engine.name("image")
      try await engine.gantry("commit", name, image)
      #expect(try await engine.gantry("run", "--rm", image, "stat", "-c", "%u:%g", "/mine").trimmed == "5:6")
      try await engine.gantry("rm", name)
      try await engine.gantry("rmi", image)
    }

    @Test func badRequestsAreOneClearError() async throws {
      let name = engine.name()
      let before = try await engine.gantry("images", "-aq").lines.count
      try await engine.gantry("create", "--name", name, "busybox", "true")
      for (words, reason) in [
        (["commit", "-c", "RUN x", name], "RUN is not a valid change command"),
        (["commit", "no-such"], "No such container"),
        (["commit", name, "Upper"], "lower"), (["save", "no-such-image"], "No such image"),
        (["import", "/no/such/file"], "no such file"), (["import", "-c", "EXPOSE x", "/etc/hostname"], "is no port"),
        (["import", "/etc/hostname"], "archive"),
      ] {
        let output = try await engine.gantry(words, expecting: 1)
        #expect(output.stderr.contains(reason), "\(words): \(output)")
      }
      #expect(try await engine.gantry("images", "-aq").lines.count == before)
      try await engine.gantry("rm", name)
    }

    @Test func whatWasSavedIsTheSameForOthersAndForUs() async throws {
      let name = try await changed()
      let image = engine.name("image") + ":1"
      try await engine.gantry("commit", name, image)
      let archive = engine.folder.appending("\(engine.name()).tar")
      try await engine.gantry("save", "-o", archive.string, image, "gantry/busybox")
      let again = try await Command.shell(
        "\(TestEngine.binaries)/gantry save \(image) gantry/busybox | cmp - \(archive) && echo same",
        environment: engine.environment)
      #expect(again.trimmed == "same")
      let members = try await Command.shell("tar -tf \(archive)").lines
      #expect(
        members.count == Set(members).count && members.contains("index.json") && members.contains("manifest.json"))
      // Every blob has the digest of its name, and nothing of a made layer stays stored.
      _ = try await Command.shell(
        "mkdir \(archive).x; cd \(archive).x; tar -xf \(archive); cd blobs/sha256; for f in *; do echo \"$f  $f\"; done | sha256sum -c --quiet"
      )
      let unstored = try await Command.shell("ls \(engine.root)/image/blobs/sha256").lines.count
      let folder = "\(archive).oci"
      _ = try await Command.shell(
        "skopeo copy -q docker-archive:\(archive):\(image) oci:\(folder):x; umoci unpack --rootless --image \(folder):x \(folder).b; test \"$(cat \(folder).b/rootfs/file)\" = new; test ! -e \(folder).b/rootfs/etc/passwd"
      )
      #expect(try await Command.shell("ls \(engine.root)/image/blobs/sha256").lines.count == unstored)
      let id = try await engine.gantry("image", "inspect", "-f", "{{.Id}} {{.Descriptor.digest}}", image).trimmed
      try await engine.gantry("rm", "-v", name)
      try await engine.gantry("rmi", image)
      let loaded = try await engine.gantry("load", "-i", archive.string)
      #expect(loaded.stdout.contains("Loaded image: \(image)"), "\(loaded)")
      #expect(try await engine.gantry("image", "inspect", "-f", "{{.Id}} {{.Descriptor.digest}}", image).trimmed == id)
      #expect(try await engine.gantry("run", "--rm", image, "cat", "/hard").trimmed == "new")
      try await engine.gantry("rmi", image)
    }

    @Test(arguments: ["cat", "gzip", "zstd -q", "xz -0", "bzip2"])
    func anExportedTreeIsImported(filter: String) async throws {
      let name = engine.name()
      try await engine.gantry("run", "--name", name, "busybox", "sh", "-c", "echo flat >/file")
      let image = engine.name("image")
      let id = try await Command.shell(
        "\(TestEngine.binaries)/gantry export \(name) | \(filter) | \(TestEngine.binaries)/gantry import -c 'CMD [\"cat\",\"/file\"]' -m note - \(image)",
        environment: engine.environment
      ).trimmed
      #expect(try await engine.gantry("run", "--rm", image).trimmed == "flat")
      #expect(
        try await engine.gantry("image", "inspect", "-f", "{{.Id}} {{.Comment}} {{len .RootFS.Layers}}", image).trimmed
          == "\(id) note 1")
      try await engine.gantry("rm", name)
      try await engine.gantry("rmi", image)
    }
  }
}
