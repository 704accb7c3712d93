import Foundation
import SystemPackage
import TestSupport
import Testing

/// The examples for platforms that use one service alone.
@Suite(.root, .engine, .timeLimit(.minutes(2)))
struct EmbeddingTests {
  private var engine: TestEngine { TestEngine.current }

  /// An example in Swift, built beside the tests.
  private static func swiftExample(_ name: String) -> String {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
    return FilePath(bundle).removingLastComponent().appending(name).string
  }

  private static func pythonExample(_ name: String) -> String {
    "python3 \(TestEngine.repository)/Protocols/python/\(name).py"
  }

  /// Runs one service and nothing else in a folder of its own.
  private func withService(_ name: String, _ socket: String, _ body: (String) async throws -> Void) async throws {
    let folder = engine.folder.appending(engine.name("alone")).string
    let script = """
      mkdir \(folder) && cd \(folder)
      ln -s \(TestEngine.binaries)/gantryd \(name)
      ./\(name) --root \(folder)/r --state \(folder)/s >log 2>&1 &
      echo $! >pid
      """
    _ = try await Command.run(["/bin/sh", "-euc", script])
    do {
      try await engine.eventually("\(name) answers") { access("\(folder)/s/\(socket)", F_OK) == 0 }
      try await body(folder)
    } catch {
      _ = try? await Command.shell("kill $(cat \(folder)/pid)")
      throw error
    }
    _ = try await Command.shell("kill $(cat \(folder)/pid)")
  }

  @Test(arguments: ["python", "swift"]) func theImageServiceAloneGivesLayers(language: String) async throws {
    try await withService("gantry-imaged", "image.sock") { folder in
      let archive = try await TestImage.busybox()
      let example = language == "swift" ? Self.swiftExample("image-example") : Self.pythonExample("layers")
      let output = try await Command.run(
        ["/bin/sh", "-c", "exec \(example) \(archive) platform/box:1"], environment: ["GANTRY_STATE": "\(folder)/s"])
      #expect(output.lines[0].hasPrefix("platform/box:1 sha256:"))
      let words = output.lines[1].split(separator: " ")
      #expect(words[0].hasPrefix("sha256:") && words[2].hasPrefix("\(folder)/r/image/blobs/sha256/"))
      #expect(try FileManager.default.attributesOfItem(atPath: String(words[2]))[.size] as? Int == Int(words[1]))
    }
  }

  @Test(arguments: ["python", "swift"]) func theSnapshotServiceAloneMakesLayers(language: String) async throws {
    try await withService("gantry-snapshotd", "snapshot.sock") { folder in
      _ = try await Command.shell("cd \(folder) && for n in one two; do echo $n >$n; tar -cf $n.tar $n; done")
      let example =
        language == "swift"
        ? "\(Self.swiftExample("snapshot-example")) demo" : "\(Self.pythonExample("stack")) one.tar two.tar"
      let output = try await Command.run(
        ["/bin/sh", "-c", "cd \(folder) && exec \(example)"], environment: ["GANTRY_STATE": "\(folder)/s"])
      #expect(output.lines == (language == "swift" ? ["file1", "file2"] : ["added", "one", "two"]))
      #expect(try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains(folder) == false)
    }
  }

  @Test(arguments: ["python", "swift"])
  func aBundleRunsToItsExit(language: String) async throws {
    let folder = engine.folder.appending(engine.name())
    _ = try await Command.shell(
      """
      mkdir -p \(folder)/bundle/rootfs/bin && cp /bin/busybox \(folder)/bundle/rootfs/bin/sh
      \(TestEngine.binaries)/gantry-runtime spec --bundle \(folder)/bundle
      """)
    let example =
      language == "swift"
      ? Self.swiftExample("task-example") : "python3 \(TestEngine.repository)/Protocols/python/bundle.py"
    let output = try await Command.run(
      ["/bin/sh", "-c", "cd \(folder); exec \(example) bundle sh -c 'echo out; echo err >&2; exit 7'"],
      environment: engine.environment, expecting: 7)
    #expect(output.stdout == "out\n")
    #expect(output.stderr == "err\n")
    // Hooks of the description run around it, each with the container's state.
    let hook = "\(folder)/hook"
    let script = #"""
      #!/bin/sh
      sed 's/.*"status":"\([a-z]*\)".*/\1/' >>\#(folder)/hooks
      echo >>\#(folder)/hooks
      """#
    try script.write(toFile: hook, atomically: false, encoding: .utf8)
    chmod(hook, 0o755)
    _ = try await Command.shell(
      """
      cd \(folder)/bundle
      jq '[{path: "\(hook)"}] as $hook | .hooks = {createRuntime: $hook, poststart: $hook, poststop: $hook}' \
        config.json >new && mv new config.json
      """)
    _ = try await Command.run(
      ["/bin/sh", "-c", "cd \(folder); exec \(example) bundle sh -c true"], environment: engine.environment)
    let told = try String(contentsOfFile: "\(folder)/hooks", encoding: .utf8).split(separator: "\n")
    #expect(told == ["creating", "running", "stopped"])
    let missing = try await Command.run(
      ["/bin/sh", "-c", "cd \(folder); exec \(example) bundle nosuch"], environment: engine.environment, expecting: nil)
    #expect(missing.status == 1)
    #expect((missing.stdout + missing.stderr).contains("executable file not found in $PATH"))
  }
}
