internal import Glibc

extension LogRecord {
  /// Finds where the whole records of an open file end: a crash may have left half of one.
  ///
  /// - Returns: the header and the end in bytes; nil when the file does not begin with a whole header.
  public static func wholeEnd(of descriptor: Int32, size: Int) -> (header: Header, end: Int)? {
    guard let header = header(of: descriptor) else { return nil }
    if size == header.size || endsWhole(descriptor, size, after: header.size) { return (header, size) }
    return (header, walk(descriptor, from: header.size, size: size))
  }

  /// Whether the last four bytes name a record that begins with the same size.
  private static func endsWhole(_ descriptor: Int32, _ size: Int, after start: Int) -> Bool {
    guard size >= start + overhead, let last = number(descriptor, at: size - 4),
      last >= overhead, last <= longest, size - last >= start
    else { return false }
    return number(descriptor, at: size - last) == last
  }

  private static func walk(_ descriptor: Int32, from start: Int, size: Int) -> Int {
    var position = start
    while let length = number(descriptor, at: position), length >= overhead, length <= longest,
      position + length <= size, number(descriptor, at: position + length - 4) == length
    { position += length }
    return position
  }

  private static func number(_ descriptor: Int32, at offset: Int) -> Int? {
    var value: UInt32 = 0
    guard pread(descriptor, &value, 4, off_t(offset)) == 4 else { return nil }
    return Int(UInt32(littleEndian: value))
  }
}
