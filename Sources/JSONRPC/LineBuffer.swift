public import Faults
public import FoundationEssentials

/// Bytes of a stream, cut into lines; a line over the limit is an error, never more memory.
public struct LineBuffer: Sendable {
  private var bytes: [UInt8] = []
  /// Bytes before this have been handed out.
  private var start = 0
  /// No newline lies between `start` and this.
  private var searched = 0
  private let limit: Int

  /// Nothing yet; `limit` bounds one line.
  public init(limit: Int = WireLimit.line) { self.limit = limit }

  /// Bytes that wait for their newline or to be taken.
  public var count: Int { bytes.count - start }

  /// Adds what was read.
  public mutating func append(_ chunk: UnsafeRawBufferPointer) {
    if start > 0, start == bytes.count || start > 1 << 16 {
      bytes.removeFirst(start)
      searched -= start
      start = 0
      if bytes.isEmpty, bytes.capacity > 1 << 16 { bytes = [] }
    }
    bytes.append(contentsOf: chunk)
  }

  /// The next whole line without its newline; nil when there is none yet. An empty line is passed over.
  ///
  /// - Throws: `.parseError` when a line is longer than the limit: the connection is to be closed.
  public mutating func next() throws(Fault) -> Data? {
    while let newline = bytes[searched...].firstIndex(of: 10) {
      let line = start..<newline
      start = newline + 1
      searched = start
      if line.isEmpty { continue }
      if line.count > limit { throw tooLong }
      return Data(bytes[line])
    }
    searched = bytes.count
    if count > limit { throw tooLong }
    return nil
  }

  private var tooLong: Fault { Fault(.parseError, "a line is longer than \(limit) bytes") }
}
