internal import FoundationEssentials

/// Splunk's HTTP event collector: many events in one request.
final class Splunk: Destination {
  enum Format: String { case inline, json, raw }

  let name: String
  let linger = 1000
  let batch = (events: 1000, bytes: 512 << 10)
  private let client: HTTPClient
  private let url: String
  private let headers: [String]
  private let format: Format
  private let gzipLevel: Int?
  private let tag: String
  private let attributes: [String: String]
  private let envelope: [String: String]
  /// The collector is asked once whether it is there (`splunk-verify-connection`).
  private var verifies: Bool

  init(_ options: DeliveryOptions) throws(DeliveryFailure) {
    guard let address = options["splunk-url"], let token = options["splunk-token"] else {
      throw .refused("splunk-url and splunk-token are needed")
    }
    name = "splunk \(address)"
    let base = address.hasSuffix("/") ? String(address.dropLast()) : address
    url = base + "/services/collector/event/1.0"
    client = try HTTPClient(
      trust: .init(
        caFile: options["splunk-capath"], name: options["splunk-caname"],
        skipVerify: options.flag("splunk-insecureskipverify")))
    gzipLevel =
      options.flag("splunk-gzip") ? options["splunk-gzip-level"].flatMap { Int($0) } ?? -1 : nil
    headers =
      ["Authorization: Splunk \(token)", "Content-Type: application/json", "Expect:"]
      + (gzipLevel == nil ? [] : ["Content-Encoding: gzip"])
    format = options["splunk-format"].flatMap(Format.init) ?? .inline
    tag = options.delivery.options["tag"] == "" ? "" : options.tag
    attributes = options.attributes
    verifies = options.flag("splunk-verify-connection", default: true)
    var envelope = ["host": DeliveryOptions.hostname]
    for (member, option) in [
      ("source", "splunk-source"), ("sourcetype", "splunk-sourcetype"), ("index", "splunk-index"),
    ] {
      if let value = options[option] { envelope[member] = value }
    }
    self.envelope = envelope
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    if verifies {
      let (status, answer) = try client.request("OPTIONS", url, headers: headers)
      guard status == 200 else {
        throw .away("HTTP \(status) \(String(decoding: answer.prefix(500), as: UTF8.self))")
      }
      verifies = false
    }
    let body = events.flatMap(message)
    if !body.isEmpty {
      let packed = gzipLevel.flatMap { Deflate.compress(body, .gzip, level: $0) } ?? body
      let (status, answer) = try client.request(nil, url, headers: headers, body: packed)
      try HTTPClient.check(status, answer)
    }
    taken = events.count
  }

  /// The JSON object of one event; nothing for a blank line, which the collector refuses.
  func message(_ event: LogEvent) -> [UInt8] {
    let line = event.string
    if line.allSatisfy(\.isWhitespace) { return [] }
    var json = JSONBytes()
    json.object { json in
      json.name("event")
      if format == .raw {
        let words = [tag] + attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        json.string((words.filter { !$0.isEmpty } + [line]).joined(separator: " "))
      } else {
        json.object { json in
          if format == .json, Self.isJSON(event.text) {
            json.member("line", json: line)
          } else {
            json.member("line", line)
          }
          json.member("source", event.source)
          if !tag.isEmpty { json.member("tag", tag) }
          if !attributes.isEmpty {
            json.name("attrs")
            json.raw(JSONBytes.object(attributes))
          }
        }
      }
      json.member("time", Moment(event.time).decimal)
      for (name, value) in envelope.sorted(by: { $0.key < $1.key }) { json.member(name, value) }
    }
    return json.bytes
  }

  private struct Anything: Decodable { init(from decoder: any Decoder) throws {} }

  /// Whether a line is one JSON value.
  private static func isJSON(_ text: [UInt8]) -> Bool {
    (try? JSONDecoder().decode(Anything.self, from: Data(text))) != nil
  }
}
