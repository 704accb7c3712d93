import LogFiles
import LogFormat

/// Reads a log's entries in order across its rotated files and hands them out as bytes for a client.
///
/// A pull interface, so that one slow client costs one buffer: `next` fills at most about 128 kB and says how it went.
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

  private let files: LogFiles
  private let query: LogQuery
  private var waiting: [LogFile]
  private var current: LogFile?
  private let window = LogWindow()
  private var lines: JSONLineDecoder
  private var records: RecordDecoder
  /// Nothing more can be read from the current file: it is damaged.
  private var givenUp = false

  /// Opens the log at `path` and finds where to begin.
  init(path: String, query: LogQuery) {
    self.query = query
    files = LogFiles(path: path)
    lines = JSONLineDecoder(query: query)
    records = RecordDecoder(query: query)
    var opened = files.open()
    // Without `follow`, what is written from now on does not belong to the answer.
    if !query.follow, let newest = opened.last { newest.limit = newest.size }
    if let since = query.since {
      // A file that was last changed before that holds nothing of interest.
      while opened.count > 1, let first = opened.first, first.lastChange < since.nanoseconds { opened.removeFirst() }
    }
    if let tail = query.tail {
      let all = query.since == nil && query.until == nil && query.stdout && query.stderr
      opened = all ? LogReader.tail(opened, count: tail) : LogReader.filteredTail(opened, count: tail, query: query)
    }
    waiting = opened
  }

  /// The files that hold the last `count` entries, each set to where they begin.
  private static func tail(_ files: [LogFile], count: Int) -> [LogFile] {
    var left = count
    var chosen: [LogFile] = []
    for file in files.reversed() {
      if left > 0 {
        left -= file.seek(toLast: left)
      } else {
        file.offset = file.size
      }
      chosen.insert(file, at: 0)
      if left == 0 { break }
    }
    return chosen
  }

  /// With a condition on entries, tail counts those that meet it: one pass finds where the last `count` of them begin.
  private static func filteredTail(_ files: [LogFile], count: Int, query: LogQuery) -> [LogFile] {
    var starts: [(file: Int, offset: Int64)] = []
    var first = 0
    for (index, file) in files.enumerated() {
      var scan = EntryScan(file: file, query: query)
      while let (offset, accepted) = scan.next() {
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

  /// Appends the next entries to `output` until it is full.
  mutating func next(into output: LogOutput) -> Progress {
    while !output.isFull {
      let progress: Progress =
        switch current?.content {
        case nil: .caughtUp
        case .lines: decodeLines(output)
        case .records: decodeRecords(output)
        }
      if progress == .ended { return .ended }
      if progress == .caughtUp, !fill() { return .caughtUp }
    }
    return .more
  }

  private mutating func decodeLines(_ output: LogOutput) -> Progress {
    while !output.isFull {
      switch lines.next(window.bytes, output) {
      case .consumed(let count): window.consume(count)
      case .incomplete: return .caughtUp
      case .past: return .ended
      }
    }
    return .more
  }

  private mutating func decodeRecords(_ output: LogOutput) -> Progress {
    while !output.isFull {
      switch records.next(window.bytes, output) {
      case .consumed(let count): window.consume(count)
      case .incomplete: return .caughtUp
      case .past: return .ended
      case .damaged:
        givenUp = true
        return .caughtUp
      }
    }
    return .more
  }

  /// Reads on, into the next file when this one is at its end and has a successor. False at the end of all.
  private mutating func fill() -> Bool {
    while true {
      if current == nil {
        if waiting.isEmpty, query.follow {
          waiting = files.open()  // the log did not exist when this began
        }
        if waiting.isEmpty { return false }
        begin(waiting.removeFirst())
      }
      guard let file = current else { return false }
      if !givenUp, file.content != nil {
        skipHeader(file)
        if window.fill({ readOn(file, into: $0) }) > 0 { return true }
        if file.offset > file.size {
          begin(file)  // it was emptied in place (rotation with one file)
          file.offset = 0
          continue
        }
      }
      if !waiting.isEmpty {
        begin(waiting.removeFirst())
      } else if query.follow, let successor = files.successor(of: file) {
        // The writer may have added to the old file between our read and its rename.
        if !givenUp, file.size > file.offset { continue }
        begin(successor)
      } else {
        return false
      }
    }
  }

  private func readOn(_ file: LogFile, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let count = file.read(into: buffer, at: file.offset)
    file.offset += Int64(count)
    return count
  }

  private mutating func begin(_ file: LogFile) {
    current = file
    givenUp = false
    window.removeAll()
  }

  private mutating func skipHeader(_ file: LogFile) {
    guard case .records(let header) = file.content else { return }
    if file.offset < Int64(header.size) { file.offset = Int64(header.size) }
    if query.details, window.bytes.isEmpty { records.details = LogDetails.text(header.attributes) }
  }
}

/// Walks the whole entries of one file with their offsets, leaving the file's own offset alone.
private struct EntryScan {
  private let file: LogFile
  private var position: Int64 = 0
  private let window = LogWindow()
  private var lines: JSONLineDecoder
  private let records: RecordDecoder

  init(file: LogFile, query: LogQuery) {
    self.file = file
    lines = JSONLineDecoder(query: query)
    records = RecordDecoder(query: query)
    if case .records(let header) = file.content { position = Int64(header.size) }
  }

  mutating func next() -> (offset: Int64, accepted: Bool)? {
    while true {
      let bytes = window.bytes
      let found: (length: Int, accepted: Bool)? =
        switch file.content {
        case nil: nil
        case .lines: lines.test(bytes)
        case .records: records.test(bytes)
        }
      if let found {
        window.consume(found.length)
        return (position - Int64(bytes.count), found.accepted)
      }
      let count = window.fill { file.read(into: $0, at: position) }
      if count == 0 { return nil }
      position += Int64(count)
    }
  }
}
