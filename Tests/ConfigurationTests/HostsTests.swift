import Faults
import Foundation
import Synchronization
import SystemPackage
import Testing

@testable import Configuration

@Suite struct HostsTests {
  private let scratch = Scratch()

  private func hosts(_ configuration: String, report: @escaping @Sendable (String) -> Void = { _ in }) throws
    -> RegistryPlaces
  {
    let path = try scratch.write("gantry.json", configuration)
    return RegistryPlaces(try LiveConfiguration(path: path, report: report), report: report)
  }

  @Test func withoutConfigurationThereIsTheRegistryAlone() throws {
    let hosts = try hosts("{}")
    let hub = try hosts.places(for: "docker.io")
    #expect(hub.map(\.address.text) == ["https://registry-1.docker.io/v2"])
    #expect(hub[0].capabilities == .all && !hub[0].isMirror && !hub[0].allowsPlain && !hub[0].skipsVerification)
    for local in ["localhost:5000", "127.0.0.1:5000", "127.8.0.1", "[::1]:5000"] {
      let host = try #require(try hosts.places(for: local).first)
      #expect(host.allowsPlain && host.skipsVerification, "\(local) is this machine")
    }
    #expect(try hosts.places(for: "128.0.0.1:5000")[0].allowsPlain == false)
  }

