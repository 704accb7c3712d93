import Foundation
import SystemPackage
import TestSupport
import Testing

/// Every command that a page shows is run here, in its page's order, on an engine of the page's own.
@Suite(.root, .serialized, .timeLimit(.minutes(10)))
struct DocumentTests {
  @Test(arguments: [
    "README.md", "Sources/CLI/README.md", "deploy/README.md", "Protocols/README.md", "Protocols/TASKS.md",
    "Protocols/IMAGES.md", "Protocols/SNAPSHOTS.md",
  ])
  func commandsWork(page: String) async throws {
    let text = try String(contentsOfFile: TestEngine.repository.appending(page).string, encoding: .utf8)
    let commands = text.matches(of: /```console\n((?:.|\n)*?)```/).flatMap { block in
      block.output.1.split(separator: "\n").filter { $0.hasPrefix("$ ") }.map { String($0.dropFirst(2)) }
    }
    try #require(!commands.isEmpty)
    let engine = try await TestEngine.start()
    do {
      let image = try await TestImage.busybox()
      _ = try await Command.shell(
        "cp \(image) \(engine.folder)/image.tar; ln -s \(TestEngine.repository)/Protocols \(engine.folder)/Protocols")
      // The installation and the tests themselves have tests of their own.
      for command in commands where !command.hasPrefix("sudo deploy/") {
        try await run(command, engine)
      }
    } catch {
      try? await engine.stop()
      throw error
    }
    try await engine.stop()
    // What the page about administration leaves of its second engine.
    _ = try await Command.shell("rm -rf /tmp/second")
  }

  func run(_ command: String, _ engine: TestEngine) async throws {
    let path = "\(TestEngine.binaries):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    let environment = engine.environment.merging(["PATH": path]) { $1 }
    let script = "cd \(engine.folder)\n\(command)"
    // What wants a terminal gets one, on which `exit` is typed.
    let words = command.contains(" -it ") ? ["script", "-qec", script, "/dev/null"] : ["/bin/sh", "-euc", script]
    _ = try await Command.run(words, input: "exit\n", environment: environment)
  }
}
