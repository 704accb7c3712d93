internal import Glibc
public import LogFormat

extension LogFile {
  /// Sets `offset` so that the last `count` whole entries follow; returns how many entries that are when it has fewer.
  public func seek(toLast count: Int) -> Int {
    switch content {
    case .records(let header): seekRecords(count, after: Int64(header.size))
    case .lines: seekLines(count)
    case nil: 0
    }
  }

  private func seekLines(_ lines: Int) -> Int {
    let block = 65_536
    var position = size
    var found = 0
    var atEnd = true
    return withUnsafeTemporaryAllocation(byteCount: block, alignment: 16) { buffer in
      while position > 0 {
        let start = max(0, position - Int64(block))
        let count = read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(position - start)]), at: start)
        guard count > 0 else { break }
        var index = count - 1
        while index >= 0 {
          if buffer[index] == 10 {
            if atEnd {
              atEnd = false  // the newline that ends the last line; a torn one after it is being written
            } else {
              found += 1
              if found == lines {
                offset = start + Int64(index) + 1
                return found
              }
            }
          }
          index -= 1
        }
        position = start
      }
      offset = 0
      return atEnd ? 0 : found + 1
    }
  }

  /// Walks back from size to size. A record that is being written has none at its end yet: then the file is walked from its
  /// start.
  private func seekRecords(_ count: Int, after start: Int64) -> Int {
    let end = min(size, limit)
    var position = end
    var found = 0
    while position > start, found < count {
      guard let length = number(at: position - 4), length >= LogRecord.overhead, position - Int64(length) >= start,
        number(at: position - Int64(length)) == length
      else { return seekForward(count, from: start, to: end) }
      position -= Int64(length)
      found += 1
    }
    offset = position
    return found
  }

  private func seekForward(_ count: Int, from start: Int64, to end: Int64) -> Int {
    var places: [Int64] = []
    var position = start
    while position < end, let length = number(at: position), length >= LogRecord.overhead,
      length <= LogRecord.longest, position + Int64(length) <= end
    {
      places.append(position)
      if places.count > 2 * count + 1024 { places.removeFirst(places.count - count) }
      position += Int64(length)
    }
    offset = places.count > count ? places[places.count - count] : start
    return min(count, places.count)
  }

  private func number(at position: Int64) -> Int? {
    var value: UInt32 = 0
    let count = withUnsafeMutableBytes(of: &value) { read(into: $0, at: position) }
    return count == 4 ? Int(UInt32(littleEndian: value)) : nil
  }
}
