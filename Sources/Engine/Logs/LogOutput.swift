#if canImport(Glibc)
  import Glibc
#endif

/// Bytes for a client of a log, filled by a reader up to `target` and then sent. Its pages exist only as far as they were used.
final class LogOutput {
  /// A reader stops when it holds that much.
  static let target = 128 << 10
  /// Room for one more entry on top: the longest that a reader looks at, and what is written around it.
  private static let capacity = target + LogWindow.longest + (1 << 19)
  /// What is put before an entry's text is no longer than that.
  static let longestDetails = 1 << 18

  let base = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
  private(set) var count = 0

  deinit { base.deallocate() }

  /// Where the next byte goes.
  var end: UnsafeMutablePointer<UInt8> { base + count }

  /// Whether it holds enough to be sent.
  var isFull: Bool { count >= LogOutput.target }

  /// The bytes so far.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// Takes `more` bytes that were written at `end`.
  func commit(_ more: Int) { count += more }

  func removeAll() { count = 0 }

  func append(_ bytes: UnsafeRawBufferPointer) {
    guard let from = bytes.baseAddress else { return }
    memcpy(end, from, bytes.count)
    count += bytes.count
  }

  /// Docker's frame before a payload: the stream, three zeros, the length.
  @inline(__always)
  static func putFrame(_ out: UnsafeMutableRawPointer, stream: UInt8, length: Int) {
    out.storeBytes(of: UInt32(stream).littleEndian, as: UInt32.self)
    out.storeBytes(of: UInt32(truncatingIfNeeded: length).bigEndian, toByteOffset: 4, as: UInt32.self)
  }
}

/// What was read of a file and not yet decoded.
final class LogWindow {
  /// No entry is longer: the shim splits at 16 kB of output, which is under 100 kB even if all is escaped.
  static let longest = 1 << 20
  private static let chunk = 256 << 10

  private let base = UnsafeMutableRawPointer.allocate(byteCount: longest + chunk, alignment: 64)
  private var start = 0
  private var filled = 0

  deinit { base.deallocate() }

  /// The bytes that wait.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + start, count: filled - start) }

  func consume(_ count: Int) { start += count }

  func removeAll() {
    start = 0
    filled = 0
  }

  /// Reads on; the number of bytes that `read` gave, 0 at the end. An entry beyond the longest is given up.
  func fill(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    if start > 0 {
      memmove(base, base + start, filled - start)
      filled -= start
      start = 0
    }
    if filled >= LogWindow.longest { filled = 0 }
    let count = read(UnsafeMutableRawBufferPointer(start: base + filled, count: LogWindow.chunk))
    filled += count
    return count
  }
}
