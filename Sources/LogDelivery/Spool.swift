internal import Glibc
internal import LogFiles
internal import LogFormat

/// The kept files of a log as a queue: entries from a position on, across rotations.
struct Spool {
  private let files: LogFiles
  private var current: LogFile?
  private var base: UInt64 = 0
  private let window: UnsafeMutableRawBufferPointer
  private var start = 0
  private var filled = 0
  /// Where the next entry that `next` returns begins.
  private(set) var position: UInt64

  /// A queue that begins at `position` of the log at `path`. `open` is its newest file, for a log that is taken away
  /// meanwhile; it is closed here.
  init(path: String, open newest: Int32, position: UInt64) {
    files = LogFiles(path: path)
    window = .allocate(byteCount: LogRecord.longest * 4, alignment: 64)
    self.position = position
    let opened = files.open()
    let inherited = LogFile(descriptor: newest, path: path)
    seek(in: opened.isEmpty ? [inherited].compactMap { $0 } : opened)
  }

  /// Bytes that were written and not yet returned.
  var waiting: UInt64 { end > position ? end - position : 0 }

  /// The place after the newest entry.
  var end: UInt64 {
    guard let newest = files.open().last ?? current, case .records(let header) = newest.content else { return position }
    return header.base + UInt64(newest.size)
  }

  /// Finds the file that holds `position`; what was rotated away is passed over, a position that never was is forgotten.
  private mutating func seek(in opened: [LogFile]) {
    var bases: [(file: LogFile, base: UInt64)] = []
    for file in opened { if case .records(let header) = file.content { bases.append((file, header.base)) } }
    guard let last = bases.last, let first = bases.first else {
      current = opened.last
      return
    }
    if position > last.base + UInt64(last.file.size) { position = first.base }
    let chosen = bases.last { $0.base <= position } ?? first
    position = max(position, chosen.base)
    enter(chosen.file, at: position)
  }

  private mutating func enter(_ file: LogFile, at place: UInt64? = nil) {
    current = file
    start = 0
    filled = 0
    guard case .records(let header) = file.content else { return }
    base = header.base
    file.offset = max(Int64(header.size), Int64((place ?? base) - base))
    position = base + UInt64(file.offset)
  }

  /// The next entries, at most as many as `batch` says. Empty at the end of all.
  mutating func next(_ batch: (events: Int, bytes: Int)) -> [LogEvent] {
    var events: [LogEvent] = []
    var bytes = 0
    while events.count < batch.events, bytes < batch.bytes {
      guard let event = nextEvent() else { break }
      bytes += event.text.count + LogRecord.overhead
      events.append(event)
    }
    return events
  }

  private mutating func nextEvent() -> LogEvent? {
    while true {
      let bytes = UnsafeRawBufferPointer(rebasing: window[start..<filled])
      switch LogRecord.scan(bytes) {
      case .record(let record):
        start += record.size
        position += UInt64(record.size)
        return LogEvent(
          text: Array(record.text), stream: record.stream, time: record.time, continues: record.continues,
          part: record.part)
      case .incomplete: if !fill() { return nil }
      case .damaged: if !goOn() { return nil }
      }
    }
  }

  /// Reads on; false at the end of all.
  private mutating func fill() -> Bool {
    guard let file = current else { return reopen() }
    guard case .records(let header) = file.content else { return goOn() }
    if file.offset < Int64(header.size) { enter(file) }
    if start > 0, let from = window.baseAddress {
      memmove(from, from + start, filled - start)
      filled -= start
      start = 0
    }
    let count = file.read(into: UnsafeMutableRawBufferPointer(rebasing: window[filled...]), at: file.offset)
    file.offset += Int64(count)
    filled += count
    return count > 0 || goOn()
  }

  /// Enters the next file, if this one has a successor and nothing more to read.
  private mutating func goOn() -> Bool {
    guard let file = current else { return reopen() }
    guard let successor = files.successor(of: file) else { return false }
    if file.size > file.offset,
      case .incomplete = LogRecord.scan(UnsafeRawBufferPointer(rebasing: window[start..<filled]))
    {
      return true  // it grew between our read and its rename
    }
    enter(successor)
    return true
  }

  private mutating func reopen() -> Bool {
    let opened = files.open()
    guard !opened.isEmpty else { return false }
    seek(in: opened)
    return current != nil
  }

  /// Passes over entries until no more than `most` bytes wait. Returns how many that were, and their bytes.
  mutating func skip(leaving most: UInt64) -> (entries: Int, bytes: Int) {
    let target = end
    var skipped = (entries: 0, bytes: 0)
    while target > position, target - position > most, let event = nextEvent() {
      skipped.entries += 1
      skipped.bytes += event.text.count
    }
    return skipped
  }
}
