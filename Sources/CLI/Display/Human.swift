internal import Glibc

/// Sizes and times as Docker shows them to people.
enum Human {
  /// A size in powers of 1000 with three significant digits: `0B`, `4.26MB`, `1.23GB`.
  static func size(_ bytes: Int64) -> String {
    scaled(Double(bytes), base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB", "EB"], digits: 3)
  }

  /// A size in powers of 1024 with four significant digits: `23.5GiB`.
  static func binarySize(_ bytes: Int64) -> String {
    scaled(Double(bytes), base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], digits: 4)
  }

  private static func scaled(_ value: Double, base: Double, units: [String], digits: Int) -> String {
    var value = value
    var unit = 0
    while value >= base, unit < units.count - 1 {
      value /= base
      unit += 1
    }
    let whole = value >= 1000 ? 4 : value >= 100 ? 3 : value >= 10 ? 2 : 1
    var text = Decimals.fixed(value, digits: max(digits - whole, 0))
    if text.contains(".") {
      while text.last == "0" { text.removeLast() }
      if text.last == "." { text.removeLast() }
    }
    return text + units[unit]
  }

  /// A span of time in one unit: `2 minutes`, `About an hour`, `3 weeks` (docker/go-units HumanDuration).
  static func duration(seconds: Int64) -> String {
    let minutes = seconds / 60
    let hours = (seconds + 1800) / 3600
    switch seconds {
    case ..<1: return "Less than a second"
    case 1: return "1 second"
    case ..<60: return "\(seconds) seconds"
    default: break
    }
    if minutes == 1 { return "About a minute" }
    if minutes < 60 { return "\(minutes) minutes" }
    if hours == 1 { return "About an hour" }
    if hours < 48 { return "\(hours) hours" }
    if hours < 24 * 7 * 2 { return "\(hours / 24) days" }
    if hours < 24 * 30 * 2 { return "\(hours / 24 / 7) weeks" }
    if hours < 24 * 365 * 2 { return "\(hours / 24 / 30) months" }
    return "\(seconds / 3600 / 24 / 365) years"
  }

  /// How long ago a moment was.
  static func ago(_ moment: Moment, now: Moment) -> String {
    duration(seconds: now.seconds - moment.seconds) + " ago"
  }

