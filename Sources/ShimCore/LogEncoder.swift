internal import Glibc
internal import LogFormat

/// Turns what a process writes into entries of its log, one pass over the bytes: `LogRecord`s, or the lines of Docker's
/// json-file, `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`.
///
/// - A line without its newline waits for the rest, for 16 kB, or for the end of the stream (`finish`).
/// - A line longer than 16 kB becomes several entries, of which only the last has the newline, as Docker writes them.
/// - Bytes that are not UTF-8 become U+FFFD in JSON; records hold them as they are.
public final class LogEncoder {
  /// The longest piece of one line that one entry holds, in bytes of output of the process (Docker's copier buffer).
  public static let longestPiece = 16384

  /// What `{"log":"…` is followed by on a whole line, and on one that goes on in the next entry, up to the time.
  private let wholeSuffix: [UInt8]
  private let pieceSuffix: [UInt8]
  private static let prefix = Array("{\"log\":\"".utf8)
  private let format: LogFileFormat
  private let stream: UInt8
  /// How many pieces of the line that is being written are in the log already.
  private var pieces: UInt16 = 0

  /// The start of a line whose newline has not come yet; allocated on first use.
  private var pending: UnsafeMutablePointer<UInt8>?
  private var pendingCount = 0

  /// Makes the encoder of one stream, "stdout" or "stderr". `attributes` is the JSON object for the `attrs` of a line, or
  /// empty for none.
  public init(stream: String, format: LogFileFormat = .lines, attributes: String = "") {
    self.format = format
    self.stream = stream == "stderr" ? 2 : 1
    let attrs = attributes.isEmpty ? "" : ",\"attrs\":\(attributes)"
    let tail = "\"" + ",\"stream\":\"\(stream)\"" + attrs + ",\"time\":\""
    wholeSuffix = Array(("\\n" + tail).utf8)
    pieceSuffix = Array(tail.utf8)
  }

  deinit { pending?.deallocate() }

  /// Encodes `bytes`, read at `time`, into `out`, which sends itself to its sink whenever it is full.
  public func append(_ bytes: UnsafeRawBufferPointer, time: LogTime, into out: LogBuffer) {
    guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
    let end = base + bytes.count
    var cursor = base
    while cursor < end {
      if pendingCount > 0 {
        cursor = appendToPending(cursor, end, time, out)
        continue
      }
      let limit = min(end - cursor, Self.longestPiece)
      if case .records = format {
        cursor += appendRecord(cursor, limit, time, out)
        continue
      }
      out.reserveEntry()
      let start = out.count
      out.append(Self.prefix)
      let taken = out.escape(cursor, limit)
      if taken < limit {  // stopped at a newline
        finishEntry(wholeSuffix, time, out)
        cursor += taken + 1
      } else if taken == Self.longestPiece {
        out.count = start
        cursor += emitPiece(cursor, taken, time, out)
      } else {  // the end of what was read: keep the start of the line
        out.count = start
        keep(cursor, taken)
        cursor = end
      }
    }
  }

  /// Encodes what is left of a line without a newline: the stream has ended.
  public func finish(time: LogTime, into out: LogBuffer) {
    guard pendingCount > 0, let pending else { return }
    emit(pending, pendingCount, whole: false, time, out)
    pendingCount = 0
    pieces = 0
  }

  /// Takes one line, a piece of one, or the start of one as a record; returns how many bytes that was.
  private func appendRecord(
    _ cursor: UnsafePointer<UInt8>, _ limit: Int, _ time: LogTime, _ out: LogBuffer
  ) -> Int {
    if let newline = memchr(cursor, 10, limit) {
      let length = UnsafeRawPointer(newline) - UnsafeRawPointer(cursor)
      emit(cursor, length, whole: true, time, out)
      return length + 1
    }
    if limit == Self.longestPiece { return emitPiece(cursor, limit, time, out) }
    keep(cursor, limit)
    return limit
  }

