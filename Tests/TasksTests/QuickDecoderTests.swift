import FoundationEssentials
import OCI
import QuickJSON
import Testing

/// The quick decoder agrees with JSONDecoder, or throws.
@Suite struct QuickDecoderTests {
  private struct Everything: Codable, Equatable {
    var text: String
    var flag: Bool
    var small: UInt8
    var number: Int64
    var ratio: Double?
    var list: [String]
    var nested: [String: [Int]]
    var absent: String?
    var null: String?
  }

  private func agree<Value: Codable & Equatable>(_ type: Value.Type, _ json: String) throws {
    let slow = try JSONDecoder().decode(type, from: Data(json.utf8))
    #expect(try QuickDecoder.decode(type, from: Array(json.utf8)) == slow)
  }

  @Test func decodesWhatJSONDecoderDoes() throws {
    try agree(
      Everything.self,
      #"""
       { "text": "a\"\\\/\n\t\u0041é😀\u20ac", "flag": true, "small": 255, "number": -9223372036854775808,
       "ratio": 1.5e3, "list": [ "x", "", "y" ], "nested": {"a": [1, 2], "b": []}, "null": null, "unknown": [{"a": 1}] }
      """#)
    try agree([Int].self, "[]")
    try agree([Double].self, "[1, 2.5, -3e2]")
  }

  @Test func decodesASpecification() throws {
    let spec = RuntimeSpec(
      process: .init(
        terminal: true, consoleSize: .init(height: 24, width: 80), user: .init(uid: 1000, gid: 1000),
        args: ["sh", "-c", "a"],
        env: ["A=b", "C=\"d\"\n"], cwd: "/", rlimits: [.init(type: "RLIMIT_NOFILE", hard: 1024, soft: 512)],
        oomScoreAdj: -5),
      root: .init(path: "rootfs", readonly: true), hostname: "h",
      mounts: [.init(destination: "/proc", type: "proc", source: "proc", options: ["nosuid"])],
      annotations: ["a/b": "c"],
      linux: .init(
        namespaces: [.init(type: "pid"), .init(type: "network", path: "/proc/1/ns/net")], cgroupsPath: "/a/b",
        sysctl: ["net.ipv4.ip_forward": "1"], maskedPaths: ["/proc/kcore"]))
    let encoded = try JSONEncoder().encode(spec)
    #expect(try QuickDecoder.decode(RuntimeSpec.self, from: Array(encoded)) == spec)
  }

  @Test(arguments: [
    "", "{", "[1,]", #"{"a":1,"a":2}"#, #"["\ud83d\ude00"]"#, "[1] x", "[tru]", #"["a]"#, "[01x]",
    "[18446744073709551615]",
    "[\"\u{1}\"]",
  ])
  func throwsOnAnySurprise(json: String) {
    #expect(throws: (any Error).self) { try QuickDecoder.decode([String: Int].self, from: Array(json.utf8)) }
    #expect(throws: (any Error).self) { try QuickDecoder.decode([Int].self, from: Array(json.utf8)) }
  }
}