  @Test func mirrorsComeFirstInOrder() throws {
    let hosts = try hosts(
      """
      {"registry-mirrors": ["https://a.example", "http://b.example:5000"],
       "registries": {"docker.io": {"mirrors": ["https://c.example/v2"]},
                      "r.example": {"mirrors": ["https://a.example"], "insecure": true},
                      "a.example": {"ca": "/a.pem", "headers": {"X": "1"}}},
       "insecure-registries": ["b.example:5000"]}
      """)
    let hub = try hosts.places(for: "docker.io")
    #expect(
      hub.map(\.address.text) == [
        "https://a.example/v2", "http://b.example:5000/v2", "https://c.example/v2", "https://registry-1.docker.io/v2",
      ])
    #expect(hub.map(\.isMirror) == [true, true, true, false])
    #expect(hub[0].capabilities == [.pull, .resolve])
    #expect(hub[0].authorities == ["/a.pem"] && hub[0].headers.map(\.name) == ["X"])
    #expect(hub[1].allowsPlain && !hub[2].allowsPlain)
    let other = try hosts.places(for: "r.example")
    #expect(other.map(\.allowsPlain) == [false, true])
    #expect(other[1].headers.isEmpty, "headers are for their own host")
  }

  @Test func networksAreMatchedByAddress() throws {
    let hosts = try hosts(#"{"insecure-registries": ["10.0.0.0/8", "fd00::/8"]}"#)
    #expect(try hosts.places(for: "10.2.3.4:5000")[0].allowsPlain)
    #expect(try hosts.places(for: "[fd12::1]:5000")[0].allowsPlain)
    #expect(try hosts.places(for: "11.2.3.4:5000")[0].allowsPlain == false)
  }

  @Test func dockersCertificatesAreFound() throws {
    let hosts = try hosts("{}")
    for name in ["ca.crt", "client.cert", "client.key", "other.cert", "README"] {
      try scratch.write("certs.d/r.example:5000/\(name)", "")
    }
    let host = try #require(try hosts.places(for: "r.example:5000").first)
    let folder = scratch.path.appending("certs.d").appending("r.example:5000").string
    #expect(host.authorities == [folder + "/ca.crt"])
    #expect(
      host.clientCertificates == [
        .init(certificate: folder + "/client.cert", key: folder + "/client.key"),
        .init(certificate: folder + "/other.cert", key: nil),
      ])
    #expect(try hosts.places(for: "r.example")[0].authorities.isEmpty, "another port is another registry")
  }

  @Test func hostsFileKeepsItsOrder() throws {
    let reports = Mutex<[String]>([])
    let hosts = try hosts("{}") { text in reports.withLock { $0.append(text) } }
    try scratch.write(
      "certs.d/r.example:5000/hosts.toml",
      """
      server = "https://upstream.example" # the registry
      skip_verify = true
      [host."https://z.example"]
        capabilities = ["pull", 'resolve']
        ca = ["z.pem", "/abs.pem"]
        client = [["z.cert", "z.key"], ["both.pem", ""]]
        dial_timeout = "5s"
        [host."https://z.example".header]
          x-team = ["a", "b"]
      [host."http://a.example:80"]
        override_path = true
      [host."https://m.example/v2/x"]
        override_path = true
        client = "one.pem"
        header = { x = "1" }
      """)
    let found = try hosts.places(for: "r.example:5000")
    #expect(
      found.map(\.address.text) == [
        "https://z.example/v2", "http://a.example:80", "https://m.example/v2/x", "https://upstream.example/v2",
      ])
    let folder = scratch.path.appending("certs.d").appending("r.example:5000").string
    #expect(found[0].capabilities == [.pull, .resolve])
    #expect(found[0].authorities == [folder + "/z.pem", "/abs.pem"])
    #expect(
      found[0].clientCertificates == [
        .init(certificate: folder + "/z.cert", key: folder + "/z.key"),
        .init(certificate: folder + "/both.pem", key: nil),
      ])
    #expect(found[0].connectTimeout == 5000)
    #expect(found[0].headers.map(\.value) == ["a", "b"])
    #expect(found[3].skipsVerification && !found[0].skipsVerification)
    #expect(found[1].capabilities == .all)

    try scratch.write("certs.d/r.example:5000/hosts.toml", "[host.\"https://z.example\"]\ncolour = 1")
    #expect(try hosts.places(for: "r.example:5000") == found)
    #expect(reports.withLock { $0.last }?.contains("colour is not a setting of a host") == true)
    try scratch.write("certs.d/r.example_5001_/hosts.toml", "server = \"https://other.example\"")
    #expect(try hosts.places(for: "r.example:5001").map(\.address.text) == ["https://other.example/v2"])
    try scratch.write("certs.d/_default/hosts.toml", "[host.\"https://cache.example\"]")
    #expect(
      try hosts.places(for: "any.example").map(\.address.text) == [
        "https://cache.example/v2", "https://any.example/v2",
      ])
  }

  @Test(arguments: [
    ("server = 1", "server must be a text"),
    ("x = 1", "x is not a setting"),
    ("ca = \"x\"", "there is no server"),
    ("[host.\"ftp://x\"]", "begins with https://"),
    ("[host.\"https://x\"]\ncapabilities = [\"eat\"]", "is not pull, resolve or push"),
    ("[host.\"https://x\"]\nskip_verify = 1", "skip_verify must be true or false"),
    ("[host.\"https://x\"]\ndial_timeout = \"5\"", "dial_timeout"),
    ("[host.\"https://x\"]\n[host.\"https://x\"]", "line 2: [host.https://x] is there twice"),
    ("server = \"a\"\nserver = \"b\"", "line 2: server is there twice"),
    ("server = \"a", "line 1: a text does not end"),
    ("server = a", "line 1: a is no value here"),
    ("server = 1979-05-27", "is no value here"),
    ("server \"a\"", "line 1: = is missing"),
    ("server = \"a\" b", "more after the end"),
    ("[[host]]", "lists of tables"),
    ("server = \"\"\"a\"\"\"", "several lines"),
    ("server = \"\\q\"", "means nothing"),
    ("a = " + String(repeating: "[", count: 40), "nested too deeply"),
    (String(repeating: "a.", count: 40) + "b = 1", "too many parts"),
    ("server = [1, 2", "line 1: a list needs"),
  ])
  func wrongHostsFilesAreRefused(text: String, words: String) throws {
    let hosts = try hosts("{}")
    let path = try scratch.write("certs.d/r.example/hosts.toml", text)
    let refusal = refusal { _ = try hosts.places(for: "r.example") }
    #expect(refusal.hasPrefix("\(path): ") && refusal.contains(words), "\(refusal)")
  }

  @Test func theReaderKnowsTheFormat() throws {
    let table = try TOMLReader.read(
      "a.b = 'x\\y' # c\r\n\"q k\" = \"\\u00e9\\t\\\"\"\n[t]\nl = [\n 1, # one\n 2,\n]\n[t.u]\nin = { a = true, b.c = [] }\n"
    )
    #expect(
      table
        == TOMLTable([
          ("a", .table(TOMLTable([("b", .string("x\\y"))]))), ("q k", .string("é\t\"")),
          (
            "t",
            .table(
              TOMLTable([
                ("l", .array([.integer(1), .integer(2)])),
                (
                  "u",
                  .table(
                    TOMLTable([
                      ("in", .table(TOMLTable([("a", .boolean(true)), ("b", .table(TOMLTable([("c", .array([]))])))])))
                    ]))
                ),
              ]))
          ),
        ]))
  }
}

extension TOMLTable {
  fileprivate init(_ entries: [(String, TOMLValue)]) {
    self.init()
    for (key, value) in entries { _ = insert(value, at: [key]) }
  }
}
