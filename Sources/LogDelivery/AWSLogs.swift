internal import FoundationEssentials

/// Amazon CloudWatch Logs: PutLogEvents, many events in one request.
final class AWSLogs: Destination {
  /// The longest event, and what each costs besides its text (PutLogEvents).
  private static let longestEvent = 262_144 - 26

  let name: String
  let linger: Int
  let batch: (events: Int, bytes: Int)
  private let client: HTTPClient
  private let endpoint: String
  private let host: String
  private let signature: AWSSignature
  private let source: AWSCredentialSource
  private let group: String
  private let stream: String
  private let createsGroup: Bool
  private let createsStream: Bool
  private let extraHeaders: [String: String]
  private var isReady = false

  private struct Refusal: Decodable {
    var type: String?
    var message: String?

    private enum CodingKeys: String, CodingKey {
      case type = "__type"
      case message
    }
  }

  init(_ options: DeliveryOptions) throws(DeliveryFailure) {
    let environment = Environment.all
    guard let group = options["awslogs-group"] else { throw .refused("awslogs-group is missing") }
    guard let region = options["awslogs-region"] ?? environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"]
    else {
      throw .refused("awslogs-region is missing, and AWS_REGION in the environment of gantry-taskd too")
    }
    self.group = group
    stream = options["awslogs-stream"] ?? options.tag
    name = "awslogs \(group) in \(region)"
    let endpoint = options["awslogs-endpoint"] ?? "https://logs.\(region).amazonaws.com"
    self.endpoint = endpoint
    host = String(
      (endpoint.firstRange(of: "://").map { endpoint[$0.upperBound...] } ?? endpoint[...]).prefix { $0 != "/" })
    signature = AWSSignature(region: region)
    source = AWSCredentialSource(environment: environment, endpoint: options["awslogs-credentials-endpoint"])
    createsGroup = options.flag("awslogs-create-group")
    createsStream = options.flag("awslogs-create-stream", default: true)
    linger = 1000 * (options["awslogs-force-flush-interval-seconds"].flatMap { Int($0) } ?? 5)
    batch = (min(10_000, options["awslogs-max-buffered-events"].flatMap { Int($0) } ?? 4096), 900_000)
    extraHeaders = options["awslogs-format"] == nil ? [:] : ["x-amzn-logs-format": "json/emf"]
    client = try HTTPClient()
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    if !isReady { try prepare() }
    var json = JSONBytes()
    json.object { json in
      json.member("logGroupName", group)
      json.member("logStreamName", stream)
      json.name("logEvents")
      json.array { json in
        // In order of their times, as the service demands; an empty message is refused.
        for event in events.sorted(by: { $0.time < $1.time }) where !event.text.isEmpty {
          json.object { json in
            json.member("timestamp", json: String(event.time / 1_000_000))
            json.member("message", String(decoding: event.text.prefix(Self.longestEvent), as: UTF8.self))
          }
        }
      }
    }
    if events.contains(where: { !$0.text.isEmpty }) { try call("PutLogEvents", json.bytes, more: extraHeaders) }
    taken = events.count
  }

  /// Makes the stream, and the group when asked, unless they are there.
  private func prepare() throws(DeliveryFailure) {
    if createsGroup { try make("CreateLogGroup", ["logGroupName": group]) }
    if createsStream { try make("CreateLogStream", ["logGroupName": group, "logStreamName": stream]) }
    isReady = true
  }

  private func make(_ operation: String, _ members: [String: String]) throws(DeliveryFailure) {
    do {
      try call(operation, JSONBytes.object(members).bytes)
    } catch .refused(let words) where words.contains("ResourceAlreadyExistsException") {
      return
    } catch .refused(let words) {
      throw .away(words)  // a group that is missing may be made yet
    }
  }

  private func call(_ operation: String, _ body: [UInt8], more: [String: String] = [:]) throws(DeliveryFailure) {
    let headers = signature.headers(
      host: host, target: "Logs_20140328.\(operation)", body: body, credentials: try source.credentials(), moment: .now,
      more: more)
    let (status, answer) = try client.request(nil, endpoint, headers: headers + ["Expect:"], body: body)
    if (200..<300).contains(status) { return }
    let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(answer))
    let words = "\(operation): HTTP \(status) \(refusal?.type ?? "") \(refusal?.message ?? "")"
    switch refusal?.type?.split(separator: "#").last {
    case "ResourceAlreadyExistsException", "InvalidParameterException", "DataAlreadyAcceptedException":
      throw .refused(words)
    default:
      isReady = false
      throw .away(words)
    }
  }
}

/// The variables of this process.
enum Environment {
  static var all: [String: String] { ProcessInfo.processInfo.environment }
}
