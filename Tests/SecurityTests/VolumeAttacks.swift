import Foundation
import SystemPackage
import TestSupport
import Testing

extension SecurityTests {
  /// How often a container is started while a path of a shared volume is exchanged under it: `GANTRY_RACE_STARTS`, or 300.
  static let raceStarts = ProcessInfo.processInfo.environment["GANTRY_RACE_STARTS"].flatMap { Int($0) } ?? 300

  /// A container that exchanges two names of the volume for ever (RENAME_EXCHANGE): a folder and a link to the host's path.
  private func swapper(_ volume: String, _ setup: String) async throws -> String {
    let name = engine.name("swapper")
    let program = try await TestImage.made("exchange") { path in
      let source = TestEngine.repository.appending("Tests/SecurityTests/Fixtures/exchange.c")
      _ = try await Command.run(["gcc", "-static", "-O1", "-o", path.string, source.string])
    }
    try await engine.busybox(["-v", "\(volume):/v"], "sh", "-euc", setup)
    try await engine.gantry(
      "run", "-d", "--name", name, "-v", "\(volume):/v", "-v", "\(program):/exchange:ro", "busybox", "/exchange",
      "/v/one", "/v/two")
    return name
  }

  private func state(of canary: FilePath) async throws -> String {
    try await Command.shell(
      "cd \(canary); find . | sort; stat -c '%n %i %h %a %Y' . file; grep -c ' \(canary)' /proc/self/mountinfo || true"
    ).stdout
  }

