internal import Glibc

/// A moment as the drivers write it.
struct Moment {
  private var parts = tm()
  /// Nanoseconds within the second.
  let nanoseconds: Int
  /// Seconds since 1970.
  let seconds: Int

  /// `time` in nanoseconds since 1970.
  init(_ time: Int64) {
    seconds = Int(time >= 0 ? time / 1_000_000_000 : (time - 999_999_999) / 1_000_000_000)
    nanoseconds = Int(time) - seconds * 1_000_000_000
    var clock = time_t(seconds)
    gmtime_r(&clock, &parts)
  }

  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  static func padded(_ value: Int, _ width: Int, _ with: Character = "0") -> String {
    let digits = String(value)
    return String(repeating: with, count: max(0, width - digits.count)) + digits
  }

  private var clock: String {
    "\(Self.padded(Int(parts.tm_hour), 2)):\(Self.padded(Int(parts.tm_min), 2)):\(Self.padded(Int(parts.tm_sec), 2))"
  }

  /// `Jan  2 15:04:05` (RFC 3164).
  var stamp: String { "\(Self.months[Int(parts.tm_mon) % 12]) \(Self.padded(Int(parts.tm_mday), 2, " ")) \(clock)" }

  /// `2026-01-02`.
  var day: String {
    "\(Self.padded(Int(parts.tm_year) + 1900, 4))-\(Self.padded(Int(parts.tm_mon) + 1, 2))-\(Self.padded(Int(parts.tm_mday), 2))"
  }

  /// RFC 3339 in UTC with so many digits of a second.
  func rfc3339(digits: Int) -> String {
    guard digits > 0 else { return "\(day)T\(clock)Z" }
    return "\(day)T\(clock).\(Self.padded(nanoseconds, 9).prefix(digits))Z"
  }

  /// Seconds since 1970 with three digits of a second.
  var decimal: String { "\(seconds).\(Self.padded(nanoseconds / 1_000_000, 3))" }

  /// `20260102T150405Z` (Signature Version 4).
  var basic: String { rfc3339(digits: 0).filter { $0 != "-" && $0 != ":" } }

  /// The present.
  static var now: Moment {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Moment(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }
}

/// This machine's name.
enum HostName {
  static let current: String = {
    var bytes = [CChar](repeating: 0, count: 256)
    guard gethostname(&bytes, 255) == 0 else { return "localhost" }
    return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }()
}
