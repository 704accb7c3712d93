import Foundation
import OCI
import TestSupport
import Testing

@testable import Faults
@testable import Registry

/// The client with Debian's registry and with one that lies.
@Suite struct ClientTests {
  private static var quick: RegistrySettings {
    var settings = RegistrySettings()
    settings.slowBytes = 100
    settings.slowSeconds = 2
    settings.backOffMilliseconds = 10
    settings.retries = 3
    return settings
  }

  private func fault<Value>(_ body: () async throws -> Value) async -> Fault? {
    do {
      _ = try await body()
      return nil
    } catch {
      return error as? Fault
    }
  }

  private struct Trusting: RegistryHosts {
    var authority: String
    func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint] {
      [RegistryEndpoint(base: try WebAddress(scheme: .https, authority: registry), tls: .init(caFile: authority))]
    }
  }

  @Test func tokensAreFetchedOnceAndRenewed() async throws {
    let registry = try await TestRegistry.start(.token(seconds: 3))
    let credentials = RegistryCredentials(username: TestRegistry.user, password: TestRegistry.password)
    try await registry.put("private/a:1", credentials: "\(TestRegistry.user):\(TestRegistry.password)")
    let client = RegistryClient(settings: Self.quick)
    let before = registry.tokenRequests().count
    try await withThrowingTaskGroup { group in
      for _ in 0..<10 {
        group.addTask {
          _ = try await client.manifest("1", of: "private/a", registry: registry.host, credentials: credentials)
        }
      }
      try await group.waitForAll()
    }
    #expect(registry.tokenRequests().count - before <= 2)
    #expect(registry.tokenRequests().last?.contains("GET alice repository:private/a:pull") == true)
    // When its time is over, a request gets a new one by itself; none of them fails.
    let known = registry.tokenRequests().count
    let deadline = ContinuousClock.now + .seconds(20)
    while registry.tokenRequests().count == known, ContinuousClock.now < deadline {
      _ = try await client.manifest("1", of: "private/a", registry: registry.host, credentials: credentials)
    }
    #expect(registry.tokenRequests().count > known)
    let oauth = RegistryCredentials(identityToken: "refresh-\(TestRegistry.password)")
    _ = try await client.manifest("1", of: "private/a", registry: registry.host, credentials: oauth)
    #expect(registry.tokenRequests().last?.hasPrefix("POST alice") == true)
    let wrong = RegistryCredentials(username: TestRegistry.user, password: "wrong")
    let refusal = await fault {
      try await client.manifest("1", of: "private/a", registry: registry.host, credentials: wrong)
    }
    #expect(
      refusal?.code == .permissionDenied && refusal?.message.contains("gantry login") == true, "\(refusal as Any)")
    let nobody = await fault { try await client.manifest("1", of: "private/a", registry: registry.host) }
    #expect(nobody?.code == .permissionDenied, "\(nobody as Any)")
    try registry.stop()
  }

  @Test func basicAndTLSAreSpoken() async throws {
    let registry = try await TestRegistry.start(.basic, tls: true)
    let credentials = RegistryCredentials(username: TestRegistry.user, password: TestRegistry.password)
    try await registry.put("a:1", credentials: "\(TestRegistry.user):\(TestRegistry.password)")
    let authority = try #require(registry.authority).string
    let client = RegistryClient(hosts: Trusting(authority: authority), settings: Self.quick)
    let manifest = try await client.manifest("1", of: "a", registry: registry.host, credentials: credentials)
    #expect(manifest.claimed != nil && manifest.data.count > 100)
    let name = try Reference(parsing: "\(registry.host)/a")
    #expect(try await client.tags(of: name, limit: 10, credentials: credentials).tags == ["1"])
    let anonymous = await fault { try await client.manifest("1", of: "a", registry: registry.host) }
    #expect(anonymous?.code == .permissionDenied)
    // Without its authority the certificate is not trusted.
    struct Strict: RegistryHosts {
      func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint] {
        [RegistryEndpoint(base: try WebAddress(scheme: .https, authority: registry))]
      }
    }
    let untrusted = await fault {
      try await RegistryClient(hosts: Strict(), settings: Self.quick)
        .manifest("1", of: "a", registry: registry.host, credentials: credentials)
    }
    #expect(
      untrusted?.message.contains("certificate of \(registry.host) is not trusted") == true, "\(untrusted as Any)")
    try registry.stop()
  }

  @Test func whatEndpointsSayDecidesWhoIsAskedNext() async throws {
    struct Mirrored: RegistryHosts {
      var mirrors: [String]
      var registry: String
      func endpoints(of name: String) throws(Fault) -> [RegistryEndpoint] {
        var all: [RegistryEndpoint] = []
        for mirror in mirrors {
          all.append(
            RegistryEndpoint(
              base: try WebAddress(scheme: .http, authority: mirror), capabilities: [.pull, .resolve],
              isRegistry: false, namespace: name))
        }
        return all + [RegistryEndpoint(base: try WebAddress(scheme: .http, authority: registry))]
      }
    }
    let mirror = try await TestRegistry.start()
    let registry = try await TestRegistry.start()
    try await registry.put("only-here:1")
    try await mirror.put("both:1")
    let dead = "127.0.0.1:\(try FreePort.next())"
    let client = RegistryClient(
      hosts: Mirrored(mirrors: [dead, mirror.host], registry: registry.host), settings: Self.quick)
    _ = try await client.manifest("1", of: "both", registry: "example.com")
    #expect(try registry.requests("both").isEmpty)
    #expect(try mirror.requests("both/manifests/1?ns=example.com").count == 1)
    _ = try await client.manifest("1", of: "only-here", registry: "example.com")
    #expect(try mirror.requests("only-here/manifests").count == 1)
    let missing = await fault { try await client.manifest("2", of: "only-here", registry: "example.com") }
    #expect(missing?.code == .notFound)
    try mirror.stop()
    try registry.stop()
  }

  @Test(arguments: [
    ("circle", FaultCode.corrupt, "in a circle"), ("far", .corrupt, "more than 5 times"),
    ("file", .corrupt, "only http:// and https://"), ("heads", .limitExceeded, "head of the answer"),
    ("fails", .unavailable, "failed with status 500"), ("limited", .unavailable, "try again in 37 minutes"),
    ("large", .limitExceeded, "more than 4194304 bytes"), ("drip", .deadlineExceeded, "too slow"),
  ]) func liesEndInPlainWords(lie: String, code: FaultCode, words: String) async throws {
    let registry = try await FakeRegistry.start()
    let client = RegistryClient(settings: Self.quick)
    let found = await fault { try await client.manifest("1", of: lie, registry: registry.host) }
    #expect(found?.code == code, "\(found as Any)")
    #expect(found.map { "\($0)" }?.contains(words) == true, "\(found as Any)")
    try registry.stop()
  }

  @Test func passingFailuresAreRepeated() async throws {
    let registry = try await FakeRegistry.start()
    let client = RegistryClient(settings: Self.quick)
    _ = try await client.manifest("1", of: "fails-twice", registry: registry.host)
    #expect(registry.requests("fails-twice").count == 3)
    try registry.stop()
  }

  @Test func cancellationIsImmediate() async throws {
    let registry = try await FakeRegistry.start()
    let client = RegistryClient()
    let task = Task { try await client.manifest("1", of: "drip", registry: registry.host) }
    while registry.requests("drip").isEmpty { try await Task.sleep(for: .milliseconds(10)) }
    let start = ContinuousClock.now
    task.cancel()
    let found = await fault { try await task.value }
    #expect(found?.code == .cancelled)
    #expect(ContinuousClock.now - start < .seconds(1))
    try registry.stop()
  }

  @Test func credentialsStayWithTheirRegistry() async throws {
    let registry = try await FakeRegistry.start()
    let thief = try await FakeRegistry.start()
    let client = RegistryClient(settings: Self.quick)
    let credentials = RegistryCredentials(username: "alice", password: "secret")
    // A redirect to another host (and another port is another host).
    try registry.set("elsewhere", "http://\(thief.host)/stolen")
    _ = try await client.manifest("1", of: "basic", registry: registry.host, credentials: credentials)
    let request = RegistryRequest(
      "GET", .path("/basic/blobs/\(try registry.facts().layer)"), what: "the blob", scopes: [.pull("basic")])
    _ = try await client.send(request, registry: registry.host, needing: .pull, credentials: credentials)
    #expect(registry.requests("manifests").contains { $0.contains("Basic ") })
    #expect(thief.requests("/stolen").count == 1 && !thief.requests().contains { $0.contains("Basic ") })
    // A token realm elsewhere: an error before anything is sent.
    try registry.set("realm", "https://auth.evil.example/token")
    let realm = await fault {
      try await client.manifest("1", of: "realm", registry: registry.host, credentials: credentials)
    }
    #expect(realm?.message.contains("wants your credentials sent to https://auth.evil.example/token") == true)
    _ = try await client.manifest("1", of: "realm-own", registry: registry.host, credentials: credentials)
    // The addresses of metadata services, by a redirect or by a manifest.
    for address in ["http://169.254.169.254/x", "http://[fe80::1]/x", "http://[::ffff:169.254.169.254]/x"] {
      let found = await fault { try await client.fetchForeign(try WebAddress(parsing: address), what: "the layer") }
      #expect(found?.cause.joined().contains("link-local") == true, "\(address): \(found as Any)")
    }
    try registry.stop()
    try thief.stop()
  }
}
