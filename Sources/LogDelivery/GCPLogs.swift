internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials

/// Google Cloud Logging: `entries:write`, many entries in one request, with a service account's key or the machine's own token.
final class GCPLogs: Destination {
  /// A service account's key file.
  private struct Account: Decodable {
    var email: String
    var key: String
    var tokenURI: String?
    var project: String?

    private enum CodingKeys: String, CodingKey {
      case email = "client_email"
      case key = "private_key"
      case tokenURI = "token_uri"
      case project = "project_id"
    }
  }
  private struct Token: Decodable {
    var text: String
    var seconds: Int?

    private enum CodingKeys: String, CodingKey {
      case text = "access_token"
      case seconds = "expires_in"
    }
  }

  let name: String
  let linger = 1000
  let batch = (events: 1000, bytes: 512 << 10)
  private let client: HTTPClient
  private let endpoint: String
  private let metadata: String
  private let account: Account?
  private let project: String
  private let source: DeliveryOptions
  private var token: (text: String, expires: Int)?

  init(_ options: DeliveryOptions) throws(DeliveryFailure) {
    let environment = Environment.all
    source = options
    client = try HTTPClient()
    endpoint = environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"] ?? "https://logging.googleapis.com"
    metadata = "http://" + (environment["GCE_METADATA_HOST"] ?? "169.254.169.254") + "/computeMetadata/v1/"
    if let path = environment["GOOGLE_APPLICATION_CREDENTIALS"] {
      guard let bytes = try? Data(contentsOf: URL(filePath: path)),
        let account = try? JSONDecoder().decode(Account.self, from: bytes)
      else { throw .refused("\(path), which GOOGLE_APPLICATION_CREDENTIALS names, is no key of a service account") }
      self.account = account
    } else {
      account = nil
    }
    if let given = options["gcp-project"] ?? environment["GOOGLE_CLOUD_PROJECT"] ?? account?.project {
      project = given
    } else {
      let (status, answer) = try client.request(
        nil, metadata + "project/project-id", headers: ["Metadata-Flavor: Google"], milliseconds: 3000)
      guard status == 200 else { throw .refused("gcp-project is missing, and this machine does not know of one") }
      project = String(decoding: answer, as: UTF8.self)
    }
    name = "gcplogs \(project)"
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    let headers = ["Authorization: Bearer \(try bearer())", "Content-Type: application/json", "Expect:"]
    let url = (endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint) + "/v2/entries:write"
    let (status, answer) = try client.request(nil, url, headers: headers, body: body(events))
    if status == 401 { token = nil }
    try HTTPClient.check(status, answer)
    taken = events.count
  }

  /// The request's JSON.
  func body(_ events: [LogEvent]) -> [UInt8] {
    let container = source.source
    var json = JSONBytes()
    json.object { json in
      json.member("logName", "projects/\(project)/logs/gcplogs-docker-driver")
      json.name("resource")
      json.object { json in json.member("type", "global") }
      json.name("entries")
      json.array { json in
        for event in events {
          json.object { json in
            json.member("timestamp", Moment(event.time).rfc3339(digits: 9))
            json.member("severity", event.stream == 2 ? "ERROR" : "DEFAULT")
            json.name("jsonPayload")
            json.object { json in
              json.name("instance")
              json.raw(JSONBytes.object(instance))
              json.name("container")
              json.object { json in
                json.member("name", container.name)
                json.member("id", container.id)
                json.member("imageName", container.imageName)
                json.member("imageId", container.imageId)
                json.member("created", container.created)
                if source.flag("gcp-log-cmd") { json.member("command", container.command) }
                if !source.attributes.isEmpty {
                  json.name("metadata")
                  json.raw(JSONBytes.object(source.attributes))
                }
              }
              json.member("message", event.string)
            }
          }
        }
      }
    }
    return json.bytes
  }

  private var instance: [String: String] {
    var found = ["name": source["gcp-meta-name"] ?? DeliveryOptions.hostname]
    if let zone = source["gcp-meta-zone"] { found["zone"] = zone }
    if let id = source["gcp-meta-id"] { found["id"] = id }
    return found
  }

  private func bearer() throws(DeliveryFailure) -> String {
    let now = Moment.now.seconds
    if let token, token.expires > now + 60 { return token.text }
    let (status, answer): (Int, [UInt8])
    if let account {
      let uri = account.tokenURI ?? "https://oauth2.googleapis.com/token"
      let assertion = try Self.assertion(account.email, account.key, audience: uri, now: now)
      let form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=\(assertion)"
      (status, answer) = try client.request(
        nil, uri, headers: ["Content-Type: application/x-www-form-urlencoded"], body: Array(form.utf8))
    } else {
      (status, answer) = try client.request(
        nil, metadata + "instance/service-accounts/default/token", headers: ["Metadata-Flavor: Google"],
        milliseconds: 5000)
    }
    guard status == 200, let found = try? JSONDecoder().decode(Token.self, from: Data(answer)) else {
      throw .away("there is no access token: HTTP \(status) \(String(decoding: answer.prefix(300), as: UTF8.self))")
    }
    token = (found.text, now + (found.seconds ?? 300))
    return found.text
  }

  /// A signed statement of who asks (RFC 7523, RS256).
  static func assertion(_ email: String, _ key: String, audience: String, now: Int) throws(DeliveryFailure) -> String {
    let claims = JSONBytes.object([
      "iss": email, "aud": audience, "scope": "https://www.googleapis.com/auth/logging.write",
    ])
    var text = String(decoding: claims.bytes.dropLast(), as: UTF8.self)
    text += ",\"iat\":\(now),\"exp\":\(now + 3600)}"
    let signed = base64(Array(#"{"alg":"RS256","typ":"JWT"}"#.utf8)) + "." + base64(Array(text.utf8))
    guard let signer = try? _RSA.Signing.PrivateKey(pemRepresentation: key),
      let signature = try? signer.signature(for: SHA256.hash(data: Array(signed.utf8)), padding: .insecurePKCS1v1_5)
    else { throw .refused("the private key of \(email) cannot be used") }
    return signed + "." + base64(Array(signature.rawRepresentation))
  }

  private static func base64(_ bytes: [UInt8]) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }
}
