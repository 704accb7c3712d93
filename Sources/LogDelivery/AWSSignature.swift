internal import Crypto
internal import FoundationEssentials

/// Signature Version 4 of Amazon Web Services for a POST of JSON to the path `/`.
struct AWSSignature {
  /// An access key.
  struct Credentials: Equatable {
    var key: String
    var secret: String
    var token: String?
  }

  var region: String
  var service = "logs"

  /// The headers of a request: those that are signed, and the signature.
  func headers(
    host: String, target: String, body: [UInt8], credentials: Credentials, moment: Moment, more: [String: String] = [:]
  ) -> [String] {
    var signed = [
      "content-type": "application/x-amz-json-1.1", "host": host, "x-amz-date": moment.basic, "x-amz-target": target,
    ]
    if let token = credentials.token { signed["x-amz-security-token"] = token }
    for (name, value) in more { signed[name] = value }
    let ordered = signed.sorted { $0.key < $1.key }
    let names = ordered.map(\.key).joined(separator: ";")
    let canonical =
      "POST\n/\n\n" + ordered.map { "\($0.key):\($0.value)\n" }.joined() + "\n\(names)\n"
      + Self.hex(SHA256.hash(data: body))
    let day = moment.basic.prefix(8)
    let scope = "\(day)/\(region)/\(service)/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(moment.basic)\n\(scope)\n" + Self.hex(SHA256.hash(data: Array(canonical.utf8)))
    var key = Array("AWS4\(credentials.secret)".utf8)
    for part in [String(day), region, service, "aws4_request", text] { key = Self.mac(part, key) }
    let signature = key.map { Self.digits($0) }.joined()
    return ordered.map { "\($0.key): \($0.value)" } + [
      "authorization: AWS4-HMAC-SHA256 Credential=\(credentials.key)/\(scope), SignedHeaders=\(names), Signature=\(signature)"
    ]
  }

  private static func mac(_ text: String, _ key: [UInt8]) -> [UInt8] {
    Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: key)))
  }

  private static func hex(_ digest: SHA256.Digest) -> String { digest.map { digits($0) }.joined() }

  private static func digits(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
}

/// Where credentials come from: variables of the task service, the shared file, an endpoint of the machine's.
struct AWSCredentialSource {
  var environment: [String: String]
  /// `awslogs-credentials-endpoint`, a path on the endpoint of container credentials.
  var endpoint: String?

  private struct Answer: Decodable {
    var key: String
    var secret: String
    var token: String?

    private enum CodingKeys: String, CodingKey {
      case key = "AccessKeyId"
      case secret = "SecretAccessKey"
      case token = "Token"
    }
  }

  func credentials() throws(DeliveryFailure) -> AWSSignature.Credentials {
    if let endpoint { return try fetch(endpoint) }
    if let key = environment["AWS_ACCESS_KEY_ID"], let secret = environment["AWS_SECRET_ACCESS_KEY"] {
      return .init(key: key, secret: secret, token: environment["AWS_SESSION_TOKEN"])
    }
    let path =
      environment["AWS_SHARED_CREDENTIALS_FILE"] ?? (environment["HOME"] ?? "/root") + "/.aws/credentials"
    let profile = environment["AWS_PROFILE"] ?? "default"
    if let text = try? String(contentsOfFile: path, encoding: .utf8), let found = Self.parse(text, profile: profile) {
      return found
    }
    throw .away(
      "there are no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of "
        + "gantry-taskd, nor the profile \(profile) in \(path)")
  }

  private func fetch(_ path: String) throws(DeliveryFailure) -> AWSSignature.Credentials {
    let base = environment["AWS_CONTAINER_CREDENTIALS_BASE"] ?? "http://169.254.170.2"
    let (status, answer) = try HTTPClient().request(nil, base + path, headers: [], milliseconds: 5000)
    guard status == 200, let found = try? JSONDecoder().decode(Answer.self, from: Data(answer)) else {
      throw .away("\(base + path) gives no credentials: HTTP \(status)")
    }
    return .init(key: found.key, secret: found.secret, token: found.token)
  }

  /// One profile of a credentials file.
  static func parse(_ text: String, profile: String) -> AWSSignature.Credentials? {
    var values: [String: String] = [:]
    var inside = false
    for line in text.split(whereSeparator: \.isNewline) {
      let line = String(line).trimmed
      if line.hasPrefix("[") {
        inside = line == "[\(profile)]"
      } else if inside, let sign = line.firstIndex(of: "=") {
        values[String(line[..<sign]).trimmed] = String(line[line.index(after: sign)...]).trimmed
      }
    }
    guard let key = values["aws_access_key_id"], let secret = values["aws_secret_access_key"] else { return nil }
    return .init(key: key, secret: secret, token: values["aws_session_token"])
  }
}

extension String {
  /// Without blanks at both ends.
  var trimmed: String {
    let start = drop { $0.isWhitespace }
    return String(start.reversed().drop { $0.isWhitespace }.reversed())
  }
}
