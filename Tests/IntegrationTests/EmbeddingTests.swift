import Foundation
import SystemPackage
import TestSupport
import Testing

/// The examples for platforms that use the task service alone: from a bundle to an exit code.
@Suite(.root, .engine, .timeLimit(.minutes(2)))
struct EmbeddingTests {
  private var engine: TestEngine { TestEngine.current }

  /// The example in Swift, built beside the tests.
  private static var swiftExample: String {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
    return FilePath(bundle).removingLastComponent().appending("task-example").string
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
      ? Self.swiftExample : "python3 \(TestEngine.repository)/Protocols/python/bundle.py"
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
