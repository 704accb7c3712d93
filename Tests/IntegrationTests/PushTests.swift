import Foundation
import SystemPackage
import TestSupport
import Testing

/// Images on their way to registries: Debian's, and one that breaks uploads.
@Suite(.root, .engine, .timeLimit(.minutes(8)))
struct PushTests {
  var engine: TestEngine { .current }

  /// Tags busybox as `name`, and takes the tag away after `body`.
  private func tagged(_ name: String, _ body: () async throws -> Void) async throws {
    try await engine.gantry("tag", "busybox", name)
    do { try await body() } catch {
      try? await engine.gantry("rmi", name)
      throw error
    }
    try await engine.gantry("rmi", name)
  }

  private func digest(_ image: String) async throws -> String {
    let text = try await engine.gantry("image", "inspect", "-f", "{{index .RepoDigests 0}}", image).trimmed
    return String(text.drop { $0 != "@" }.dropFirst())
  }

  @Test func whatIsPushedIsTheSameElsewhere() async throws {
    let registry = try await TestRegistry.start()
    defer { try? registry.stop() }
    let name = "\(registry.host)/team/box"
    try await tagged("\(name):1") {
      let first = try await engine.gantry("push", "\(name):1")
      let digest = try await digest("\(name):1")
      #expect(first.lines.first == "The push refers to repository [\(name)]")
      #expect(first.stdout.contains(": Pushed\n"))
      #expect(first.lines.last?.hasPrefix("1: digest: \(digest) size: ") == true)
      let seen = try await Command.run([
        "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://\(name):1",
      ])
      #expect(seen.trimmed == digest)
      _ = try await Command.run(
        [
          "podman", "--root", "\(registry.folder)/p", "--runroot", "\(registry.folder)/pr", "--storage-driver", "vfs",
          "pull", "-q", "--tls-verify=false", "\(name):1",
        ], seconds: 120)

      // What is there is not sent again: the manifest's HEAD and its PUT are all.
      let before = try registry.requests("team/box").count
      let second = try await engine.gantry("push", "\(name):1")
      #expect(second.stdout.contains(": Layer already exists\n"))
      #expect(try registry.requests("team/box").count == before + 2)

      // Another repository takes the blobs over.
      try await tagged("\(registry.host)/team/copy:2") {
        let copy = try await engine.gantry("push", "\(registry.host)/team/copy:2")
        #expect(copy.stdout.contains(": Mounted from team/box\n"))
        #expect(try registry.requests("PUT /v2/team/copy/blobs").isEmpty)
      }
      try await tagged(name) {
        let all = try await engine.gantry("push", "--all-tags", name)
        #expect(all.lines.filter { $0.contains(": digest: ") }.map { $0.prefix { $0 != ":" } } == ["1", "latest"])
        #expect(try await engine.gantry("push", "-q", name).stdout == "\(name):latest\n")
        let tags = try await engine.gantry("image", "tags", "-q", name)
        #expect(Set(tags.lines) == ["\(name):1", "\(name):latest"])
        let platform = try await engine.gantry("push", "--platform", "linux/s390x", name, expecting: 1)
        #expect(platform.stderr.contains("not for linux/s390x"))
      }
    }
    #expect(try await engine.gantry("push", "\(name):nope", expecting: 1).stderr.contains("does not exist"))
    #expect(
      try await engine.gantry("push", "-a", "\(name):1", expecting: 1).stderr.contains(
        "tag can't be used with --all-tags/-a"))
  }

  @Test func tokensAreAskedForWhatAPushNeeds() async throws {
    let registry = try await TestRegistry.start(.token())
    defer { try? registry.stop() }
    let folder = engine.folder.appending(engine.name("docker")).string
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let environment = ["DOCKER_CONFIG": folder]
    let name = "\(registry.host)/team/app:1"
    try await tagged(name) {
      let refused = try await engine.gantry(["push", name], environment: environment, expecting: 1)
      #expect(refused.stderr.contains("log in"))
      try await engine.gantry(
        ["login", "-u", TestRegistry.user, "--password-stdin", registry.host], input: TestRegistry.password,
        environment: environment)
      try await engine.gantry(["push", "-q", name], environment: environment)
    }
    #expect(registry.tokenRequests().contains { $0.contains("repository:team/app:pull,push") })
  }

  @Test(arguments: ["cut", "cut-forgets", "small", "fine"])
  func uploadsArriveWhole(behaviour: String) async throws {
    let registry = try await PushRegistry.start()
    defer { try? registry.stop() }
    let archive = try await TestImage.large()
    try await engine.gantry("load", "-q", "-i", archive.string)
    let name = "\(registry.host)/\(behaviour):1"
    try await engine.gantry("tag", "large:1", name)
    let pushed = try await engine.gantry("push", name)
    #expect(pushed.stdout.contains(": Pushed\n"))
    let large = registry.requests("/\(behaviour)/blobs/uploads/").filter {
      $0.split(separator: " ").last.flatMap { Int($0) } ?? 0 > 1_000_000
    }
    switch behaviour {
    case "cut":
      // Half of it came the first time; the rest goes on from there.
      #expect(large.contains { $0.hasPrefix("PATCH") && !$0.contains(" 0-") })
      #expect(large.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) < 21_000_000)
    case "small": #expect(large.filter { $0.hasPrefix("PATCH") }.count == 2)
    case "cut-forgets": #expect(large.count == 2)
    default: #expect(large.count == 1)
    }
    try await engine.gantry("rmi", name)
  }

  @Test func searchesAndTagsOfARegistry() async throws {
    let registry = try await PushRegistry.start()
    defer { try? registry.stop() }
    let found = try await engine.gantry("search", "\(registry.host)/box")
    #expect(found.lines.map { $0.prefix { $0 != " " } } == ["NAME", "high", "mid", "low"])
    #expect(!found.stdout.contains("\u{1B}"), "a registry's text does not steer the terminal")
    let official = try await engine.gantry(
      "search", "-f", "is-official=true", "-f", "stars=7", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}",
      "\(registry.host)/box")
    #expect(official.stdout == "high 9 [OK]\n")
    #expect(try await engine.gantry("search", "--limit", "1", "\(registry.host)/box").lines.count == 2)
    #expect(registry.requests("/v1/search?q=box&n=1 ").count == 1)
    #expect(
      try await engine.gantry("search", "--limit", "101", "x", expecting: 1).stderr.contains(
        "limit 101 is outside the range of [1, 100]"))
    #expect(try await engine.gantry("search", "-f", "colour=1", "x", expecting: 1).stderr.contains("colour"))
    let pages = try await engine.gantry("image", "tags", "--format", "{{.Tag}}", "\(registry.host)/pages")
    #expect(pages.lines.count == 60 && pages.lines.last == "t59")
    let some = try await engine.gantry("image", "tags", "--limit", "15", "\(registry.host)/pages")
    #expect(some.lines.count == 16 && some.stderr.contains("--limit"))
  }

  @Test func manifestListsAreMadeOfWhatIsThere() async throws {
    let registry = try await TestRegistry.start()
    defer { try? registry.stop() }
    let folder = engine.folder.appending(engine.name("docker")).string
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let name = "\(registry.host)/multi"
    func gantry(_ words: String..., expecting: Int32? = 0) async throws -> Output {
      try await engine.gantry(words, environment: ["DOCKER_CONFIG": folder], expecting: expecting)
    }
    try await registry.put("multi:one")
    try await registry.put("other:two")
    let list = "\(name):all"
    let made = try await gantry("manifest", "create", list, "\(name):one", "\(registry.host)/other:two")
    #expect(made.stdout == "Created manifest list \(list)\n")
    let twice = try await gantry("manifest", "create", list, "\(name):one", expecting: 1)
    #expect(twice.stderr.contains("refusing to amend an existing manifest list with no --amend flag"))
    _ = try await gantry(
      "manifest", "annotate", "--arch", "arm64", "--variant", "v8", "--os-version", "1", list,
      "\(registry.host)/other:two")
    let unknown = try await gantry("manifest", "annotate", "--arch", "arm", list, "\(name):none", expecting: 1)
    #expect(unknown.stderr.contains("does not exist in"))
    let local = try await gantry("manifest", "inspect", list)
    #expect(local.stdout.contains("\"os.version\": \"1\""))
    let digest = try await gantry("manifest", "push", "--purge", list).trimmed
    #expect(try await gantry("manifest", "rm", list, expecting: 1).stderr.contains("No such manifest"))
    let remote = try await Command.run([
      "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://\(list)",
    ]).stdout
    #expect(remote.contains("\"architecture\":\"arm64\"") && remote.contains("\"variant\":\"v8\""))
    #expect(
      try await Command.run(["sh", "-c", "printf %s \"$1\" | sha256sum", "sh", remote.trimmingWhitespace()]).stdout
        .hasPrefix(digest.dropFirst("sha256:".count)))
    // The other repository's image is whole in this one.
    _ = try await Command.run([
      "skopeo", "--override-arch", "arm64", "--override-variant", "v8", "inspect", "--tls-verify=false",
      "docker://\(list)",
    ])
    #expect(try await gantry("manifest", "inspect", "-v", list).stdout.contains("\"Descriptor\": {"))
    #expect(try await gantry("manifest", "inspect", "\(name):none", expecting: 1).stderr.contains("no such manifest"))
  }
}
