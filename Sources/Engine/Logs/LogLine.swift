#if canImport(Glibc)
  import Glibc
#endif

/// One line of a json-file log: `{"log":"text\n","stream":"stdout","time":"2026-11-24T00:15:57.473371003Z"}`.
///
/// `text` holds the unescaped bytes and is reused from line to line, so that reading a log allocates nothing per line.
struct LogLine {
  /// What the container wrote, with its newline unless the line was split.
  var text: [UInt8] = []
  /// 1 stdout, 2 stderr.
  var stream: UInt8 = 1
  /// When the shim read it.
  var time = Timestamp(nanoseconds: 0)
  /// `attrs` as they are written; empty for none.
  var attributes: [UInt8] = []
  /// Where in the line the text's closing quotation mark is followed by other members, and where the time begins.
  private(set) var layout: (middle: Int, time: Int)?

  /// Reads one line (without its newline) into self; false when it is no such object, so that a torn line is skipped.
  mutating func parse(_ line: UnsafeRawBufferPointer) -> Bool {
    text.removeAll(keepingCapacity: true)
    stream = 1
    time = Timestamp(nanoseconds: 0)
    attributes.removeAll(keepingCapacity: true)
    layout = nil
    var cursor = Cursor(bytes: line)
    var sawText = false
    var (middle, timeStart) = (0, 0)
    guard cursor.take(123) else { return false }
    if cursor.take(125) { return false }
    repeat {
      guard let key = cursor.plainString(), cursor.take(58) else { return false }
      if Cursor.equal(key, "log") {
        guard cursor.string(into: &text) else { return false }
        sawText = true
        middle = cursor.index
      } else if Cursor.equal(key, "stream") {
        guard let value = cursor.plainString() else { return false }
        stream = Cursor.equal(value, "stderr") ? 2 : 1
      } else if Cursor.equal(key, "time") {
        guard let value = cursor.plainString(), let moment = Timestamp(rfc3339: value) else { return false }
        time = moment
        timeStart = value.count == LogLine.timeLength ? cursor.index - value.count - 1 : 0
      } else if Cursor.equal(key, "attrs") {
        let start = cursor.index
        guard cursor.skipValue() else { return false }
        attributes.append(contentsOf: line[start..<cursor.index])
      } else if !cursor.skipValue() {
        return false
      }
    } while cursor.take(44)
    guard cursor.take(125), sawText else { return false }
    if middle > 0, timeStart > middle, timeStart + LogLine.timeLength + 2 == line.count { layout = (middle, timeStart) }
    return true
  }

  /// The length of a time as the shim writes it.
  static let timeLength = 30
}

/// A position in one JSON object of known shape.
private struct Cursor {
  let bytes: UnsafeRawBufferPointer
  var index = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  static func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    guard bytes.count == text.utf8CodeUnitCount, let base = bytes.baseAddress else { return false }
    return memcmp(base, text.utf8Start, bytes.count) == 0
  }

  mutating func take(_ byte: UInt8) -> Bool {
    while index < bytes.count, bytes[index] == 32 || bytes[index] == 9 { index += 1 }
    guard index < bytes.count, bytes[index] == byte else { return false }
    index += 1
    return true
  }

  /// The bytes of a string that holds no escape.
  mutating func plainString() -> UnsafeRawBufferPointer? {
    guard take(34), let base = bytes.baseAddress else { return nil }
    guard let end = memchr(base + index, 34, bytes.count - index) else { return nil }
    let length = (base + index).distance(to: UnsafeRawPointer(end))
    let value = UnsafeRawBufferPointer(start: base + index, count: length)
    index += length + 1
    return value.isEmpty ? UnsafeRawBufferPointer(start: base, count: 0) : value
  }

  /// Unescapes a string into `target`.
  mutating func string(into target: inout [UInt8]) -> Bool {
    guard take(34), let base = bytes.baseAddress else { return false }
    while index < bytes.count {
      var end = index
      while end < bytes.count, bytes[end] != 34, bytes[end] != 92 { end += 1 }
      if end > index {
        target.append(contentsOf: UnsafeRawBufferPointer(start: base + index, count: end - index))
        index = end
      }
      guard index < bytes.count else { return false }
      index += 1
      if bytes[index - 1] == 34 { return true }
      guard index < bytes.count else { return false }
      let escape = bytes[index]
      index += 1
      switch escape {
      case 110: target.append(10)
      case 114: target.append(13)
      case 116: target.append(9)
      case 98: target.append(8)
      case 102: target.append(12)
      case 34, 47, 92: target.append(escape)
      case 117:
        guard var scalar = hex() else { return false }
        if scalar >= 0xD800, scalar < 0xDC00, index + 6 <= bytes.count, bytes[index] == 92, bytes[index + 1] == 117 {
          index += 2
          guard let low = hex() else { return false }
          scalar = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((scalar - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD
        }
        target.append(contentsOf: Array(String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8))
      default: return false
      }
    }
    return false
  }

  private mutating func hex() -> UInt32? {
    guard index + 4 <= bytes.count else { return nil }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = bytes[index]
      index += 1
      switch byte {
      case 48...57: value = value << 4 | UInt32(byte - 48)
      case 65...70: value = value << 4 | UInt32(byte - 55)
      case 97...102: value = value << 4 | UInt32(byte - 87)
      default: return nil
      }
    }
    return value
  }

  /// Passes over a value of a key that is not ours (`attrs`).
  mutating func skipValue() -> Bool {
    var depth = 0
    var ignored: [UInt8] = []
    while index < bytes.count {
      switch bytes[index] {
      case 34:
        ignored.removeAll(keepingCapacity: true)
        guard string(into: &ignored) else { return false }
        if depth == 0 { return true }
        continue
      case 123, 91: depth += 1
      case 125, 93:
        if depth == 0 { return true }
        depth -= 1
        index += 1
        if depth == 0 { return true }
        continue
      case 44 where depth == 0: return true
      default: break
      }
      index += 1
    }
    return false
  }
}
