import FoundationEssentials

#if canImport(Glibc)
  import Glibc
#endif

/// What of a log is asked for.
struct LogQuery: Sendable {
  var stdout = true
  var stderr = true
  /// Go on until the container ends.
  var follow = false
  /// Lines from this moment on.
  var since: Timestamp?
  /// Lines before this moment.
  var until: Timestamp?
  /// Each line begins with its time.
  var timestamps = false
  /// Each line begins with the labels and variables that were chosen for it.
  var details = false
  /// Only that many lines at the end; nil for all.
  var tail: Int?
  /// Frames of 8 bytes around each line (no terminal).
  var framed = true

  /// Whether an entry belongs to the answer.
  enum Verdict { case yes, no, past }

  func accepts(stream: UInt8, time: Timestamp) -> Verdict {
    if let until, time >= until { return .past }
    if let since, time < since { return .no }
    return (stream == 2 ? stderr : stdout) ? .yes : .no
  }
}

/// Writes entries as a query asks: frame, time, details, text.
struct LogWriter {
  let query: LogQuery
  private var clock = TimeText()

  init(query: LogQuery) { self.query = query }

  mutating func write(
    _ text: UnsafeRawBufferPointer, newline: Bool, stream: UInt8, time: Timestamp, details: [UInt8],
    to output: LogOutput
  ) {
    let frame = query.framed ? 8 : 0
    let start = UnsafeMutableRawPointer(output.end)
    var out = start + frame
    if query.timestamps {
      clock.write(time, to: out.assumingMemoryBound(to: UInt8.self))
      out.storeBytes(of: 32, toByteOffset: TimeText.length, as: UInt8.self)
      out += TimeText.length + 1
    }
    if query.details {
      details.withUnsafeBytes { bytes in
        if let from = bytes.baseAddress { memcpy(out, from, bytes.count) }
        out += bytes.count
      }
      out.storeBytes(of: 32, as: UInt8.self)
      out += 1
    }
    if let from = text.baseAddress { memcpy(out, from, text.count) }
    out += text.count
    if newline {
      out.storeBytes(of: 10, as: UInt8.self)
      out += 1
    }
    if query.framed { LogOutput.putFrame(start, stream: stream, length: out - start - frame) }
    output.commit(out - start)
  }
}

/// Times as log entries show them, nine digits; the date is worked out once a second.
struct TimeText {
  static let length = 30
  private var second = Int64.min
  private var prefix: [UInt8] = []

  mutating func write(_ time: Timestamp, to out: UnsafeMutablePointer<UInt8>) {
    let seconds = time.seconds
    if seconds != second {
      second = seconds
      prefix.removeAll(keepingCapacity: true)
      Timestamp(nanoseconds: seconds * 1_000_000_000).append(to: &prefix, fixed: true)
    }
    prefix.withUnsafeBufferPointer { bytes in
      if let from = bytes.baseAddress { memcpy(out, from, min(bytes.count, TimeText.length)) }
    }
    var rest = time.nanoseconds - seconds * 1_000_000_000
    for place in stride(from: 28, through: 20, by: -1) {
      out[place] = UInt8(truncatingIfNeeded: 48 + rest % 10)
      rest /= 10
    }
  }
}

/// Labels, variables and the tag as `--details` shows them: `NAME=VALUE,…`, in order, escaped as in the query of a URL.
enum LogDetails {
  /// The text for a JSON object of strings; empty when it is none.
  static func text(_ json: [UInt8]) -> [UInt8] {
    guard !json.isEmpty, let members = try? JSONDecoder().decode([String: String].self, from: Data(json)) else {
      return []
    }
    let text = members.sorted { $0.key < $1.key }.map { "\(escape($0.key))=\(escape($0.value))" }.joined(separator: ",")
    return Array(text.utf8.prefix(LogOutput.longestDetails))
  }

  private static func escape(_ text: String) -> String {
    var escaped = ""
    for byte in text.utf8 {
      switch byte {
      case 48...57, 65...90, 97...122, 45, 46, 95, 126: escaped.unicodeScalars.append(Unicode.Scalar(byte))
      case 32: escaped += "+"
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        escaped += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
      }
    }
    return escaped
  }
}
