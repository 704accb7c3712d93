import Foundation
import SystemPackage
import TestSupport
import Testing

/// What images take on disk, and what comes back when they go. Each test has an engine of its own, as it removes all images.
@Suite(.root, .serialized, .timeLimit(.minutes(5)))
struct CollectionTests {
  private func withEngine(_ body: (TestEngine) async throws -> Void) async throws {
    let engine = try await TestEngine.start(image: false)
    do { try await body(engine) } catch {
      try? await engine.stop()
      throw error
    }
    try await engine.stop()
  }

  /// Loads the image `tag`: the layer `base`, which it shares, and one of its own, each of `kilobytes` of random text.
  private func load(_ tag: String, _ engine: TestEngine, base: String = "base", kilobytes: Int = 400) async throws {
    func layer(_ name: String) -> String {
      let content = String(repeating: "\(name) ", count: kilobytes * 1024 / (name.utf8.count + 1))
      return "[{\"name\":\"\(name)\",\"content\":\"\(content)\"},{\"name\":\"small-\(name)\",\"content\":\"x\"}]"
    }
    let archive = engine.folder.appending("\(tag).tar").string
    _ = try await Command.run(
      [TestEngine.repository.appending("Tests/TestSupport/make-archive").string, archive],
      input:
        "{\"tag\":\"\(tag):latest\",\"config\":{\"Labels\":{\"kind\":\"\(tag)\"}},\"layers\":[\(layer(base)),\(layer(tag))]}"
    )
    try await engine.gantry("load", "-q", "-i", archive)
  }

