import Faults
import Foundation
import Synchronization
import SystemPackage
import Testing

@testable import Configuration

@Suite struct FileTests {
  private func read(_ text: String) throws -> ConfigurationFile {
    try ConfigurationFile(parsing: Array(text.utf8), named: "gantry.json")
  }

  @Test func everyKeyIsRead() throws {
    let file = try read(
      """
      {"registry-mirrors": ["https://a.example", "http://b.example:5000/cache/"],
       "insecure-registries": ["lab", "lab:5000", "10.0.0.0/8", "[fd00::1]:5000", "fd00::/8"],
       "registries": {"Registry.example:5000": {"mirrors": ["https://m.example/v2/x"], "ca": "/c.pem",
         "client-cert": "/a.cert", "client-key": "/a.key", "insecure": false, "headers": {"X-B": "2", "X-A": "1"}}},
       "max-disk": "1.5GiB"}
      """)
    #expect(file.registryMirrors.map(\.text) == ["https://a.example", "http://b.example:5000/cache"])
    #expect(file.insecureRegistries.count == 5)
    let settings = try #require(file.registries["registry.example:5000"])
    #expect(settings.mirrors.map(\.text) == ["https://m.example/v2/x"])
    #expect(settings.ca == "/c.pem" && settings.clientCertificate == "/a.cert" && settings.clientKey == "/a.key")
    #expect(settings.insecure == false)
    #expect(settings.headers.map(\.name) == ["X-A", "X-B"])
    #expect(file.maxDisk == 1_610_612_736)
    #expect(try read("{}") == ConfigurationFile())
  }

  @Test(arguments: [
    ("[]", "gantry.json must be a JSON object"),
    ("{", "gantry.json is not JSON"),
    (
      #"{"registry-mirror": []}"#,
      "gantry.json: registry-mirror is not a setting; there are insecure-registries, max-disk"
    ),
    (#"{"registry-mirrors": "x"}"#, #"gantry.json: registry-mirrors "x": write a list of texts"#),
    (#"{"registry-mirrors": ["ftp://x"]}"#, #"gantry.json: registry-mirrors: "ftp://x": write an address"#),
    (#"{"registry-mirrors": ["https://u:p@x"]}"#, "no name or password"),
    (#"{"registry-mirrors": ["https://"]}"#, "write a host"),
    (#"{"registry-mirrors": ["https://a/../b"]}"#, "write a host"),
    (#"{"insecure-registries": ["http://x"]}"#, "without http://"),
    (#"{"insecure-registries": ["10.0.0.0/33"]}"#, "10.0.0.0/8"),
    (#"{"registries": {"a/b": {}}}"#, "registries.a/b"),
    (#"{"registries": {"a": {"mirror": 1}}}"#, "gantry.json: registries.a.mirror is not a setting"),
    (#"{"registries": {"a": {"ca": "c.pem"}}}"#, #"gantry.json: registries.a.ca "c.pem": write an absolute path"#),
    (#"{"registries": {"a": {"client-key": "/k"}}}"#, "add client-cert"),
    (#"{"registries": {"a": {"insecure": "yes"}}}"#, #"registries.a.insecure "yes": write true or false"#),
    (#"{"max-disk": "much"}"#, #"gantry.json: max-disk "much": write a size"#),
    (#"{"max-disk": 0}"#, "max-disk 0: write a size"),
    (#"{"max-disk": "99999999999PB"}"#, "write a size"),
  ])
  func whatIsWrongIsNamed(text: String, words: String) {
    #expect(refusal { _ = try read(text) }.contains(words))
  }

  @Test func aHeadersValueIsNotShown() {
    let words = refusal { _ = try read(#"{"registries": {"a": {"headers": {"X-Key": "se\ncret"}}}}"#) }
    #expect(words.contains("registries.a.headers.X-Key"))
    #expect(!words.contains("cret"))
  }

  @Test(arguments: [
    ("1", 1), ("1000", 1000), ("2kB", 2000), ("2KiB", 2048), ("50GB", 50_000_000_000), ("1TiB", 1 << 40),
  ])
  func sizes(text: String, bytes: Int64) throws {
    #expect(try read(#"{"max-disk": "\#(text)"}"#).maxDisk == bytes)
  }

  @Test func aMissingFileIsEmptyUnlessItWasNamed() throws {
    let scratch = Scratch()
    let path = scratch.path.appending("gantry.json")
    #expect(try ConfigurationFile(path: path, mustExist: false) == ConfigurationFile())
    #expect(throws: Fault(.notFound, "there is no configuration file \(path): make it, or leave --config out")) {
      try ConfigurationFile(path: path, mustExist: true)
    }
  }

  @Test func aChangedFileCountsAtItsNextUseAndAWrongOneKeepsTheOld() throws {
    let scratch = Scratch()
    let path = try scratch.write("gantry.json", #"{"max-disk": 1}"#)
    let reports = Mutex<[String]>([])
    let live = try LiveConfiguration(path: path) { text in reports.withLock { $0.append(text) } }
    #expect(live.current.maxDisk == 1)
    try scratch.write("gantry.json", #"{"max-disk": 2000}"#)
    #expect(live.current.maxDisk == 2000)
    try scratch.write("gantry.json", #"{"max-disk": "x"}"#)
    #expect(live.current.maxDisk == 2000)
    #expect(live.current.maxDisk == 2000)
    #expect(reports.withLock { $0.count } == 2, "one report a version")
    #expect(reports.withLock { $0.last }?.hasSuffix("what was configured before stays") == true)
    try FileManager.default.removeItem(atPath: path.string)
    #expect(live.current.maxDisk == 2000, "a file that was named must be there")
    try scratch.write("gantry.json", "{}")
    #expect(live.current.maxDisk == nil)
    live.reload()
    #expect(reports.withLock { $0.count } == 5)
  }
}
