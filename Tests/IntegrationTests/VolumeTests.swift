import Foundation
import SystemPackage
import TestSupport
import Testing

extension IntegrationTests {
  /// Volumes and mounts, as a person sees them.
  @Suite struct Volumes {
    var engine: TestEngine { TestEngine.current }

    /// An image on busybox whose `/data` is a volume with content of its own.
    private func image() async throws -> String {
      let name = engine.name("filled")
      let archive = engine.folder.appending("\(name).tar")
      let description = """
        {"tag":"\(name):latest","config":{"Volumes":{"/data":{}}},"layers":[[
          {"name":"data","type":"dir","mode":"0751","uid":5,"gid":6},
          {"name":"data/file","content":"of the image","uid":7,"gid":8,"mode":"4750"},
          {"name":"data/link","type":"sym","link":"/etc/passwd"},{"name":"data/sub/deep","content":"x"},
          {"name":"data/hard","type":"hard","link":"data/file"},{"name":"away","type":"sym","link":"/data"}]]}
        """
      let maker = TestEngine.repository.appending("Tests/TestSupport/make-archive").string
      _ = try await Command.run([maker, archive.string, TestImage.busybox().string], input: description)
      try await engine.gantry("load", "-q", "-i", archive.string)
      try FileManager.default.removeItem(atPath: archive.string)
      return name
    }

