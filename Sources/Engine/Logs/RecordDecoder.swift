import LogFormat

/// Decodes `LogRecord`s.
struct RecordDecoder {
  private let query: LogQuery
  private var writer: LogWriter
  /// What `--details` shows for the file that is being read.
  var details: [UInt8] = []

  init(query: LogQuery) {
    self.query = query
    writer = LogWriter(query: query)
  }

  /// How decoding went on.
  enum Step {
    case consumed(Int)
    case incomplete
    case past
    /// Nothing more can be read from this file.
    case damaged
  }

  /// Decodes the record at the start of `bytes`; what the query asks for goes to `output`.
  mutating func next(_ bytes: UnsafeRawBufferPointer, _ output: LogOutput) -> Step {
    switch LogRecord.scan(bytes) {
    case .incomplete: return .incomplete
    case .damaged: return .damaged
    case .record(let record):
      let time = Timestamp(nanoseconds: record.time)
      switch query.accepts(stream: record.stream, time: time) {
      case .past: return .past
      case .no: break
      case .yes:
        writer.write(
          record.text, newline: !record.continues, stream: record.stream == 2 ? 2 : 1, time: time, details: details,
          to: output)
      }
      return .consumed(record.size)
    }
  }

  /// Whether the record at the start of `bytes` belongs to the answer; nothing is written.
  func test(_ bytes: UnsafeRawBufferPointer) -> (length: Int, accepted: Bool)? {
    guard case .record(let record) = LogRecord.scan(bytes) else { return nil }
    let time = Timestamp(nanoseconds: record.time)
    return (record.size, query.accepts(stream: record.stream, time: time) == .yes)
  }
}
