internal import Glibc
internal import LogFormat

/// How a log file's entries look: what the file needs to know of them to rotate between two, and to mend a torn one.
public enum LogFileFormat: Sendable {
  /// Docker's json-file: one JSON object a line.
  case lines
  /// `LogRecord`: compact records behind a header.
  case records

  /// Where the first entry that reaches `from` ends; `bytes` are whole entries.
  func entryEnd(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    switch self {
    case .lines:
      guard from < bytes.count, let newline = memchr(base + from, 10, bytes.count - from) else { return bytes.count }
      return UnsafeRawPointer(newline) - base + 1
    case .records:
      var end = 0
      while end <= from, end < bytes.count {
        guard case .record(let view) = LogRecord.scan(UnsafeRawBufferPointer(rebasing: bytes[end...])) else { break }
        end += view.size
      }
      return end == 0 ? bytes.count : end
    }
  }

  /// How many bytes of the first `count` are whole entries.
  func wholePrefix(_ bytes: UnsafeRawBufferPointer, of count: Int) -> Int {
    switch self {
    case .lines:
      var whole = count
      while whole > 0 && bytes[whole - 1] != 10 { whole -= 1 }
      return whole
    case .records:
      var whole = 0
      while case .record(let view) = LogRecord.scan(UnsafeRawBufferPointer(rebasing: bytes[whole..<count])) {
        whole += view.size
      }
      return whole
    }
  }

  /// How many entries `bytes` hold.
  func entries(_ bytes: UnsafeRawBufferPointer) -> Int {
    switch self {
    case .lines: return bytes.reduce(into: 0) { count, byte in if byte == 10 { count += 1 } }
    case .records:
      var (count, start) = (0, 0)
      while case .record(let view) = LogRecord.scan(UnsafeRawBufferPointer(rebasing: bytes[start...])) {
        start += view.size
        count += 1
      }
      return count
    }
  }

  /// An entry of ours on standard error; `text` needs no escaping.
  func notice(_ text: String, attributes: String) -> [UInt8] {
    let time = LogTime.now()
    switch self {
    case .lines:
      let attrs = attributes.isEmpty ? "" : ",\"attrs\":\(attributes)"
      return Array("{\"log\":\"\(text)\\n\",\"stream\":\"stderr\"\(attrs),\"time\":\"\(time.text)\"}\n".utf8)
    case .records: return LogRecord.bytes(Array(text.utf8), stream: 2, time: time.nanosecondsSince1970)
    }
  }
}
