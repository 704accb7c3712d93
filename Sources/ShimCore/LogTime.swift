internal import Glibc

/// A moment as log entries and state files write it: RFC 3339 in UTC with nine digits of a second, 30 bytes.
public struct LogTime: Sendable, Equatable {
  /// The length of the text in bytes.
  public static let length = 30

  /// Seconds since 1970.
  public var seconds: Int
  /// Nanoseconds within the second.
  public var nanoseconds: Int

  /// A moment given as the kernel gives it.
  public init(seconds: Int, nanoseconds: Int) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// The present moment of the machine's clock.
  public static func now() -> LogTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return LogTime(seconds: time.tv_sec, nanoseconds: time.tv_nsec)
  }

  /// The same as one number.
  var nanosecondsSince1970: Int64 { Int64(seconds) * 1_000_000_000 + Int64(nanoseconds) }

  /// The text, such as `2026-01-02T03:04:05.000000006Z`.
  public var text: String {
    String(unsafeUninitializedCapacity: Self.length) { buffer in
      if let base = buffer.baseAddress { write(to: base) }
      return Self.length
    }
  }

  /// Writes the 30 bytes of the text to `out`.
  func write(to out: UnsafeMutablePointer<UInt8>) {
    let days = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
    let second = seconds - days * 86400
    let (year, month, day) = Self.civil(days)
    Self.digits(year, 4, out)
    out[4] = 0x2D
    Self.digits(month, 2, out + 5)
    out[7] = 0x2D
    Self.digits(day, 2, out + 8)
    out[10] = 0x54
    Self.digits(second / 3600, 2, out + 11)
    out[13] = 0x3A
    Self.digits(second / 60 % 60, 2, out + 14)
    out[16] = 0x3A
    Self.digits(second % 60, 2, out + 17)
    out[19] = 0x2E
    Self.digits(nanoseconds, 9, out + 20)
    out[29] = 0x5A
  }

  /// Year, month and day of the `days`th day after 1 January 1970, in the proleptic Gregorian calendar.
  private static func civil(_ days: Int) -> (Int, Int, Int) {
    let shifted = days + 719_468  // days since 1 March of year 0
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func digits(_ value: Int, _ count: Int, _ out: UnsafeMutablePointer<UInt8>) {
    var rest = value
    for place in stride(from: count - 1, through: 0, by: -1) {
      out[place] = UInt8(truncatingIfNeeded: 48 + rest % 10)
      rest /= 10
    }
  }
}
