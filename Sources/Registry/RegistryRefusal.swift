internal import Faults
internal import FoundationEssentials
internal import OCI

/// What a registry says with a status that is not wanted, in plain words.
struct RegistryRefusal {
  /// One entry of a registry's `errors` (OCI distribution specification 1.1, error codes).
  private struct Entry: Decodable {
    var code: String?
    var message: String?
  }

  private struct Document: Decodable {
    var errors: [Entry]?
    var message: String?
    var details: String?
    var error: String?
  }

  let answer: HTTPAnswer

  /// The fault for the status, which was the answer to `method` on `address`.
  func fault(_ what: String) -> Fault {
    let place = answer.address.authority
    let said = words.map { [$0] } ?? []
    switch answer.status {
    case 401:
      return Fault(
        .permissionDenied, "\(place) wants to know who asks for \(what): log in with gantry login \(place)", cause: said
      )
    case 403:
      return Fault(.permissionDenied, "\(place) denies \(what)", cause: said)
    case 404:
      return Fault(.notFound, "\(place) does not have \(what)", cause: said)
    case 413:
      return Fault(.limitExceeded, "\(place) finds \(what) too large", cause: said)
    case 429:
      return Fault(.unavailable, rateWords(place), cause: said)
    case 500...:
      return Fault(.unavailable, "\(place) failed with status \(answer.status) when asked for \(what)", cause: said)
    case 300..<400:
      return Fault(.unavailable, "\(place) redirects \(what) to nowhere (status \(answer.status))", cause: said)
    default:
      return Fault(.invalidArgument, "\(place) answered \(what) with status \(answer.status)", cause: said)
    }
  }

  /// The registry's own words: of its JSON, or of the beginning of a page that is none.
  var words: String? {
    guard !answer.body.isEmpty else { return nil }
    let isSound = (try? answer.body.withUnsafeBytes { try StrictJSON.check($0, named: "") }) != nil
    if isSound, let document = try? JSONDecoder().decode(Document.self, from: answer.body) {
      let lines = (document.errors ?? []).prefix(3).map { entry in
        [entry.code?.lowercased().replacing("_", with: " "), entry.message].compactMap { $0 }.joined(separator: ": ")
      }
      let text = lines.isEmpty ? document.details ?? document.message ?? document.error : lines.joined(separator: "; ")
      return text.map { Quoted.plain($0, 300) }
    }
    if answer.head.contentType == "text/html" { return "it answered with a web page, not as a registry" }
    return String(validating: answer.body.prefix(300), as: UTF8.self).map { Quoted.plain($0, 300) }
  }

  // MARK: Rate limits

  /// The seconds that the answer asks to wait (`Retry-After` as seconds or as a date, or `ratelimit-reset`).
  var pauseSeconds: Int? {
    if let text = answer.head["Retry-After"] {
      if let seconds = Int(text) { return max(0, seconds) }
      if let date = HTTPDate.seconds(text), let now = answer.head["Date"].flatMap(HTTPDate.seconds) {
        return max(0, date - now)
      }
    }
    return (answer.head["RateLimit-Reset"] ?? answer.head["X-RateLimit-Reset"]).flatMap { Int($0) }.map { max(0, $0) }
  }

  private func rateWords(_ place: String) -> String {
    var text = "\(place) takes no more requests from here for now (rate limit)"
    // Docker Hub: `100;w=21600`.
    if let limit = answer.head["RateLimit-Limit"]?.split(separator: ";"), let count = limit.first.flatMap({ Int($0) }) {
      let window = limit.dropFirst().first.flatMap { $0.hasPrefix("w=") ? Int($0.dropFirst(2)) : nil }
      text += ": it allows \(count)" + (window.map { " in \(Self.duration($0))" } ?? "")
    }
    text += pauseSeconds.map { "; try again in \(Self.duration($0))" } ?? "; try again later"
    return text + ", or log in with gantry login for a higher limit"
  }

  /// `90 seconds`, `37 minutes`, `6 hours`.
  static func duration(_ seconds: Int) -> String {
    switch seconds {
    case ..<120: "\(seconds) second\(seconds == 1 ? "" : "s")"
    case ..<7200: "\((seconds + 59) / 60) minutes"
    default: "\((seconds + 3599) / 3600) hours"
    }
  }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
enum HTTPDate {
  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  /// Seconds since 1970.
  static func seconds(_ text: String) -> Int? {
    let parts = text.split(separator: " ")
    guard parts.count >= 5, let day = Int(parts[1]), let month = months.firstIndex(of: String(parts[2])),
      let year = Int(parts[3]), (1970...9999).contains(year), (1...31).contains(day)
    else { return nil }
    let clock = parts[4].split(separator: ":").compactMap { Int($0) }
    guard clock.count == 3, clock.allSatisfy({ (0...60).contains($0) }) else { return nil }
    // Days since 1970 of the proleptic Gregorian calendar, counting years from March.
    let y = month < 2 ? year - 1 : year
    let m = (month + 10) % 12
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719_468
    return days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
  }
}