  /// Writes one entry: a whole line or the last piece of one, or a piece that goes on.
  private func emit(_ bytes: UnsafePointer<UInt8>, _ count: Int, whole: Bool, _ time: LogTime, _ out: LogBuffer) {
    out.reserveEntry()
    switch format {
    case .lines:
      out.append(Self.prefix)
      _ = out.escape(bytes, count)
      finishEntry(whole ? wholeSuffix : pieceSuffix, time, out)
    case .records:
      if pieces > 0 || !whole { pieces = pieces == .max ? .max : pieces + 1 }
      out.appendRecord(bytes, count, stream: stream, continues: !whole, part: pieces, time: time)
      if whole { pieces = 0 }
    }
  }

  /// Gives the memory for pending lines back when there is none.
  public func releaseIdleMemory() {
    guard pendingCount == 0 else { return }
    pending?.deallocate()
    pending = nil
  }

  private func appendToPending(
    _ cursor: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ time: LogTime, _ out: LogBuffer
  ) -> UnsafePointer<UInt8> {
    let room = min(end - cursor, Self.longestPiece - pendingCount)
    if let newline = memchr(cursor, 10, room) {
      let length = UnsafeRawPointer(newline) - UnsafeRawPointer(cursor)
      keep(cursor, length)
      if let pending { emit(pending, pendingCount, whole: true, time, out) }
      pendingCount = 0
      return cursor + length + 1
    }
    keep(cursor, room)
    if pendingCount == Self.longestPiece, let pending {
      let used = emitPiece(pending, pendingCount, time, out)
      let rest = pendingCount - used
      memmove(pending, pending + used, rest)
      pendingCount = rest
    }
    return cursor + room
  }

  /// Emits one entry without a newline from the `count` bytes at `bytes`, and returns how many it holds: up to three fewer
  /// than `count`, so that a character is not cut in two.
  private func emitPiece(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ time: LogTime, _ out: LogBuffer) -> Int {
    let used = count - UTF8Scan.incompleteTail(bytes, count)
    emit(bytes, used, whole: false, time, out)
    return used
  }

  private func keep(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard count > 0 else { return }
    let buffer = pending ?? UnsafeMutablePointer<UInt8>.allocate(capacity: Self.longestPiece)
    pending = buffer
    memcpy(buffer + pendingCount, bytes, count)
    pendingCount += count
  }

  private func finishEntry(_ suffix: [UInt8], _ time: LogTime, _ out: LogBuffer) {
    out.append(suffix)
    out.append(time)
    out.append(Self.ending)
  }

  private static let ending = Array("\"}\n".utf8)
}

/// The parts of UTF-8 that the log needs: the length of the character at a place, and of a cut one at the end.
enum UTF8Scan {
  /// The length (2 to 4) of the well-formed multi-byte character at `p` with `left` bytes to come, or 0 if there is none
  /// (Unicode table 3-7).
  @inline(__always)
  static func length(_ p: UnsafePointer<UInt8>, _ left: Int) -> Int {
    let lead = p[0]
    if lead < 0xC2 || lead > 0xF4 || left < 2 { return 0 }
    let second = p[1]
    if lead < 0xE0 { return second & 0xC0 == 0x80 ? 2 : 0 }
    if lead < 0xF0 {
      let low: UInt8 = lead == 0xE0 ? 0xA0 : 0x80
      let high: UInt8 = lead == 0xED ? 0x9F : 0xBF
      return left >= 3 && second >= low && second <= high && p[2] & 0xC0 == 0x80 ? 3 : 0
    }
    let low: UInt8 = lead == 0xF0 ? 0x90 : 0x80
    let high: UInt8 = lead == 0xF4 ? 0x8F : 0xBF
    return left >= 4 && second >= low && second <= high && p[2] & 0xC0 == 0x80 && p[3] & 0xC0 == 0x80 ? 4 : 0
  }

  /// How many bytes (0 to 3) at the end of `count` bytes are the start of a character that goes on after them.
  static func incompleteTail(_ p: UnsafePointer<UInt8>, _ count: Int) -> Int {
    for back in 1...3 where back <= count {
      let byte = p[count - back]
      if byte & 0xC0 == 0x80 { continue }
      let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return needed > back ? back : 0
    }
    return 0
  }
}
