import Foundation
import SystemPackage
import TestSupport
import Testing

/// What `gantry.json`, `hosts.toml` and certificate folders change, without a restart.
@Suite(.root, .timeLimit(.minutes(5)))
struct RegistryConfigurationTests {
  private func withEngine(_ body: (TestEngine) async throws -> Void) async throws {
    let engine = try await TestEngine.start(configuration: "{}")
    do { try await body(engine) } catch {
      try? await engine.stop()
      throw error
    }
    try await engine.stop()
  }

  @Test func certificatesAreCheckedAndConfigured() async throws {
    let registry = try await TestRegistry.start(tls: true)
    let stranger = try await TestRegistry.start(tls: true)
    defer {
      try? registry.stop()
      try? stranger.stop()
    }
    let authority = try #require(registry.authority)
    let wrong = try #require(stranger.authority)
    try await withEngine { engine in
      let host = registry.host
      func tags(_ expecting: Int32) async throws -> Output {
        try await engine.gantry("image", "tags", "-q", "\(host)/box", expecting: expecting)
      }
      try await engine.gantry("tag", "busybox", "\(host)/box:1")
      try await engine.gantry("push", "-q", "\(host)/box:1")
      // This machine's registries need no certificate unless it is said so; each change counts at the next use.
      try engine.configure(#"{"registries": {"\#(host)": {"insecure": false}}}"#)
      #expect(try await tags(1).stderr.contains("the certificate of \(host) is not trusted"))
      try engine.configure(#"{"registries": {"\#(host)": {"insecure": false, "ca": "\#(wrong)"}}}"#)
      #expect(try await tags(1).stderr.contains("is not trusted"))
      try engine.configure(#"{"registries": {"\#(host)": {"insecure": false, "ca": "\#(authority)"}}}"#)
      #expect(try await tags(0).trimmed == "\(host)/box:1")
      // Docker's folder for the same.
      try engine.configure(#"{"registries": {"\#(host)": {"insecure": false}}}"#)
      let folder = engine.folder.appending("certs.d").appending(host)
      try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: authority.string, toPath: folder.appending("ca.crt").string)
      #expect(try await tags(0).trimmed == "\(host)/box:1")
      // And an authority beside it that has nothing to do with it.
      try FileManager.default.copyItem(atPath: wrong.string, toPath: folder.appending("another.crt").string)
      #expect(try await tags(0).trimmed == "\(host)/box:1")
      // containerd's file.
      try FileManager.default.removeItem(atPath: folder.string)
      try engine.configure("{}")
      try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
      let hosts = folder.appending("hosts.toml").string
      try "server = \"https://\(host)\"\nca = \"\(wrong)\"\n".write(toFile: hosts, atomically: true, encoding: .utf8)
      #expect(try await tags(1).stderr.contains("is not trusted"))
      try "server = \"https://\(host)\"\nca = \"\(authority)\"\n".write(
        toFile: hosts, atomically: true, encoding: .utf8)
      #expect(try await tags(0).trimmed == "\(host)/box:1")
    }
  }

  @Test func registriesMayWantACertificateOfOurs() async throws {
    let registry = try await TestRegistry.start(tls: true, clients: true)
    defer { try? registry.stop() }
    let authority = try #require(registry.authority)
    try await withEngine { engine in
      let host = registry.host
      let name = "\(host)/box:1"
      try await engine.gantry("tag", "busybox", name)
      let trusted = #""insecure": false, "ca": "\#(authority)""#
      try engine.configure(#"{"registries": {"\#(host)": {\#(trusted)}}}"#)
      #expect(try await engine.gantry("push", name, expecting: 1).stderr.hasPrefix("gantry: "))
      try engine.configure(
        #"{"registries": {"\#(host)": {\#(trusted), "client-cert": "\#(registry.folder)/client.crt", "client-key": "\#(registry.folder)/client.key"}}}"#
      )
      try await engine.gantry("push", "-q", name)
      try engine.configure(#"{"registries": {"\#(host)": {"insecure": false}}}"#)
      let folder = engine.folder.appending("certs.d").appending(host)
      try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
      for (from, to) in [("ca.crt", "ca.crt"), ("client.crt", "client.cert"), ("client.key", "client.key")] {
        try FileManager.default.copyItem(
          atPath: registry.folder.appending(from).string, toPath: folder.appending(to).string)
      }
      #expect(try await engine.gantry("image", "tags", "-q", "\(host)/box").trimmed == name)
    }
  }

  @Test func mirrorsAreAskedInOrderAndSeeNoCredentials() async throws {
    let mirror = try await PushRegistry.start()
    let dead = try FreePort.next()
    let registry = try await PushRegistry.start()
    defer {
      try? mirror.stop()
      try? registry.stop()
    }
    try await withEngine { engine in
      let folder = engine.folder.appending("docker").string
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let auth = Data("alice:s3cret".utf8).base64EncodedString()
      try #"{"auths": {"\#(registry.host)": {"auth": "\#(auth)"}}}"#.write(
        toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let environment = ["DOCKER_CONFIG": folder]
      func tags(_ repository: String) async throws {
        try await engine.gantry(
          ["image", "tags", "-q", "\(registry.host)/\(repository)"], environment: environment)
      }
      try engine.configure(
        #"{"registries": {"\#(registry.host)": {"mirrors": ["http://127.0.0.1:\#(dead)", "http://\#(mirror.host)"]}}}"#)
      try await tags("box")
      #expect(mirror.requests("/v2/box/tags/list").count == 1, "the first mirror is dead, the second answers")
      #expect(registry.requests("/v2/box/tags/list").isEmpty)
      // A mirror that asks who is there does not learn it; the registry itself does.
      try await tags("guarded")
      #expect(!mirror.requests("/v2/guarded/").isEmpty)
      #expect(mirror.requests().allSatisfy { $0.split(separator: " ")[2] == "-" })
      #expect(registry.requests("/v2/guarded/").contains { $0.contains(" Basic ") })
      // Pushes go to the registry itself.
      try await engine.gantry("tag", "busybox", "\(registry.host)/box:1")
      try await engine.gantry(["push", "-q", "\(registry.host)/box:1"], environment: environment)
      #expect(mirror.requests("PUT").isEmpty && !registry.requests("PUT").isEmpty)
      // containerd's mirrors learn whose content is wanted; what a host may not be asked for goes to the next.
      try engine.configure("{}")
      let certificates = engine.folder.appending("certs.d").appending(registry.host)
      try FileManager.default.createDirectory(atPath: certificates.string, withIntermediateDirectories: true)
      let hosts = certificates.appending("hosts.toml").string
      try "[host.\"http://\(mirror.host)\"]\ncapabilities = [\"pull\", \"resolve\"]\nheader = {x-team = \"b\"}\n".write(
        toFile: hosts, atomically: true, encoding: .utf8)
      try await tags("other")
      #expect(mirror.requests("/v2/other/tags/list").contains { $0.contains("ns=127.0.0.1%3A") })
      try "[host.\"http://\(mirror.host)\"]\ncapabilities = [\"pull\"]\n".write(
        toFile: hosts, atomically: true, encoding: .utf8)
      try await tags("third")
      #expect(mirror.requests("/v2/third").isEmpty && registry.requests("/v2/third/tags/list").count == 1)
    }
  }

  @Test func aWrongConfigurationIsRefusedAtTheStartAndReportedLater() async throws {
    try await withEngine { engine in
      try engine.configure(#"{"max-disc": "1GB"}"#)
      let supervisor = try String(contentsOfFile: engine.state.appending("supervisor.pid").string, encoding: .utf8)
      _ = try await Command.run(["kill", "-HUP", supervisor.trimmingWhitespace()])
      for service in ["gantryd", "gantry-imaged"] {
        try await engine.eventually("\(service) reports it") {
          let log = try String(contentsOfFile: engine.root.appending("log/\(service).log").string, encoding: .utf8)
          return log.contains("max-disc is not a setting") && log.contains("what was configured before stays")
        }
      }
      #expect(try await engine.gantry("ps", "-q").stdout.isEmpty, "the engine goes on")
      let refused = try await Command.run(
        [
          TestEngine.binaries.appending("gantryd").string, "--root", "\(engine.folder)/r2", "--state",
          "\(engine.folder)/s2", "--config", engine.configuration.string,
        ], expecting: 1)
      #expect(refused.stderr.contains("gantry.json: max-disc is not a setting"))
    }
  }
}
