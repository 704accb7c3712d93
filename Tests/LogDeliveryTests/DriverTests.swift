import Foundation
import LogFormat
import Protocol
import Testing

@testable import LogDelivery

/// Options of a driver for a container named web.
func driverOptions(
  _ driver: String, _ options: [String: String] = [:], attributes: [String: String] = [:]
) -> DeliveryOptions {
  DeliveryOptions(
    delivery: LogDelivery(
      driver: driver, options: options, tag: "web", blocking: true, maxBuffer: 1 << 20,
      source: LogSource(
        id: "0123456789abcdef", name: "web", imageId: "sha256:ab", imageName: "busybox", command: "httpd -f",
        created: "2026-01-02T03:04:05Z")),
    attributes: attributes)
}

/// 2 January 2026, 3:04:05.000000006.
let moment: Int64 = 1_767_323_045_000_000_006

func event(_ text: String, stream: UInt8 = 1, continues: Bool = false, part: UInt16 = 0) -> LogEvent {
  LogEvent(text: Array(text.utf8), stream: stream, time: moment, continues: continues, part: part)
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct DriverTests {
  @Test func syslogWritesEachFormat() throws {
    let pid = getpid()
    let host = DeliveryOptions.hostname
    let cases: [(String?, String)] = [
      (nil, "<30>Jan  2 03:04:05 web[\(pid)]: hello"), ("rfc3164", "<30>Jan  2 03:04:05 \(host) web[\(pid)]: hello"),
      ("rfc5424", "<30>1 2026-01-02T03:04:05Z \(host) web \(pid) web - hello"),
      ("rfc5424micro", "<30>1 2026-01-02T03:04:05.000000Z \(host) web \(pid) web - hello"),
    ]
    for (format, expected) in cases {
      let options = ["syslog-address": "udp://127.0.0.1"].merging(format.map { ["syslog-format": $0] } ?? [:]) { $1 }
      #expect(text(try Syslog(driverOptions("syslog", options)).message(event("hello"))) == expected)
    }
    let local = try Syslog(driverOptions("syslog", ["syslog-facility": "local7"]))
    #expect(text(local.message(event("two\nlines", stream: 2))).hasPrefix("<187>"))
    #expect(text(local.message(event("two\nlines"))).hasSuffix(": two lines"))
  }

  @Test(arguments: [
    ("127.0.0.1:99", "127.0.0.1", "99"), ("host", "host", "1"), (":99", "localhost", "99"), ("[::1]:99", "::1", "99"),
    ("[::1]", "::1", "1"), ("host:99/path", "host", "99"), ("", "localhost", "1"),
  ])
  func addressesAreTakenApart(address: String, host: String, port: String) {
    #expect(LinkAddress.hostAndPort(address[...], default: "1") == (host, port))
  }

  @Test func gelfIsJSONAndIsCutWhereItIsLong() throws {
    let gelf = try GELF(driverOptions("gelf", ["gelf-address": "udp://127.0.0.1"], attributes: ["team": "red"]))
    let message = gelf.message(event("say \"hi\"\u{1}"))
    let object = try #require(try JSONSerialization.jsonObject(with: Data(message)) as? [String: Any])
    #expect(object["short_message"] as? String == "say \"hi\"\u{1}")
    #expect(object["timestamp"] as? Double == 1_767_323_045.0)
    #expect(object["_team"] as? String == "red" && object["_tag"] as? String == "web")
    #expect(try gelf.datagrams([UInt8](repeating: 1, count: 1420)).count == 1)
    let long = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
    let chunks = try gelf.datagrams(long)
    #expect(
      chunks.count == 4 && chunks.allSatisfy { $0.count <= 1420 && $0[0] == 0x1E && $0[1] == 0x0F && $0[11] == 4 })
    #expect(chunks.flatMap { $0.dropFirst(12) } == long)
    #expect(throws: DeliveryFailure.self) { try gelf.datagrams([UInt8](repeating: 0, count: 200_000)) }
  }

  @Test func fluentdPacksRecords() throws {
    let fluentd = try Fluentd(driverOptions("fluentd"))
    let bytes = fluentd.message([event("hi")], chunk: "c")
    var expected: [UInt8] =
      [0x93, 0xA3] + Array("web".utf8) + [0x91, 0x92, 0xD3, 0, 0, 0, 0, 0x69, 0x57, 0x35, 0xA5, 0x84]
    for (name, value) in [
      ("container_id", "0123456789abcdef"), ("container_name", "/web"), ("source", "stdout"), ("log", "hi"),
    ] {
      expected +=
        [0xA0 | UInt8(name.utf8.count)] + Array(name.utf8) + [0xA0 | UInt8(value.utf8.count)] + Array(value.utf8)
    }
    expected += [0x81, 0xA5] + Array("chunk".utf8) + [0xA1, 0x63]
    #expect(bytes == expected)
  }

  @Test(arguments: [("app.name", "APP_NAME"), ("_x", "X"), ("1a", "F_1A"), ("é", "F_"), ("Tier", "TIER")])
  func journalFieldsHaveAllowedNames(name: String, field: String) { #expect(Journald.fieldName(name) == field) }

  @Test func journalTakesLinesOfTheirOwnByLength() {
    let message = Journald(driverOptions("journald")).message(event("a\nb", stream: 2))
    #expect(text(message).contains("CONTAINER_NAME=web\n") && text(message).contains("PRIORITY=3\n"))
    #expect(message.suffix(20) == Array("MESSAGE\n".utf8) + [3, 0, 0, 0, 0, 0, 0, 0] + Array("a\nb\n".utf8))
  }

  @Test func splunkKnowsThreeFormats() throws {
    func message(_ format: String, _ line: String) throws -> String {
      text(
        try Splunk(
          driverOptions(
            "splunk", ["splunk-url": "http://x", "splunk-token": "t", "splunk-format": format], attributes: ["a": "b"])
        ).message(event(line)))
    }
    #expect(
      try message("inline", "{}").hasPrefix(
        #"{"event":{"line":"{}","source":"stdout","tag":"web","attrs":{"a":"b"}},"time":"1767323045.000""#))
    #expect(try message("json", #"{"x":[1]}"#).hasPrefix(#"{"event":{"line":{"x":[1]},"#))
    #expect(try message("json", "{torn").hasPrefix(#"{"event":{"line":"{torn","#))
    #expect(try message("raw", "text").hasPrefix(#"{"event":"web a=b text","#))
    #expect(try message("raw", "  ").isEmpty)
  }

  @Test func awsRequestsAreSigned() {
    let headers = AWSSignature(region: "eu-central-1").headers(
      host: "logs.example.com", target: "Logs_20140328.PutLogEvents", body: Array(#"{"a":1}"#.utf8),
      credentials: .init(key: "AKID", secret: "secret"), moment: Moment(moment))
    // Computed by the algorithm's description in Python.
    #expect(
      headers.last?.hasSuffix("Signature=cfe888e69c338ce2d94470266c9d66b5f8618aa99278c6647fb547a9f06989c4") == true)
  }

  @Test func awsCredentialsComeFromAProfile() {
    let file =
      "[default]\naws_access_key_id = a\naws_secret_access_key=b\n[other]\naws_access_key_id=c\naws_secret_access_key=d\naws_session_token=e\n"
    #expect(AWSCredentialSource.parse(file, profile: "default") == .init(key: "a", secret: "b"))
    #expect(AWSCredentialSource.parse(file, profile: "other") == .init(key: "c", secret: "d", token: "e"))
    #expect(AWSCredentialSource.parse(file, profile: "none") == nil)
  }

  @Test(arguments: [0, 1, 100, 100_000])
  func compressedMessagesInflate(count: Int) async throws {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* $0) }
    let packed = try #require(Deflate.compress(bytes, .gzip))
    let process = Process()
    process.executableURL = URL(filePath: "/bin/gzip")
    process.arguments = ["-dc"]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    let writer = Thread {
      try? input.fileHandleForWriting.write(contentsOf: Data(packed))
      try? input.fileHandleForWriting.close()
    }
    writer.start()
    #expect([UInt8](try output.fileHandleForReading.readToEnd() ?? Data()) == bytes)
  }
}