  /// Bytes of disk below the folders of images and layers; databases aside, whose logs grow as they like.
  private func taken(_ engine: TestEngine) async throws -> Int {
    let folders = "image/blobs image/ingest snapshot/layers snapshot/trash snapshot/ingest"
    return try #require(
      Int(
        try await Command.shell("cd \(engine.root) && du -sk \(folders) | awk '{ sum += $1 } END { print sum }'")
          .trimmed))
      * 1024
  }

  /// What a prune says that it freed, in bytes: `1.234MB`.
  private func reclaimed(_ output: Output) throws -> Double {
    let text = try #require(output.stdout.firstMatch(of: /Total reclaimed space: ([0-9.]+)([kMG]?)B/), "\(output)")
    let scale: [Substring: Double] = ["": 1, "k": 1e3, "M": 1e6, "G": 1e9]
    return try #require(Double(text.output.1)) * (scale[text.output.2] ?? 1)
  }

  @Test func prunesFreeWhatTheySay() async throws {
    try await withEngine { engine in
      try await load("one", engine)
      try await load("two", engine)
      try await engine.gantry("tag", "one", "again")
      // A dangling image: its name went to another one.
      try await load("three", engine)
      try await engine.gantry("tag", "two", "three")

      func prune(_ words: String...) async throws {
        let before = try await taken(engine)
        let said = try reclaimed(try await engine.gantry(words))
        let freed = Double(before - (try await taken(engine)))
        #expect(abs(said - freed) <= max(freed * 0.02, 32_768), "\(words): said \(said), freed \(freed)")
        #expect(said > 500_000, "\(words)")
      }
      try await prune("image", "prune", "-f")
      #expect(try await engine.gantry("images", "-q").lines.count == 2)
      // Filters: what they leave out stays.
      try await engine.gantry("image", "prune", "-af", "--filter", "label=kind=nobody")
      #expect(try await engine.gantry("images", "-q").lines.count == 2)
      try await prune("image", "prune", "-af", "--filter", "label!=kind=two")
      #expect(try await engine.gantry("images", "--format", "{{.Repository}}").lines.sorted() == ["three", "two"])
      try await prune("system", "prune", "-af")
      #expect(try await engine.gantry("images", "-q").trimmed == "")
      #expect(try await taken(engine) < 64 << 10)
    }
  }

  @Test func removalFreesWhatOnlyTheImageHad() async throws {
    try await withEngine { engine in
      try await load("one", engine)
      let alone = try await taken(engine)
      try await load("two", engine)
      let removed = try await engine.gantry("rmi", "two")
      #expect(removed.lines.first == "Untagged: two:latest")
      // The image and the layer of its own; the other is the first image's too.
      #expect(removed.lines.filter { $0.hasPrefix("Deleted: sha256:") }.count == 2)
      try await engine.eventually("the disk has it back") { abs(try await taken(engine) - alone) <= 32_768 }
      #expect(try await engine.gantry("system", "check").stdout.contains("no damage"))
    }
  }

  @Test func diskUsageIsWhatTheDiskSays() async throws {
    try await withEngine { engine in
      try await load("one", engine)
      try await load("two", engine)
      let lines = try await engine.gantry(
        "system", "df", "-v", "--format",
        "{{range .Images}}{{.Repository}} {{.SharedSize}} {{.UniqueSize}} {{.Containers}}\n{{end}}"
      ).lines.filter { !$0.isEmpty }.sorted()
      #expect(lines.count == 2 && lines[0].hasPrefix("one ") && lines[1].hasPrefix("two "))
      // Shared: the base layer unpacked and as it came, 400 kB each.
      for line in lines {
        let words = line.split(separator: " ")
        #expect(words[1].hasPrefix("8") && words[1].hasSuffix("kB"), "\(line)")
        #expect(words[2].hasPrefix("8") && words[2].hasSuffix("kB"), "\(line)")
        #expect(words[3] == "0")
      }
      let table = try await engine.gantry("system", "df")
      #expect(table.lines[1].hasPrefix("Images") && table.lines[1].contains("2.5"), "\(table)")
    }
  }

  @Test func theBudgetIsKept() async throws {
    try await withEngine { engine in
      try await engine.gantry("system", "stop")
      let file = engine.folder.appending("gantry.json").string
      try #"{"max-disk": "5.5MB"}"#.write(toFile: file, atomically: true, encoding: .utf8)
      try await engine.gantry("system", "start", "--config", file, seconds: 120)
      for tag in ["a", "b", "c", "d"] { try await load(tag, engine, base: "base-\(tag)") }
      // 1.6 MB each: three fit. The first that came is the one that was not used for the longest time.
      func names() async throws -> [Substring] {
        try await engine.gantry("images", "--format", "{{.Repository}}").lines.sorted()
      }
      #expect(try await names() == ["b", "c", "d"])
      try await engine.gantry("image", "pin", "b")
      let name = engine.name()
      try await engine.gantry("create", "--name", name, "c", "true")
      try await load("e", engine, base: "base-e")
      #expect(try await names() == ["b", "c", "e"])
      // All that is left is pinned, in use, or was asked for a moment ago: that is told, and nothing more comes in.
      try await engine.gantry("image", "pin", "e")
      try await load("f", engine, base: "base-f")
      #expect(try await names() == ["b", "c", "e", "f"])
      try await engine.gantry("image", "pin", "f")
      let archive = engine.folder.appending("a.tar").string
      let refused = try await engine.gantry("load", "-q", "-i", archive, expecting: 1)
      #expect(refused.stderr.contains("max-disk") && refused.stderr.contains("pinned"), "\(refused)")
      let events = try await engine.gantry(
        "events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}")
      #expect(events.lines.contains("daemon over-budget") && events.lines.contains("image evict"), "\(events)")
      try await engine.gantry("image", "unpin", "b", "e")
      try await engine.gantry("load", "-q", "-i", archive)
      #expect(try await names() == ["a", "c", "f"])
      try await engine.gantry("rm", name)
    }
  }

  @Test func damageIsFoundAndRemoved() async throws {
    try await withEngine { engine in
      try await load("good", engine)
      try await load("bad", engine, base: "other")
      #expect(try await engine.gantry("system", "check").stdout.contains("2 layers") == false)
      // A byte of a layer's content, and a file of another layer's folder.
      let path = try await engine.gantry("image", "inspect", "-f", "{{index .RootFS.Layers 1}}", "bad").trimmed
      _ = try await Command.shell(
        """
        printf X | dd of=\(engine.root)/image/blobs/sha256/\(path.dropFirst(7)) bs=1 seek=600 conv=notrunc status=none
        file=$(ls \(engine.root)/snapshot/layers/*/fs/small-good) && printf y >"$file"
        """)
      let found = try await engine.gantry("system", "check", expecting: 1)
      #expect(found.stdout.contains("content") && found.stdout.contains("bad:latest"), "\(found)")
      #expect(found.stdout.contains("small-good has another content") && found.stdout.contains("2 left"), "\(found)")
      #expect(try await engine.gantry("system", "check", "-q", expecting: 1).lines.count == 2)
      let repaired = try await engine.gantry("system", "check", "--repair", "--remove", "--format", "json")
      #expect(
        repaired.stdout.contains(#""Outcome":"repaired""#) && repaired.stdout.contains(#""Outcome":"removed""#),
        "\(repaired)")
      #expect(try await engine.gantry("system", "check").stdout.contains("no damage"))
      #expect(try await engine.gantry("images", "--format", "{{.Repository}}").trimmed == "good")
      #expect(try await Command.shell("cat \(engine.root)/snapshot/layers/*/fs/small-good").trimmed == "x")
      // An image whose configuration is lost can be removed, too.
      let id = try await engine.gantry("images", "-q", "--no-trunc").trimmed
      _ = try await Command.shell("rm \(engine.root)/image/blobs/sha256/\(id.dropFirst(7))")
      #expect(try await engine.gantry("system", "check", "--remove").stdout.contains("1 removed"))
      #expect(try await engine.gantry("images", "-q").trimmed == "")
      // What was set aside is no hindrance: the same image comes again.
      try await engine.gantry("load", "-q", "-i", engine.folder.appending("bad.tar").string)
      #expect(try await engine.gantry("system", "check").stdout.contains("no damage"))
    }
  }

  /// Loads, removals, prunes and containers at the same time: what runs has all of its files, and in the end nothing is left.
  @Test func everythingAtOnce() async throws {
    try await withEngine { engine in
      for tag in ["p", "q", "r"] { try await load(tag, engine, kilobytes: 40) }
      try await engine.gantry("load", "-q", "-i", try await TestImage.busybox().string)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for tag in ["p", "q", "r"] {
          group.addTask {
            let archive = engine.folder.appending("\(tag).tar").string
            for _ in 0..<12 {
              let loaded = try await engine.gantry("load", "-q", "-i", archive, expecting: nil)
              #expect(
                loaded.status == 0 || loaded.stderr.contains("removed") || loaded.stderr.contains("not exist")
                  || loaded.stderr.contains("No such image"), "\(loaded)")
              try await engine.gantry("rmi", tag, expecting: nil)
            }
          }
        }
        group.addTask {
          for round in 0..<12 {
            let output = try await engine.gantry("run", "--rm", "busybox", "echo", "\(round)")
            #expect(output.trimmed == "\(round)")
          }
        }
        group.addTask {
          for _ in 0..<12 { try await engine.gantry("image", "prune", "-f") }
        }
        try await group.waitForAll()
      }
      #expect(try await engine.gantry("system", "check").stdout.contains("no damage"))
      try await engine.gantry("system", "prune", "-af")
      #expect(try await taken(engine) < 64 << 10)
    }
  }
}
