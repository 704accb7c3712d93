#if canImport(Glibc)
  import Glibc
#endif

/// Decodes the lines of a json-file. A line that looks like the one before it, but for its text and time, takes the quick way:
/// the text is unescaped straight into the output, eight bytes a step.
struct JSONLineDecoder {
  /// How decoding went on.
  enum Step {
    case consumed(Int)
    /// The line has no end yet.
    case incomplete
    /// Past `until`.
    case past
  }

  /// What stands between a line's text and its time, for one stream: `,"stream":"stdout","time":"`.
  private final class Middle {
    let bytes: [UInt8]
    let stream: UInt8
    let wanted: Bool
    init(_ bytes: [UInt8], stream: UInt8, wanted: Bool) {
      self.bytes = bytes
      self.stream = stream
      self.wanted = wanted
    }
  }

  private let query: LogQuery
  private var writer: LogWriter
  private var line = LogLine()
  private var middles: [Middle] = []
  private let since: [UInt8]
  private let until: [UInt8]
  private let quick: Bool
  private var details: (attributes: [UInt8], text: [UInt8]) = ([], [])

  init(query: LogQuery) {
    self.query = query
    writer = LogWriter(query: query)
    since = query.since.map { Array($0.text(fixed: true).utf8) } ?? []
    until = query.until.map { Array($0.text(fixed: true).utf8) } ?? []
    quick = !query.details
  }

  /// Decodes the line at the start of `bytes`; what the query asks for goes to `output`.
  mutating func next(_ bytes: UnsafeRawBufferPointer, _ output: LogOutput) -> Step {
    if quick, let step = nextQuickly(bytes, output) { return step }
    guard let base = bytes.baseAddress, let newline = memchr(base, 10, bytes.count) else { return .incomplete }
    let length = UnsafeRawPointer(newline) - base
    let whole = UnsafeRawBufferPointer(start: base, count: length)
    guard line.parse(whole) else { return .consumed(length + 1) }
    learn(whole)
    switch query.accepts(stream: line.stream, time: line.time) {
    case .past: return .past
    case .no: break
    case .yes:
      if query.details, line.attributes != details.attributes {
        details = (line.attributes, LogDetails.text(line.attributes))
      }
      line.text.withUnsafeBytes {
        writer.write(
          $0, newline: false, stream: line.stream, time: line.time, details: details.text, to: output)
      }
    }
    return .consumed(length + 1)
  }

  /// Whether the line at the start of `bytes` belongs to the answer; nothing is written.
  mutating func test(_ bytes: UnsafeRawBufferPointer) -> (length: Int, accepted: Bool)? {
    guard let base = bytes.baseAddress, let newline = memchr(base, 10, bytes.count) else { return nil }
    let length = UnsafeRawPointer(newline) - base
    let accepted =
      line.parse(UnsafeRawBufferPointer(start: base, count: length))
      && query.accepts(stream: line.stream, time: line.time) == .yes
    return (length + 1, accepted)
  }

  /// Remembers how lines of this stream look.
  private mutating func learn(_ whole: UnsafeRawBufferPointer) {
    guard let layout = line.layout else { return }
    let stream = line.stream
    middles.removeAll { $0.stream == stream }
    middles.append(
      Middle(
        Array(whole[layout.middle..<layout.time]), stream: stream, wanted: stream == 2 ? query.stderr : query.stdout))
  }

  /// `{"log":"` as a little-endian number.
  private static let prefix: UInt64 = 0x223A_2267_6F6C_227B

  /// The same for a line of known looks; nil for any other.
  private func nextQuickly(_ bytes: UnsafeRawBufferPointer, _ output: LogOutput) -> Step? {
    guard let base = bytes.baseAddress, bytes.count > 8, base.loadUnaligned(as: UInt64.self) == Self.prefix else {
      return nil
    }
    let head = (query.framed ? 8 : 0) + (query.timestamps ? TimeText.length + 1 : 0)
    let start = UnsafeMutableRawPointer(output.end)
    var out = start + head
    guard let text = Self.unescape(base + 8, base + bytes.count, &out) else { return nil }
    for middle in middles {
      let count = middle.bytes.count
      guard base + bytes.count - text >= count + LogLine.timeLength + 3,
        middle.bytes.withUnsafeBytes({ memcmp($0.baseAddress!, text, count) }) == 0  // never empty: holds "time":"
      else { continue }
      let time = text + count
      let tail = time + LogLine.timeLength
      guard tail.load(as: UInt8.self) == 0x22, tail.load(fromByteOffset: 1, as: UInt8.self) == 0x7D,
        tail.load(fromByteOffset: 2, as: UInt8.self) == 10
      else { return nil }
      let consumed = tail + 3 - base
      if !until.isEmpty, memcmp(time, until, TimeText.length) >= 0 { return .past }
      if !middle.wanted || (!since.isEmpty && memcmp(time, since, TimeText.length) < 0) { return .consumed(consumed) }
      var header = start
      if query.framed {
        LogOutput.putFrame(start, stream: middle.stream, length: out - start - 8)
        header += 8
      }
      if query.timestamps {
        memcpy(header, time, TimeText.length)
        header.storeBytes(of: 32, toByteOffset: TimeText.length, as: UInt8.self)
      }
      output.commit(out - start)
      return .consumed(consumed)
    }
    return nil
  }

  /// Unescapes a string's inside into `out`; returns what follows its closing quotation mark. Nil when it has none yet, or
  /// an escape that is left to the parser.
  @inline(__always)
  private static func unescape(
    _ start: UnsafeRawPointer, _ end: UnsafeRawPointer, _ out: inout UnsafeMutableRawPointer
  ) -> UnsafeRawPointer? {
    var from = start
    while true {
      while end - from >= 8 {
        let word = from.loadUnaligned(as: UInt64.self)
        out.storeBytes(of: word, as: UInt64.self)
        let special = marks(word)
        if special != 0 {
          let plain = special.trailingZeroBitCount >> 3
          from += plain
          out += plain
          break
        }
        from += 8
        out += 8
      }
      guard end - from >= 2 else { return nil }
      let byte = from.load(as: UInt8.self)
      if byte == 0x22 { return from + 1 }
      if byte != 0x5C {
        out.storeBytes(of: byte, as: UInt8.self)
        from += 1
        out += 1
        continue
      }
      let plain: UInt8
      switch from.load(fromByteOffset: 1, as: UInt8.self) {
      case 0x6E: plain = 10
      case 0x22: plain = 0x22
      case 0x5C: plain = 0x5C
      case 0x72: plain = 13
      case 0x74: plain = 9
      default: return nil
      }
      out.storeBytes(of: plain, as: UInt8.self)
      from += 2
      out += 1
    }
  }

  /// The high bit of each byte that is a quotation mark or a backslash; exact up to the first.
  @inline(__always)
  private static func marks(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let quote = word ^ (ones &* 0x22)
    let backslash = word ^ (ones &* 0x5C)
    return (((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash)) & 0x8080_8080_8080_8080
  }
}