  /// Starts containers until the count is reached, `batch` at a time; none may end otherwise than well or refused.
  private func race(_ flags: [String]) async throws -> (ran: Int, refused: Int) {
    var (ran, refused) = (0, 0)
    while ran + refused < Self.raceStarts {
      let results = try await withThrowingTaskGroup(of: Output.self) { group in
        for _ in 0..<min(4, Self.raceStarts - ran - refused) {
          group.addTask { [engine] in
            try await engine.gantry(["run", "--rm"] + flags + ["busybox", "true"], expecting: nil)
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      for output in results {
        #expect(output.status == 0 || output.status == 125, "\(output)")
        if output.status == 0 { ran += 1 } else { refused += 1 }
      }
    }
    return (ran, refused)
  }

  @Test(
    "CVE-2021-30465, CVE-2024-45310: a link exchanged in a shared volume while it is mounted on reaches nothing of the host"
  )
  func exchangedTargets() async throws {
    let canary = engine.folder.appending(engine.name("canary"))
    _ = try await Command.shell("mkdir \(canary); echo safe >\(canary)/file")
    let before = try await state(of: canary)
    let volume = engine.name("shared")
    // /v/one is a folder, /v/two a link that climbs to the host's canary; then the other way round.
    let swapper = try await swapper(
      volume, "mkdir -p /v/one; ln -s ../../../../../../../../../../\(canary) /v/two")
    let other = engine.name("other")
    try await engine.busybox(["-v", "\(other):/o"], "touch", "/o/mounted")
    let result = try await race(["-v", "\(volume):/v", "-v", "\(other):/v/one/below", "-v", "/v/one/new/folder"])
    #expect(result.ran + result.refused == Self.raceStarts)
    #expect(try await state(of: canary) == before)
    try await engine.gantry("rm", "-f", swapper)
    try await engine.gantry("volume", "rm", volume, other)
  }

  @Test("CVE-2021-30465: a subpath of a volume that is exchanged for a link reaches nothing of the host")
  func exchangedSubpath() async throws {
    let canary = engine.folder.appending(engine.name("canary"))
    _ = try await Command.shell("mkdir \(canary); echo safe >\(canary)/file")
    let before = try await state(of: canary)
    let volume = engine.name("shared")
    let swapper = try await swapper(volume, "mkdir -p /v/one; touch /v/one/inside; ln -s \(canary) /v/two")
    for _ in 0..<max(10, Self.raceStarts / 10) {
      let output = try await engine.gantry(
        "run", "--rm", "--mount", "src=\(volume),dst=/p,volume-subpath=one", "busybox", "sh", "-c",
        "ls /p; touch /p/planted", expecting: nil)
      #expect(
        (output.status == 0 && !output.stdout.contains("file")) || output.stderr.contains("leads out"), "\(output)")
    }
    #expect(try await state(of: canary) == before)
    try await engine.gantry("rm", "-f", swapper)
    try await engine.gantry("volume", "rm", volume)
  }

  @Test("CVE-2022-23648: an image's VOLUME through links or `..` copies nothing of the host")
  func volumeThroughLinks() async throws {
    let canary = engine.folder.appending(engine.name("canary"))
    _ = try await Command.shell("mkdir \(canary); echo secret >\(canary)/secret; chmod 700 \(canary)")
    for (target, path) in [
      (canary.string, "/evil"), ("../../../../../../../../..\(canary)", "/evil"), ("/proc/self/root\(canary)", "/evil"),
      ("/", "/evil\(canary)"), ("../../..", "/evil\(canary)"),
    ] {
      let (image, output) = try await load(
        [[Entry(name: "evil", type: "sym", link: target)]], config: ["Volumes": [path: [:]]], expecting: nil)
      try #require(output.status == 0, "\(output)")
      let run = try await engine.gantry(
        "run", "--rm", image, "sh", "-c", "find / -name secret 2>/dev/null", expecting: nil)
      #expect(!run.stdout.contains("secret"), "VOLUME \(path) -> \(target): \(run)")
      try await engine.gantry("rmi", "-f", image)
    }
    for path in ["/../../etc", "/../../../../../..\(canary)", "/a/../../etc"] {
      let (image, _) = try await load([], config: ["Volumes": [path: [:]]])
      let run = try await engine.gantry("run", "--rm", image, "true", expecting: 125)
      #expect(run.stderr.contains(".."), "VOLUME \(path): \(run)")
      try await engine.gantry("rmi", "-f", image)
    }
    #expect(try await Command.shell("ls \(canary); stat -c %a \(canary)").stdout == "secret\n700\n")
  }

  @Test("CVE-2020-1726: a volume that has content is never filled, and what fills one changes no file of the host")
  func fullVolumes() async throws {
    let outside = engine.folder.appending(engine.name("outside"))
    _ = try await Command.shell("mkdir \(outside); echo safe >\(outside)/file; chmod 640 \(outside)/file")
    let before = try await Command.shell("cd \(outside); stat -c '%n %i %a %Y' . file; cat file").stdout
    let (image, _) = try await load(
      [[Entry(name: "data/file", mode: "4755", content: "planted"), Entry(name: "data/sub/file", content: "planted")]],
      config: ["Volumes": ["/data": [:]]])
    let volume = engine.name("v")
    try await engine.busybox(["-v", "\(volume):/d"], "sh", "-c", "echo own >/d/file; ln -s \(outside) /d/sub")
    #expect(
      try await engine.gantry("run", "--rm", "-v", "\(volume):/data", image, "cat", "/data/file").trimmed == "own")

    // Nobody else on the host walks into it: it may hold programs with the set-user-id bit (CVE-2021-41091).
    let data = "\(engine.root)/gateway/volumes/\(volume)/_data"
    #expect(try await Command.shell("chroot --userspec=65534:65534 / ls \(data)", expecting: nil).status != 0)

    // A filling that was cut off is made again; links that another container put there meanwhile lead nowhere.
    let shared = engine.name("shared")
    let holder = engine.name("holder")
    try await engine.gantry("run", "-d", "--name", holder, "-v", "\(shared):/d", "busybox", "sleep", "1000")
    try await engine.gantry("exec", holder, "sh", "-c", "ln -s \(outside) /d/sub; ln -s \(outside)/file /d/file")
    _ = try await Command.shell("touch \(engine.root)/gateway/volumes/\(shared)/filling")
    try await engine.gantry("run", "--rm", "-v", "\(shared):/data", image, "true")
    #expect(try await Command.shell("cd \(outside); stat -c '%n %i %a %Y' . file; cat file").stdout == before)
    #expect(try await engine.gantry("exec", holder, "readlink", "/d/sub").trimmed == outside.string)
    try await engine.gantry("rm", "-f", holder)
    try await engine.gantry("volume", "rm", volume, shared)
    try await engine.gantry("rmi", image)
  }
}