    @Test func aNamedVolumeOutlivesContainersAndIsShared() async throws {
      let volume = engine.name("v")
      #expect(try await engine.gantry("volume", "create", "--label", "a=b", volume).trimmed == volume)
      try await engine.busybox(["-v", "\(volume):/d"], "sh", "-c", "echo kept >/d/file")
      #expect(try await engine.busybox(["-v", "\(volume):/d:ro"], "cat", "/d/file").trimmed == "kept")
      try await engine.busybox(["-v", "\(volume):/d:ro"], "touch", "/d/other", expecting: 1)
      let mount = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.Driver}} {{.Mode}} {{.RW}}{{end}}"
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "-v", "\(volume):/d", "busybox", "sleep", "1000")
      #expect(try await engine.gantry("inspect", "-f", mount, name).trimmed == "volume \(volume) /d local z true")
      let id = try await engine.gantry("inspect", "-f", "{{.Id}}", name).trimmed
      let inUse = try await engine.gantry("volume", "rm", volume, expecting: 1)
      #expect(inUse.stderr == "gantry: remove \(volume): volume is in use - [\(id)]\n")
      #expect(try await engine.gantry("ps", "-q", "--no-trunc", "-f", "volume=\(volume)").trimmed == id)

      // What one writes the other sees, also through volumes-from.
      try await engine.gantry("exec", name, "sh", "-c", "echo more >>/d/file")
      let seen = try await engine.busybox(
        ["--volumes-from", "\(name):ro"], "sh", "-c", "cat /d/file; touch /d/x 2>&1; true")
      #expect(seen.lines.first == "kept" && seen.stdout.contains("Read-only"))
      try await engine.gantry("rm", "-f", name)

      let inspect = try await engine.gantry(
        "volume", "inspect", "-f", "{{.Driver}} {{.Mountpoint}} {{json .Labels}}", volume)
      #expect(inspect.trimmed == "local \(engine.root)/gateway/volumes/\(volume)/_data {\"a\":\"b\"}")
      #expect(
        try await engine.gantry("volume", "ls", "-q", "-f", "label=a=b", "-f", "dangling=true").stdout.contains(volume))
      #expect(try await engine.gantry("inspect", "-f", "{{.Name}}", volume).trimmed == volume)
      #expect(try await engine.gantry("volume", "rm", volume).trimmed == volume)
      let gone = try await engine.gantry("volume", "inspect", volume, expecting: 1)
      #expect(gone.stdout == "[]\n" && gone.stderr == "gantry: get \(volume): no such volume\n")
    }

    @Test func anEmptyVolumeIsFilledFromTheImage() async throws {
      let image = try await image()
      let volume = engine.name("v")
      let look = "cd /data; stat -c '%n %a %u %g' . file; readlink link; cat file sub/deep; stat -c %h hard"
      let wanted = ". 751 5 6\nfile 4750 7 8\n/etc/passwd\nof the imagex2\n"
      #expect(try await engine.gantry("run", "--rm", image, "sh", "-c", look).stdout == wanted)
      let seen = try await engine.gantry("run", "--rm", "-v", "\(volume):/data", image, "sh", "-c", look)
      #expect(seen.stdout == wanted)
      // Full: it stays. The same for one at a link that leads to the folder.
      try await engine.gantry("run", "--rm", "-v", "\(volume):/data", image, "rm", "-r", "/data/sub")
      #expect(
        try await engine.gantry("run", "--rm", "-v", "\(volume):/data", image, "ls", "/data").stdout
          == "file\nhard\nlink\n")
      let byLink = try await engine.gantry("run", "--rm", "-v", "\(volume)-2:/away", image, "cat", "/data/file")
      #expect(byLink.trimmed == "of the image")
      let empty = try await engine.gantry("run", "--rm", "-v", "\(volume)-3:/data:nocopy", image, "ls", "-A", "/data")
      #expect(empty.stdout.isEmpty)
      // As Docker: a container that was only made has filled its volume.
      let made = engine.name()
      try await engine.gantry("create", "--name", made, "--mount", "src=\(volume)-4,dst=/data", image, "true")
      #expect(try await engine.busybox(["-v", "\(volume)-4:/d"], "cat", "/d/file").trimmed == "of the image")
      try await engine.gantry("rm", made)
      try await engine.gantry("volume", "rm", volume, "\(volume)-2", "\(volume)-3", "\(volume)-4")
      try await engine.gantry("rmi", image)
    }

    @Test func anonymousVolumesGoWithRemoveOrPrune() async throws {
      func dangling() async throws -> Set<Substring> {
        Set(try await engine.gantry("volume", "ls", "-q", "-f", "dangling=true").lines)
      }
      let before = try await dangling()
      let name = engine.name()
      try await engine.gantry("run", "--name", name, "-v", "/anonymous", "busybox", "touch", "/anonymous/x")
      try await engine.gantry("rm", "-v", name)
      #expect(try await dangling() == before)
      try await engine.busybox(["-v", "/anonymous"], "true")
      try await engine.gantry(
        "run", "--name", name, "-v", "/anonymous", "busybox", "dd", "if=/dev/zero", "of=/anonymous/x", "bs=1000",
        "count=5")
      try await engine.gantry("rm", name)
      let left = try await dangling().subtracting(before)
      #expect(left.count == 1)
      let pruned = try await engine.gantry("volume", "prune", "-f")
      #expect(
        pruned.stdout.hasPrefix("Deleted Volumes:\n") && pruned.stdout.hasSuffix("\n\nTotal reclaimed space: 5kB\n"))
      #expect(pruned.lines.contains { left.contains($0) })
      let asked = try await engine.gantry("volume", "prune", input: "n\n", expecting: 1)
      #expect(asked.stdout.hasSuffix("Are you sure you want to continue? [y/N] "))
    }

    @Test func volumesWithOptions() async throws {
      let folder = engine.folder.appending(engine.name("device"))
      _ = try await Command.shell("mkdir \(folder); echo host >\(folder)/file")
      let (bound, fast) = (engine.name("bound"), engine.name("fast"))
      try await engine.gantry("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=\(folder)", bound)
      #expect(try await engine.busybox(["-v", "\(bound):/d"], "cat", "/d/file").trimmed == "host")
      try await engine.gantry(
        "volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7,mode=700", fast)
      let seen = try await engine.busybox(
        ["-v", "\(fast):/d"], "sh", "-c", "stat -c '%u %a' /d; grep ' /d ' /proc/mounts; df -k /d | tail -n 1")
      #expect(
        seen.lines[0] == "7 700" && seen.lines[1].hasPrefix("tmpfs /d tmpfs rw") && seen.stdout.contains(" 1024 "))
      try await engine.busybox(["-v", "\(fast):/d:ro"], "touch", "/d/x", expecting: 1)

      // A network file system is mounted by the host's kernel, or refused by its name.
      let share = engine.name("share")
      try await engine.gantry(
        "volume", "create", "-o", "type=nfs", "-o", "o=addr=127.0.0.1,soft,retrans=1,timeo=1", "-o", "device=:/none",
        share)
      let refused = try await engine.busybox(["-v", "\(share):/d"], "true", expecting: 125)
      #expect(refused.stderr.contains("nfs"), "\(refused)")
      try await engine.gantry("volume", "rm", bound, fast, share)
      #expect(try await Command.shell("cat \(folder)/file").trimmed == "host")
      for (flags, words) in [
        (["-d", "flocker"], "plugin flocker"), (["-o", "type=tmpfs"], "\"device\""), (["-o", "huh=1"], "\"huh\""),
        (["--group", "x"], "--group is not built"),
      ] {
        let output = try await engine.gantry(["volume", "create"] + flags, expecting: nil)
        #expect(output.status != 0 && output.stderr.contains(words), "\(output)")
      }
      let update = try await engine.gantry("volume", "update", "--availability", "drain", "x", expecting: nil)
      #expect(update.status == 125 && update.stderr.contains("cluster volumes"))
    }

    @Test func subpathsOfVolumesAndImages() async throws {
      let volume = engine.name("v")
      try await engine.busybox(
        ["-v", "\(volume):/d"], "sh", "-c",
        "mkdir -p /d/a/b; echo deep >/d/a/b/file; ln -s a/b /d/in; ln -s /etc /d/out")
      func part(_ path: String, _ command: String..., expecting: Int32 = 0) async throws -> Output {
        try await engine.gantry(
          ["run", "--rm", "--mount", "src=\(volume),dst=/p,volume-subpath=\(path)", "busybox"] + command,
          expecting: expecting)
      }
      #expect(try await part("a/b", "cat", "/p/file").trimmed == "deep")
      #expect(try await part("in", "ls", "/p").trimmed == "file")
      #expect(try await part("a/b/file", "cat", "/p").trimmed == "deep")
      #expect(try await part("out", "true", expecting: 125).stderr.contains("leads out"))
      #expect(try await part("none", "true", expecting: 125).stderr.contains("does not exist"))
      _ = try await part("../x", "true", expecting: 125)
      try await engine.gantry("volume", "rm", volume)

      let image = try await engine.busybox(
        ["--mount", "type=image,src=busybox,dst=/i,image-subpath=etc"], "sh", "-c",
        "cat /i/passwd | head -n 1; ls /i/../bin/sh")
      #expect(image.lines[0].hasPrefix("root:"))
      let file = try await engine.busybox(
        ["--mount", "type=image,src=busybox,dst=/one,image-subpath=etc/passwd,ro"], "head", "-n", "1", "/one")
      #expect(file.trimmed.hasPrefix("root:"))
    }

    @Test func imagesCanBeMounted() async throws {
      let image = try await image()
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "--mount", "type=image,src=\(image),dst=/rw", "--mount",
        "type=image,src=\(image),dst=/ro,readonly", "busybox", "sleep", "1000")
      let seen = try await engine.gantry(
        "exec", name, "sh", "-c",
        "cat /ro/data/file; echo new >/rw/data/file; cat /rw/data/file; touch /ro/x 2>&1; true")
      #expect(seen.lines[0] == "of the imagenew" && seen.stdout.contains("Read-only"))
      let refused = try await engine.gantry("rmi", image, expecting: 1)
      #expect(refused.stderr.contains("container"))
      // Written files stay over a restart, and are seen nowhere else.
      try await engine.gantry("restart", "-t", "0", name)
      #expect(try await engine.gantry("exec", name, "cat", "/rw/data/file").trimmed == "new")
      #expect(try await engine.gantry("run", "--rm", image, "cat", "/data/file").stdout == "of the image")
      try await engine.gantry("rm", "-f", name)
      try await engine.gantry("rmi", image)
    }

    @Test func propagationAndRecursiveReadOnly() async throws {
      let folder = engine.folder.appending(engine.name("shared"))
      _ = try await Command.shell(
        "mkdir -p \(folder); mount -t tmpfs none \(folder); mount --make-shared \(folder); mkdir \(folder)/sub; mount -t tmpfs none \(folder)/sub"
      )
      do {
        let name = engine.name()
        try await engine.gantry(
          "run", "-d", "--name", name, "-v", "\(folder):/slave:rslave", "-v", "\(folder):/private", "-v",
          "\(folder):/ro:ro", "--mount", "type=bind,src=\(folder),dst=/top,readonly,bind-recursive=writable", "--mount",
          "type=bind,src=\(folder),dst=/alone,bind-recursive=disabled", "busybox", "sleep", "1000")
        _ = try await Command.shell(
          "mkdir \(folder)/late; mount -t tmpfs none \(folder)/late; touch \(folder)/late/seen")
        #expect(try await engine.gantry("exec", name, "ls", "/slave/late").trimmed == "seen")
        #expect(try await engine.gantry("exec", name, "ls", "/private/late").stdout.isEmpty)
        let writes = try await engine.gantry(
          "exec", name, "sh", "-c",
          "for f in /slave/sub /ro /ro/sub /top /top/sub; do touch $f/x 2>/dev/null && echo $f; done; rm -f /top/sub/x /slave/sub/x; mountpoint -q /alone/sub || echo alone"
        )
        #expect(writes.lines == ["/slave/sub", "/top/sub", "alone"])
        #expect(
          try await engine.gantry("inspect", "-f", "{{range .Mounts}}{{.Propagation}} {{end}}", name).trimmed
            == "rprivate rprivate rprivate rslave rprivate")
        try await engine.gantry("rm", "-f", name)

        // Shared both ways: a mount in the container reaches the host.
        try await engine.busybox(
          ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "-v", "\(folder):/s:rshared"], "sh", "-c",
          "mkdir /s/from; mount -t tmpfs inside /s/from && touch /s/from/here")
        #expect(try await Command.shell("ls \(folder)/from; umount \(folder)/from").trimmed == "here")
        _ = try await Command.shell("mount --make-private \(folder)")
        let refused = try await engine.busybox(["-v", "\(folder):/s:rshared"], "true", expecting: 125)
        #expect(refused.stderr.contains("not a shared mount"), "\(refused)")
      } catch {
        _ = try? await Command.shell("umount -R -l \(folder)")
        throw error
      }
      _ = try await Command.shell("umount -R \(folder)")
    }

    @Test func pruneAndDiskUsage() async throws {
      let own = try await TestEngine.start()
      let volume = own.name("v")
      try await own.gantry(
        "run", "--name", "ended", "-v", "\(volume):/d", "busybox", "sh", "-c",
        "head -c 2000 /dev/zero >/d/f; head -c 100000 /dev/zero >/f")
      try await own.gantry("run", "-d", "--name", "runs", "busybox", "sleep", "1000")
      let rows = try await own.gantry("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}")
      #expect(rows.lines[0].hasPrefix("Images|1|1|") && rows.lines[1].hasPrefix("Containers|2|1|"))
      #expect(rows.lines[2] == "Local Volumes|1|1|2kB" && rows.lines[3] == "Build Cache|0|0|0B")
      let details = try await own.gantry("system", "df", "-v")
      #expect(details.lines.contains { $0.hasPrefix(volume) && $0.hasSuffix("1         2kB") }, "\(details)")
      let pruned = try await own.gantry("container", "prune", "-f")
      #expect(pruned.lines.first == "Deleted Containers:" && pruned.lines.count == 3, "\(pruned)")
      #expect(try await own.gantry("ps", "-aq").lines.count == 1)
      #expect(try await own.gantry("container", "prune", "-f").stdout == "Total reclaimed space: 0B\n")
      let asked = try await own.gantry("system", "prune", "-a", "--volumes", input: "y\n")
      #expect(asked.stdout.contains("  - all stopped containers\n"))
      #expect(try await own.gantry("volume", "ls", "-q").trimmed == volume, "a named volume went")
      try await own.gantry("rm", "-f", "runs")
      #expect(try await own.gantry("volume", "prune", "-af").stdout.hasSuffix("Total reclaimed space: 2kB\n"))
      let all = try await own.gantry("system", "prune", "-af")
      #expect(all.stdout.contains("untagged: ") && all.stdout.contains("deleted: sha256:"))
      #expect(try await own.gantry("images", "-aq").stdout.isEmpty)
      try await own.stop()
    }

    @Test func eventsOfVolumes() async throws {
      let volume = engine.name("v")
      let since = String(Int(Date().timeIntervalSince1970) - 1)
      try await engine.busybox(["-v", "\(volume):/d"], "true")
      try await engine.gantry("volume", "rm", volume)
      let events = try await engine.gantry(
        "events", "--since", since, "--until", String(Int(Date().timeIntervalSince1970) + 1), "-f", "type=volume", "-f",
        "volume=\(volume)", "--format", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}")
      #expect(
        events.lines == ["create", "mount", "unmount", "destroy"].map { "\($0) \(volume) local" }.map { $0[...] })
    }
  }
}
