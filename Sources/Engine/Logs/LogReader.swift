import Faults

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
  /// Only that many lines at the end; nil for all.
  var tail: Int?
  /// Frames of 8 bytes around each line (no terminal).
  var framed = true
}

/// Reads a log's lines in order across its rotated files and hands them out as bytes for a client.
///
/// A pull interface, so that one slow client costs one buffer: `next` fills at most about 64 kB and says how it went.
struct LogReader {
  /// How far a `next` came.
  enum Progress: Equatable {
    /// There is output, and there may be more at once.
    case more
    /// Everything that is written was read.
    case caughtUp
    /// Past `until`: nothing will follow.
    case ended
  }

  /// Longest line that is looked at; the shim splits at 16 kB of output, which is under 100 kB even if all is escaped.
  private static let longestLine = 1 << 20

  private let files: LogFiles
  private let query: LogQuery
  private var waiting: [LogFile]
  private var current: LogFile?
  private var line = LogLine()
  private var buffer: [UInt8] = []
  private var start = 0

  /// Opens the log at `path` and finds where to begin.
  init(path: String, query: LogQuery) {
    self.query = query
    files = LogFiles(path: path)
    var opened = files.open()
    // Without `follow`, what is written from now on does not belong to the answer.
    if !query.follow, let newest = opened.last { newest.limit = newest.size }
    if let since = query.since {
      // A file whose last line is older than that holds nothing of interest.
      while opened.count > 1, let first = opened.first, let last = first.lastTime(), last < since {
        opened.removeFirst()
      }
    }
    if let tail = query.tail, query.since == nil, query.until == nil, query.stdout, query.stderr {
      var left = tail
      var chosen: [LogFile] = []
      for file in opened.reversed() {
        if left > 0 {
          left -= file.seek(toLast: left)
        } else if chosen.isEmpty {
          file.offset = file.size
        } else {
          break
        }
        chosen.insert(file, at: 0)
        if left == 0 { break }
      }
      opened = chosen
    } else if let tail = query.tail {
      opened = LogReader.filteredTail(opened, count: tail, query: query)
    }
    waiting = opened
    buffer.reserveCapacity(131_072)
  }

  /// With a condition on lines, tail counts lines that meet it: one pass finds where the last `count` of them begin.
  private static func filteredTail(_ files: [LogFile], count: Int, query: LogQuery) -> [LogFile] {
    var starts: [(file: Int, offset: Int64)] = []
    var first = 0
    for (index, file) in files.enumerated() {
      var scan = LineScanner(file: file)
      var line = LogLine()
      while let (offset, accepted) = scan.next({ line.parse($0) && accepts(line, query) == .yes }) {
        guard accepted, count > 0 else { continue }
        starts.append((index, offset))
        if starts.count - first > count {
          first += 1
          if first > 4096, first > starts.count / 2 {
            starts.removeFirst(first)
            first = 0
          }
        }
      }
    }
    guard first < starts.count else {
      if let last = files.last { last.offset = last.size }
      return files.suffix(1)
    }
    files[starts[first].file].offset = starts[first].offset
    return Array(files[starts[first].file...])
  }

  fileprivate enum Verdict { case yes, no, past }

  private static func accepts(_ line: LogLine, _ query: LogQuery) -> Verdict {
    if let until = query.until, line.time >= until { return .past }
    if let since = query.since, line.time < since { return .no }
    return (line.stream == 2 ? query.stderr : query.stdout) ? .yes : .no
  }

  /// Appends the next lines to `output` until it holds about 64 kB.
  mutating func next(into output: inout [UInt8]) -> Progress {
    while output.count < 65_536 {
      if let end = newline() {
        let verdict = buffer.withUnsafeBytes { bytes -> Verdict in
          guard line.parse(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) else { return .no }
          return LogReader.accepts(line, query)
        }
        start = end + 1
        if verdict == .past { return .ended }
        if verdict == .yes { emit(into: &output) }
        continue
      }
      if !fill() { return .caughtUp }
    }
    return .more
  }

  /// Index of the newline that ends the line at `start`.
  private func newline() -> Int? {
    buffer.withUnsafeBytes { bytes in
      guard start < bytes.count, let base = bytes.baseAddress,
        let found = memchr(base + start, 10, bytes.count - start)
      else { return nil }
      return UnsafeRawPointer(found) - base
    }
  }

  /// Reads on, into the next file when this one is at its end and has a successor. False at the end of all.
  private mutating func fill() -> Bool {
    if start > 0 {
      buffer.removeFirst(start)
      start = 0
    }
    if buffer.count > LogReader.longestLine { buffer.removeAll(keepingCapacity: true) }
    while true {
      if current == nil {
        if waiting.isEmpty, query.follow {
          waiting = files.open()  // the log did not exist when this began
        }
        if waiting.isEmpty { return false }
        current = waiting.removeFirst()
      }
      guard let file = current else { return false }
      let chunk = 65_536
      let held = buffer.count
      buffer.append(contentsOf: repeatElement(0, count: chunk))
      let count = buffer.withUnsafeMutableBytes {
        file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[held..<(held + chunk)]), at: file.offset)
      }
      buffer.removeLast(chunk - count)
      file.offset += Int64(count)
      if count > 0 { return true }
      if file.offset > file.size {
        file.offset = 0  // it was emptied in place (rotation with one file)
        buffer.removeAll(keepingCapacity: true)
        continue
      }
      if !waiting.isEmpty {
        current = waiting.removeFirst()
      } else if query.follow, let successor = files.successor(of: file.inode) {
        // The writer may have added to the old file between our read and its rename.
        if file.size > file.offset { continue }
        current = successor
      } else {
        return false
      }
      buffer.removeAll(keepingCapacity: true)
    }
  }

  private func emit(into output: inout [UInt8]) {
    let stamp = query.timestamps ? 31 : 0
    if query.framed {
      let length = UInt32(line.text.count + stamp)
      output.append(line.stream)
      output.append(contentsOf: [0, 0, 0])
      output.append(UInt8(length >> 24))
      output.append(UInt8(length >> 16 & 255))
      output.append(UInt8(length >> 8 & 255))
      output.append(UInt8(length & 255))
    }
    if query.timestamps {
      line.time.append(to: &output, fixed: true)
      output.append(32)
    }
    output.append(contentsOf: line.text)
  }
}

/// Walks the whole lines of one file with their offsets, leaving the file's own offset alone.
private struct LineScanner {
  let file: LogFile
  var position: Int64 = 0
  var buffer: [UInt8] = []
  var start = 0

  init(file: LogFile) { self.file = file }

  mutating func next(_ test: (UnsafeRawBufferPointer) -> Bool) -> (offset: Int64, accepted: Bool)? {
    while true {
      let end: Int? = buffer.withUnsafeBytes { bytes in
        guard start < bytes.count, let base = bytes.baseAddress,
          let found = memchr(base + start, 10, bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
      }
      if let end {
        let offset = position - Int64(buffer.count - start)
        let accepted = buffer.withUnsafeBytes { test(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
        start = end + 1
        return (offset, accepted)
      }
      buffer.removeFirst(start)
      start = 0
      let chunk = 65_536
      let held = buffer.count
      buffer.append(contentsOf: repeatElement(0, count: chunk))
      let count = buffer.withUnsafeMutableBytes {
        file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[held..<(held + chunk)]), at: position)
      }
      buffer.removeLast(chunk - count)
      position += Int64(count)
      if count == 0 { return nil }
    }
  }
}
