import Testing

@testable import Faults
@testable import Registry

/// What is decided without a network.
@Suite struct RuleTests {
  @Test(arguments: [
    ("registry-1.docker.io", "https://auth.docker.io/token", true), ("ghcr.io", "https://ghcr.io/token", true),
    ("registry.gitlab.com", "https://gitlab.com/jwt/auth", true), ("example.com", "https://auth.example.com/t", true),
    ("registry.example.com:5000", "https://registry.example.com/t", true),
    ("127.0.0.1:5000", "https://127.0.0.1:5001/t", true),
    ("registry-1.docker.io", "http://auth.docker.io/token", false),
    ("registry-1.docker.io", "https://docker.io.evil.example/token", false),
    ("registry-1.docker.io", "https://evildocker.io/token", false),
    ("example.com", "https://example.org/t", false), ("registry.co.uk", "https://evil.co.uk/t", false),
    ("example.com", "https://other.com/t", false), ("me.azurecr.io", "https://you.azurecr.io/t", false),
    ("1.2.3.4", "https://1.2.3.5/t", false), ("10.2.3.4", "https://5.2.3.4/t", false),
  ]) func credentialsGoToTheRegistrysOwnDomain(registry: String, realm: String, accepted: Bool) throws {
    let endpoint = RegistryEndpoint(base: try WebAddress(scheme: .https, authority: registry))
    let refusal = RealmRule.refusal(realm: try WebAddress(parsing: realm), registry: endpoint)
    #expect((refusal == nil) == accepted, "\(refusal ?? "accepted")")
  }

  @Test(arguments: [
    "ftp://x/", "file:///etc/passwd", "https://user@host/", "https://user:word@host/", "https://", "https://a b/",
    "https://host:0/", "https://host:99999/", "https://host\\@evil/", "//host/", "javascript:alert(1)",
    "https://exa\u{301}mple/",
  ]) func otherAddressesAreRefused(text: String) {
    #expect(throws: Fault.self) { _ = try WebAddress(parsing: text) }
  }

  @Test(arguments: [
    ("/b?c", "https://h:1/b?c"), ("?c", "https://h:1/x/y?c"), ("z", "https://h:1/x/z"), ("//o/p", "https://o/p"),
    ("http://o", "http://o/"), ("HTTPS://O.example/P#f", "https://o.example/P"),
  ]) func redirectsAreResolved(location: String, result: String) throws {
    #expect(try WebAddress(parsing: "https://h:1/x/y?q").following(location).url == result)
  }

  @Test func challengesAreRead() {
    let found = Challenge.parse(
      "Bearer realm=\"https://a/t\",service=\"s, \\\"x\\\"\", scope=\"repository:a:pull,push\" , Basic realm=b")
    #expect(
      found == [
        Challenge(
          scheme: "bearer",
          parameters: ["realm": "https://a/t", "service": "s, \"x\"", "scope": "repository:a:pull,push"]),
        Challenge(scheme: "basic", parameters: ["realm": "b"]),
      ])
    for text in ["", ",,,", "=", "Bearer realm=\"unclosed", String(repeating: "a ", count: 5000)] {
      _ = Challenge.parse(text)
    }
  }

  @Test(arguments: [
    ("https://example.com/", true), ("https://a.example.com/", true), ("https://xexample.com/", false),
    ("https://10.1.2.3/", true), ("https://11.1.2.3/", false), ("https://h:81/", true), ("https://h/", false),
    ("http://127.0.0.1:5000/", true), ("https://other/", false), ("https://deep.sub.test/", true),
  ]) func proxiesHaveExceptions(address: String, isDirect: Bool) throws {
    let rules = ProxyRules(
      http: "http://proxy:1", https: "http://proxy:1", exceptions: ["example.com", "10.0.0.0/8", "h:81", ".sub.test"])
    #expect((rules.proxy(for: try WebAddress(parsing: address)) == nil) == isDirect)
  }

  @Test func rateLimitsAreExplained() {
    let answer = HTTPAnswer(
      head: HTTPHead(
        status: 429, fields: [HTTPField("ratelimit-limit", "100;w=21600"), HTTPField("Retry-After", "2220")]),
      body: .init(), address: WebAddress(scheme: .https, host: "registry-1.docker.io"))
    let fault = RegistryRefusal(answer: answer).fault("x")
    #expect(fault.code == .unavailable)
    #expect(fault.message.contains("allows 100 in 6 hours; try again in 37 minutes"), "\(fault)")
    #expect(HTTPDate.seconds("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
  }

  @Test func credentialsShowNothing() {
    let credentials = RegistryCredentials(username: "bob", password: "pass-word", identityToken: "tok-en")
    var dumped = ""
    dump(credentials, to: &dumped)
    for text in ["\(credentials)", String(reflecting: credentials), dumped] {
      #expect(!text.contains("pass-word") && !text.contains("tok-en") && !text.contains("bob"))
    }
    #expect(Base64.encode("Aladdin:open sesame") == "QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    #expect(Base64.encode("a") == "YQ==" && Base64.encode("") == "")
  }

  @Test func hubAndLoopbackHaveTheirEndpoints() throws {
    let hosts = DefaultHosts(insecure: ["plain.example:80"])
    #expect(try hosts.endpoints(of: "docker.io").map(\.base.url) == ["https://registry-1.docker.io/v2"])
    #expect(
      try hosts.endpoints(of: "127.0.0.1:5000").map(\.base.url)
        == ["https://127.0.0.1:5000/v2", "http://127.0.0.1:5000/v2"])
    #expect(try hosts.endpoints(of: "plain.example:80").map(\.base.scheme) == [.https, .http])
    #expect(try hosts.endpoints(of: "example.com").map(\.base.scheme) == [.https])
  }
}
