internal import Glibc

/// The compact log format, which the `local` driver keeps and every delivery reads: sizes at both ends of a record, so that
/// it can be walked from either side, and no text to escape.
///
/// ```
/// file    header record*
/// header  8  "GANTRYL1"
///         8  base: how many bytes all files before this one held
///         4  length of the attributes
///         4  zero
///         n  the attributes, a JSON object of strings, or nothing
/// record  4  size of the whole record
///         1  stream: 1 standard output, 2 standard error
///         1  flags: 1 the line goes on in the next record
///         2  part: 0 a whole line, else the how-manieth piece of a long line, from 1
///         8  time: nanoseconds since 1970
///         n  text, without the newline
///         4  size of the whole record again
/// ```
///
/// Numbers are little-endian. `base` and a place in the file make a position that rotation does not change.
public enum LogRecord {
  /// What a file begins with.
  public static let magic = Array("GANTRYL1".utf8)
  /// Bytes of a header without its attributes.
  public static let headerSize = 24
  /// Bytes of a record before its text.
  public static let prefixSize = 16
  /// Bytes of a record besides its text.
  public static let overhead = 20
  /// No record is longer: a piece of a line has 16 kB, a notice of ours less.
  public static let longest = 65_536
  /// The longest attributes that a reader takes.
  public static let longestAttributes = 1 << 20
  /// The flag of a line that goes on.
  public static let continues: UInt8 = 1

  /// The header of a file that follows `base` bytes.
  public static func header(base: UInt64, attributes: [UInt8]) -> [UInt8] {
    var bytes = magic
    withUnsafeBytes(of: base.littleEndian) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: UInt32(attributes.count).littleEndian) { bytes.append(contentsOf: $0) }
    bytes += [0, 0, 0, 0]
    return bytes + attributes
  }

  /// Writes what comes before the text; returns how many bytes that is.
  @inline(__always)
  public static func putPrefix(
    _ out: UnsafeMutableRawPointer, textCount: Int, stream: UInt8, continues: Bool, part: UInt16, time: Int64
  ) {
    out.storeBytes(of: UInt32(textCount + overhead).littleEndian, as: UInt32.self)
    out.storeBytes(of: stream, toByteOffset: 4, as: UInt8.self)
    out.storeBytes(of: continues ? Self.continues : 0, toByteOffset: 5, as: UInt8.self)
    out.storeBytes(of: part.littleEndian, toByteOffset: 6, as: UInt16.self)
    out.storeBytes(of: time.littleEndian, toByteOffset: 8, as: Int64.self)
  }

  /// Writes what comes after the text.
  @inline(__always)
  public static func putSuffix(_ out: UnsafeMutableRawPointer, textCount: Int) {
    out.storeBytes(of: UInt32(textCount + overhead).littleEndian, as: UInt32.self)
  }

  /// One record as bytes.
  public static func bytes(_ text: [UInt8], stream: UInt8, time: Int64) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: text.count + overhead) { buffer, count in
      guard let out = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
      putPrefix(out, textCount: text.count, stream: stream, continues: false, part: 0, time: time)
      text.withUnsafeBytes { if let from = $0.baseAddress { memcpy(out + prefixSize, from, $0.count) } }
      putSuffix(out + prefixSize + text.count, textCount: text.count)
      count = text.count + overhead
    }
  }

  /// What a record holds; `text` points into the bytes that were read.
  public struct View {
    /// The whole record's size.
    public var size: Int
    /// 1 or 2.
    public var stream: UInt8
    /// Whether the line goes on in the next record.
    public var continues: Bool
    /// 0 for a whole line.
    public var part: UInt16
    /// Nanoseconds since 1970.
    public var time: Int64
    /// Without newline.
    public var text: UnsafeRawBufferPointer
  }

  /// What comes next in a file.
  public enum Scan {
    case record(View)
    /// The record is not whole yet.
    case incomplete
    /// This is no record: the file is damaged from here on.
    case damaged
  }

  /// The record at the start of `bytes`.
  @inline(__always)
  public static func scan(_ bytes: UnsafeRawBufferPointer) -> Scan {
    guard bytes.count >= overhead, let base = bytes.baseAddress else { return .incomplete }
    let size = Int(UInt32(littleEndian: base.loadUnaligned(as: UInt32.self)))
    guard size >= overhead, size <= longest else { return .damaged }
    guard size <= bytes.count else { return .incomplete }
    guard Int(UInt32(littleEndian: base.loadUnaligned(fromByteOffset: size - 4, as: UInt32.self))) == size else {
      return .damaged
    }
    return .record(
      View(
        size: size, stream: base.load(fromByteOffset: 4, as: UInt8.self),
        continues: base.load(fromByteOffset: 5, as: UInt8.self) & continues != 0,
        part: UInt16(littleEndian: base.loadUnaligned(fromByteOffset: 6, as: UInt16.self)),
        time: Int64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: Int64.self)),
        text: UnsafeRawBufferPointer(start: base + prefixSize, count: size - overhead)))
  }

  /// A file's header.
  public struct Header: Equatable {
    /// How many bytes all files before this one held.
    public var base: UInt64
    /// A JSON object, or nothing.
    public var attributes: [UInt8]
    /// Where the first record begins.
    public var size: Int { headerSize + attributes.count }
  }

  /// The header of an open file; nil when it has none.
  public static func header(of descriptor: Int32) -> Header? {
    withUnsafeTemporaryAllocation(byteCount: headerSize, alignment: 8) { buffer -> Header? in
      guard let base = buffer.baseAddress, pread(descriptor, base, headerSize, 0) == headerSize,
        magic.withUnsafeBytes({ memcmp($0.baseAddress!, base, magic.count) }) == 0  // not empty: has a base address
      else { return nil }
      let count = Int(UInt32(littleEndian: base.load(fromByteOffset: 16, as: UInt32.self)))
      guard count <= longestAttributes else { return nil }
      let attributes = [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
        filled = max(0, pread(descriptor, bytes.baseAddress, count, off_t(headerSize)))
      }
      guard attributes.count == count else { return nil }
      return Header(base: UInt64(littleEndian: base.load(fromByteOffset: 8, as: UInt64.self)), attributes: attributes)
    }
  }
}