  /// A moment in this machine's time zone, as Go prints it: `2026-11-24 02:01:03 +0000 UTC`.
  static func date(_ moment: Moment) -> String {
    var seconds = time_t(moment.seconds)
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { return "" }
    var buffer = [CChar](repeating: 0, count: 64)
    let count = strftime(&buffer, buffer.count, "%Y-%m-%d %H:%M:%S %z %Z", &parts)
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A moment in this machine's time zone to the nanosecond, as Docker's events show it.
  static func preciseDate(_ moment: Moment) -> String {
    var seconds = time_t(moment.seconds)
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { return "" }
    func text(_ format: String) -> String {
      var buffer = [CChar](repeating: 0, count: 64)
      let count = strftime(&buffer, buffer.count, format, &parts)
      return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    let nano = String(moment.nanoseconds)
    var zone = text("%z")
    if zone.count == 5 { zone.insert(":", at: zone.index(zone.endIndex, offsetBy: -2)) }
    return text("%Y-%m-%dT%H:%M:%S") + "." + String(repeating: "0", count: 9 - nano.count) + nano + zone
  }

  /// `text` in at most `width` characters, an ellipsis in place of what is cut.
  static func ellipsis(_ text: String, _ width: Int) -> String {
    if text.utf8.count <= width { return text }
    return text.unicodeScalars.count <= width ? text : String(text.unicodeScalars.prefix(width - 1)) + "…"
  }

  /// The first twelve digits of an id, without the name of its hash.
  static func shortID(_ id: String) -> String {
    let start = id.utf8.firstIndex(of: UInt8(ascii: ":")).map { id.utf8.index(after: $0) } ?? id.startIndex
    return String(id[start...].utf8.prefix(12)) ?? id
  }
}

/// A moment: seconds and nanoseconds since 1970 in UTC.
struct Moment: Equatable, Comparable {
  var seconds: Int64
  var nanoseconds: Int64 = 0

  static func < (a: Moment, b: Moment) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }

  /// Now.
  static var now: Moment {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Moment(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }

  /// Reads RFC 3339 and its shorter forms (`2026-11-24`, `2026-11-24T02:01`, with or without a zone); nil when it is none.
  ///
  /// - Parameter localZone: whether a text without a zone is in this machine's zone, as Docker reads `--since`.
  init?(rfc3339 text: String, localZone: Bool = false) {
    var rest = Substring(text)
    func number(_ digits: Int) -> Int64? {
      let part = rest.prefix(digits)
      guard part.count == digits, part.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
      rest = rest.dropFirst(digits)
      return Int64(part)
    }
    func skip(_ character: Character) -> Bool {
      guard rest.first == character else { return false }
      rest = rest.dropFirst()
      return true
    }
    guard let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2),
      (1...12).contains(month), (1...31).contains(day)
    else { return nil }
    var time: (hour: Int64, minute: Int64, second: Int64) = (0, 0, 0)
    nanoseconds = 0
    if skip("T") || skip(" ") {
      guard let hour = number(2) else { return nil }
      time.hour = hour
      if skip(":") {
        guard let minute = number(2) else { return nil }
        time.minute = minute
        if skip(":") {
          guard let second = number(2) else { return nil }
          time.second = second
        }
      }
      if skip(".") {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        let nine = digits.prefix(9)
        guard let fraction = Int64(nine + String(repeating: "0", count: 9 - nine.count)) else { return nil }
        nanoseconds = fraction
      }
    }
    var offset: Int64?
    if skip("Z") {
      offset = 0
    } else if let sign = rest.first, sign == "+" || sign == "-" {
      rest = rest.dropFirst()
      guard let hours = number(2) else { return nil }
      _ = skip(":")
      guard let minutes = number(2) else { return nil }
      offset = (hours * 3600 + minutes * 60) * (sign == "-" ? -1 : 1)
    }
    guard rest.isEmpty else { return nil }
    var parts = tm()
    parts.tm_year = Int32(year - 1900)
    parts.tm_mon = Int32(month - 1)
    parts.tm_mday = Int32(day)
    parts.tm_hour = Int32(time.hour)
    parts.tm_min = Int32(time.minute)
    parts.tm_sec = Int32(time.second)
    parts.tm_isdst = -1
    if offset == nil, localZone {
      seconds = Int64(mktime(&parts))
    } else {
      seconds = Int64(timegm(&parts)) - (offset ?? 0)
    }
  }

  /// Takes both.
  init(seconds: Int64, nanoseconds: Int64 = 0) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// What `--since` and `--until` take: a moment, seconds since 1970 (with a fraction), or a span of time before now.
  init(flag text: String, now: Moment = .now) throws {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? parts[1].prefix(9) : ""
    if let moment = Moment(rfc3339: text, localZone: true) {
      self = moment
    } else if let seconds = Int64(parts.first ?? ""),
      let nano = Int64(fraction + String(repeating: "0", count: 9 - fraction.count))
    {
      self.init(seconds: seconds, nanoseconds: nano)
    } else if let span = try? Quantity.duration(text) {
      let nano = now.nanoseconds - span % 1_000_000_000
      let carry: Int64 = nano < 0 ? -1 : nano >= 1_000_000_000 ? 1 : 0
      self.init(seconds: now.seconds - span / 1_000_000_000 + carry, nanoseconds: nano - carry * 1_000_000_000)
    } else {
      throw CommandFailure("\"\(text)\" is not a time (for example: 2026-11-24T02:01:00Z, 1764000000, 10m)")
    }
  }

  /// Seconds and nanoseconds with a point between, as Docker's API takes them.
  var text: String {
    let nano = String(nanoseconds)
    return "\(seconds)." + String(repeating: "0", count: 9 - nano.count) + nano
  }
}
