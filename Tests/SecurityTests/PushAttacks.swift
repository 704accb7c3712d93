import Foundation
import TestSupport
import Testing

/// Registries that answer pushes, searches and lists of tags with what harms.
@Suite(.root, .engine, .timeLimit(.minutes(5)))
struct PushAttacks {
  var engine: TestEngine { .current }

  private func environment(_ registry: PushRegistry) throws -> [String: String] {
    let folder = engine.folder.appending(engine.name("docker")).string
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let auth = Data("alice:s3cret".utf8).base64EncodedString()
    try #"{"auths": {"\#(registry.host)": {"auth": "\#(auth)"}}}"#.write(
      toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    return ["DOCKER_CONFIG": folder]
  }

  /// CVE-2020-15157 for pushes: an upload that is sent to another host takes no credentials there.
  @Test func credentialsDoNotFollowAnUpload() async throws {
    let registry = try await PushRegistry.start()
    let other = try await PushRegistry.start()
    defer {
      try? registry.stop()
      try? other.stop()
    }
    try registry.set(elsewhere: "http://\(other.host)")
    let environment = try environment(registry)
    let name = "\(registry.host)/guarded-away:1"
    try await engine.gantry("tag", "busybox", name)
    _ = try await engine.gantry(["push", name], environment: environment, expecting: nil)
    #expect(registry.requests("POST").contains { $0.contains(" Basic ") }, "the registry itself gets them")
    let came = other.requests()
    #expect(!came.isEmpty, "the upload went where the registry said")
    #expect(came.allSatisfy { $0.split(separator: " ")[2] == "-" }, "no credentials went with it")
    try await engine.gantry("rmi", name)
  }

  @Test(arguments: ["file", "nowhere", "changes"])
  func badUploadsAreRefused(lie: String) async throws {
    let registry = try await PushRegistry.start()
    defer { try? registry.stop() }
    let name = "\(registry.host)/\(lie):1"
    try await engine.gantry("tag", "busybox", name)
    let refused = try await engine.gantry("push", name, expecting: 1)
    #expect(refused.stderr.hasPrefix("gantry: "))
    #expect(!refused.stdout.contains("digest:"))
    try await engine.gantry("rmi", name)
  }

  @Test(arguments: ["endless", "chain", "circle", "away", "names"])
  func listsOfTagsAreBounded(lie: String) async throws {
    let registry = try await PushRegistry.start()
    defer { try? registry.stop() }
    try registry.set(elsewhere: "http://127.0.0.1:1")
    let answer = try await engine.gantry("image", "tags", "\(registry.host)/\(lie)", expecting: 1, seconds: 60)
    #expect(answer.stdout.isEmpty)
    #expect(!answer.stderr.contains("\u{1B}"))
    let service = try await engine.pid(of: "gantry-imaged")
    let status = try String(contentsOfFile: "/proc/\(service)/status", encoding: .utf8)
    let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }?.split(separator: " ").dropFirst().first
    #expect(peak.flatMap { Int($0) } ?? .max < 300_000, "an endless answer is not kept")
  }

  @Test func searchesAreBounded() async throws {
    let registry = try await PushRegistry.start()
    defer { try? registry.stop() }
    let answer = try await engine.gantry("search", "\(registry.host)/endless", expecting: 1, seconds: 60)
    #expect(answer.stdout.isEmpty)
  }

  /// A password is in no log, no audit line, no message and no list of processes.
  @Test func secretsStayWithTheirRegistry() async throws {
    let registry = try await PushRegistry.start()
    defer { try? registry.stop() }
    let environment = try environment(registry)
    try await engine.gantry(["login", "\(registry.host)"], environment: environment)
    for name in ["guarded", "nowhere", "fine"] {
      let image = "\(registry.host)/\(name):1"
      try await engine.gantry("tag", "busybox", image)
      let output = try await engine.gantry(["-D", "push", image], environment: environment, expecting: nil)
      #expect(!output.description.contains("s3cret"))
      try await engine.gantry("rmi", image)
    }
    // Credentials of one registry are refused for another, whatever a client sends.
    try await engine.gantry("tag", "busybox", "\(registry.host)/x:1")
    let call = """
      {"jsonrpc":"2.0","id":1,"method":"image.push","params":{"reference":"\(registry.host)/x:1","auth":{"username":"a",\
      "password":"s3cret","serverAddress":"other.example"}}}
      """
    let script = """
      import socket, sys
      s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b"\\n")
      print(s.makefile().readline())
      """
    let answer = try await Command.run(
      ["/usr/bin/python3", "-c", script, engine.state.appending("gantry.sock").string, call])
    #expect(answer.stdout.contains("the credentials are for other.example") && !answer.stdout.contains("s3cret"))
    // Params of the wrong shape are refused without being repeated.
    let bad = try await Command.run([
      "/usr/bin/python3", "-c", script, engine.state.appending("gantry.sock").string,
      #"{"jsonrpc":"2.0","id":1,"method":"registry.login","params":{"auth":{"username":1,"password":"s3cret"}}}"#,
    ])
    #expect(bad.stdout.contains("-32602") && !bad.stdout.contains("s3cret"))
    let basic = Data("alice:s3cret".utf8).base64EncodedString()
    let found = try await Command.shell("grep -rlE 's3cret|\(basic)' \(engine.root)/log \(engine.state) || true")
    #expect(found.stdout.isEmpty)
  }
}
