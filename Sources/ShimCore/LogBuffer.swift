internal import Glibc
internal import LogFormat

/// Encoded log entries on their way to the file: one anonymous mapping, whose pages exist only once they were written to,
/// emptied into `sink` whenever the next entry might not fit.
public final class LogBuffer {
  /// Room for the longest entry: 16 kB of control characters at six bytes each, and the fields around them.
  static let longestEntry = LogEncoder.longestPiece * 6 + 8192
  /// The size of the mapping: one write to the file carries up to about 150 kB.
  static let capacity = 262_144

  private let base: UnsafeMutablePointer<UInt8>
  /// How many bytes wait to be written.
  public internal(set) var count = 0
  private var dirtied = 0
  private let sink: (UnsafeRawBufferPointer) -> Void

  /// Maps the buffer; `sink` takes whole entries only, and must take all of them.
  public init(sink: @escaping (UnsafeRawBufferPointer) -> Void) {
    let memory = mmap(nil, Self.capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if let memory, memory != MAP_FAILED {
      base = memory.assumingMemoryBound(to: UInt8.self)
    } else {
      base = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.capacity)
    }
    self.sink = sink
  }

  deinit { munmap(base, Self.capacity) }

  /// Gives everything that waits to the sink.
  public func flush() {
    guard count > 0 else { return }
    dirtied = max(dirtied, count)
    sink(UnsafeRawBufferPointer(start: base, count: count))
    count = 0
  }

  /// Gives the pages that a burst of output dirtied back to the kernel.
  public func releaseIdleMemory() {
    guard count == 0, dirtied > 4096 else { return }
    madvise(base, Self.capacity, MADV_DONTNEED)
    dirtied = 0
  }

  func reserveEntry() {
    if Self.capacity - count < Self.longestEntry { flush() }
  }

  @inline(__always)
  func append(_ bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { source in
      guard let start = source.baseAddress else { return }
      memcpy(base + count, start, source.count)
    }
    count += bytes.count
  }

  /// Appends a record of the compact format.
  func appendRecord(
    _ text: UnsafePointer<UInt8>, _ length: Int, stream: UInt8, continues: Bool, part: UInt16, time: LogTime
  ) {
    let out = UnsafeMutableRawPointer(base + count)
    LogRecord.putPrefix(
      out, textCount: length, stream: stream, continues: continues, part: part, time: time.nanosecondsSince1970)
    memcpy(out + LogRecord.prefixSize, text, length)
    LogRecord.putSuffix(out + LogRecord.prefixSize + length, textCount: length)
    count += length + LogRecord.overhead
  }

  func append(_ time: LogTime) {
    time.write(to: base + count)
    count += LogTime.length
  }

  /// Appends up to `limit` bytes as the inside of a JSON string; stops before a newline. Returns how many bytes it took.
  ///
  /// Eight bytes a step while none of them needs an escape (the exact-zero-byte trick finds the first that does).
  func escape(_ source: UnsafePointer<UInt8>, _ limit: Int) -> Int {
    let raw = UnsafeRawPointer(source)
    var out = base + count
    var index = 0
    defer { count = out - base }
    while index < limit {
      if limit - index >= 8 {
        let word = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        let special = Self.specialBytes(word)
        UnsafeMutableRawPointer(out).storeBytes(of: word, as: UInt64.self)
        if special == 0 {
          out += 8
          index += 8
          continue
        }
        let plain = special.trailingZeroBitCount >> 3
        out += plain
        index += plain
      }
      let byte = source[index]
      if byte == 10 { return index }
      if byte >= 0x20 && byte < 0x80 && byte != 0x22 && byte != 0x5C {
        out.pointee = byte
        out += 1
        index += 1
      } else {
        index += Self.escapeOne(source + index, limit - index, &out)
      }
    }
    return index
  }

  /// The high bit of each byte that is a control character, a quotation mark, a backslash or not ASCII; exact up to the
  /// first such byte.
  @inline(__always)
  private static func specialBytes(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    let quote = word ^ (ones &* 0x22)
    let backslash = word ^ (ones &* 0x5C)
    let control = (word &- ones &* 0x20) & ~word
    let quotes = (quote &- ones) & ~quote
    let backslashes = (backslash &- ones) & ~backslash
    return (control | quotes | backslashes | word) & highs
  }

  private static let hex = Array("0123456789abcdef".utf8)

  /// Escapes the one character at `p`; returns how many bytes of input it is.
  private static func escapeOne(
    _ p: UnsafePointer<UInt8>, _ left: Int, _ out: inout UnsafeMutablePointer<UInt8>
  ) -> Int {
    let byte = p[0]
    if byte >= 0x80 {
      let length = UTF8Scan.length(p, left)
      if length == 0 {
        put("\\ufffd", &out)
        return 1
      }
      // U+2028 and U+2029 end a line in JavaScript: Docker escapes them.
      if byte == 0xE2 && p[1] == 0x80 && p[2] & 0xFE == 0xA8 {
        put(p[2] == 0xA8 ? "\\u2028" : "\\u2029", &out)
        return 3
      }
      for offset in 0..<length { out[offset] = p[offset] }
      out += length
      return length
    }
    switch byte {
    case 0x22: put("\\\"", &out)
    case 0x5C: put("\\\\", &out)
    case 0x0D: put("\\r", &out)
    case 0x09: put("\\t", &out)
    default:
      put("\\u00", &out)
      out[0] = hex[Int(byte >> 4)]
      out[1] = hex[Int(byte & 15)]
      out += 2
    }
    return 1
  }

  @inline(__always)
  private static func put(_ text: StaticString, _ out: inout UnsafeMutablePointer<UInt8>) {
    for offset in 0..<text.utf8CodeUnitCount { out[offset] = text.utf8Start[offset] }
    out += text.utf8CodeUnitCount
  }
}
