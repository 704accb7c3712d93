#if canImport(Glibc)
  import Glibc
#endif

/// A moment in nanoseconds since 1970 (UTC), printed and read as Docker does: RFC 3339 with up to nine digits.
struct Timestamp: Hashable, Comparable, Sendable {
  /// Nanoseconds since 1970-01-01T00:00:00Z.
  var nanoseconds: Int64

  /// What Docker prints for a moment that never came.
  static let zeroText = "0001-01-01T00:00:00Z"

  init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }

  /// Whole seconds since 1970, rounded down.
  var seconds: Int64 {
    let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    return remainder < 0 ? quotient - 1 : quotient
  }

  /// RFC 3339 with nine digits, the trailing zeros removed unless `fixed`.
  func text(fixed: Bool = false) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(30)
    append(to: &bytes, fixed: fixed)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends `text(fixed:)` as bytes, without a string in between (the log reader prints one for each line).
  func append(to bytes: inout [UInt8], fixed: Bool) {
    let seconds = self.seconds
    let fraction = nanoseconds - seconds * 1_000_000_000
    var days = seconds / 86_400
    var rest = seconds % 86_400
    if rest < 0 {
      rest += 86_400
      days -= 1
    }
    let (year, month, day) = Timestamp.date(days: days)
    func digits(_ value: Int64, _ count: Int) {
      var scale: Int64 = 1
      for _ in 1..<count { scale *= 10 }
      var value = value
      while scale > 0 {
        bytes.append(UInt8(48 + value / scale % 10))
        value %= scale
        scale /= 10
      }
    }
    digits(year, 4)
    bytes.append(45)
    digits(month, 2)
    bytes.append(45)
    digits(day, 2)
    bytes.append(84)
    digits(rest / 3600, 2)
    bytes.append(58)
    digits(rest / 60 % 60, 2)
    bytes.append(58)
    digits(rest % 60, 2)
    if fraction != 0 || fixed {
      bytes.append(46)
      digits(fraction, 9)
      if !fixed { while bytes.last == 48 { bytes.removeLast() } }
    }
    bytes.append(90)
  }

  /// Year, month and day of a count of days since 1970 (the proleptic Gregorian calendar, eras of 400 years).
  private static func date(days: Int64) -> (Int64, Int64, Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }

  /// The inverse of `date(days:)`.
  private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let era = (year >= 0 ? year : year - 399) / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// Reads RFC 3339 (`2026-11-24T00:15:57.4733Z`, an offset, or a date alone); nil when it is none.
  init?(rfc3339 text: some StringProtocol) {
    var text = String(text)
    guard let parsed = text.withUTF8({ Timestamp(rfc3339: UnsafeRawBufferPointer($0)) }) else { return nil }
    self = parsed
  }

  /// The same from bytes.
  init?(rfc3339 bytes: UnsafeRawBufferPointer) {
    var index = 0
    func number(_ count: Int) -> Int64? {
      guard index + count <= bytes.count else { return nil }
      var value: Int64 = 0
      for _ in 0..<count {
        let byte = bytes[index]
        guard byte >= 48, byte <= 57 else { return nil }
        value = value * 10 + Int64(byte - 48)
        index += 1
      }
      return value
    }
    func take(_ byte: UInt8) -> Bool {
      guard index < bytes.count, bytes[index] == byte else { return false }
      index += 1
      return true
    }
    guard let year = number(4), take(45), let month = number(2), take(45), let day = number(2),
      (1...12).contains(month), (1...31).contains(day), year >= 1678 || year == 1, year <= 2261
    else { return nil }
    var seconds = Timestamp.days(year: max(year, 1678), month: month, day: day) * 86_400
    var fraction: Int64 = 0
    if index < bytes.count {
      guard take(84) || take(116) || take(32), let hour = number(2), take(58), let minute = number(2), hour < 24,
        minute < 60
      else { return nil }
      seconds += hour * 3600 + minute * 60
      if take(58) {
        guard let second = number(2), second <= 60 else { return nil }
        seconds += second
        if take(46) {
          var scale: Int64 = 100_000_000
          let start = index
          while index < bytes.count, bytes[index] >= 48, bytes[index] <= 57 {
            fraction += Int64(bytes[index] - 48) * scale
            scale /= 10
            index += 1
          }
          guard index > start else { return nil }
        }
      }
      if index < bytes.count, !take(90), !take(122) {
        let sign: Int64
        if take(43) { sign = -1 } else if take(45) { sign = 1 } else { return nil }
        guard let hours = number(2), take(58), let minutes = number(2) else { return nil }
        seconds += sign * (hours * 3600 + minutes * 60)
      }
      guard index == bytes.count else { return nil }
    }
    nanoseconds = seconds * 1_000_000_000 + fraction
  }

  /// What `since` and `until` take: seconds since 1970 with a fraction, RFC 3339, or a length of time before now (`1h30m`).
  init?(argument text: String, now: Timestamp = .now()) {
    if let moment = Timestamp(rfc3339: text) {
      self = moment
      return
    }
    if let moment = Timestamp(secondsText: text) {
      self = moment
      return
    }
    guard let length = Timestamp.duration(text) else { return nil }
    nanoseconds = now.nanoseconds - length
  }

  /// Seconds since 1970 with up to nine digits of a fraction.
  private init?(secondsText text: String) {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = Int64(parts[0]), whole > Int64.min / 1_000_000_000, whole < Int64.max / 1_000_000_000 else {
      return nil
    }
    var fraction: Int64 = 0
    if parts.count == 2 {
      guard parts[1].count <= 9, let digits = UInt32(parts[1].isEmpty ? "0" : parts[1]) else { return nil }
      fraction = Int64(digits)
      for _ in parts[1].count..<9 { fraction *= 10 }
    }
    nanoseconds = whole * 1_000_000_000 + fraction
  }

  /// A Go duration (`1h30m`, `1.5s`, `200ms`) in nanoseconds; nil when it is none.
  static func duration(_ text: String) -> Int64? {
    let units: [(String, Double)] = [
      ("ms", 1e6), ("us", 1e3), ("ns", 1), ("h", 3.6e12), ("m", 6e10), ("s", 1e9),
    ]
    var rest = Substring(text)
    var negative = false
    if rest.first == "-" {
      negative = true
      rest.removeFirst()
    }
    guard !rest.isEmpty else { return nil }
    var total = 0.0
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      guard let value = Double(digits) else { return nil }
      rest = rest.dropFirst(digits.count)
      guard let (unit, scale) = units.first(where: { rest.hasPrefix($0.0) }) else { return nil }
      rest = rest.dropFirst(unit.count)
      total += value * scale
    }
    guard total < 9e18 else { return nil }
    return negative ? -Int64(total) : Int64(total)
  }
}
