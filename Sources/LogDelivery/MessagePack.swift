/// The parts of MessagePack that the forward protocol needs.
struct MessagePack {
  private(set) var bytes: [UInt8] = []

  mutating func array(_ count: Int) { header(count, small: 0x90, wide: 0xDC) }

  mutating func map(_ count: Int) { header(count, small: 0x80, wide: 0xDE) }

  mutating func string(_ text: String) { string(Array(text.utf8)) }

  /// Text; bytes that are no UTF-8 stay as they are.
  mutating func string(_ text: [UInt8]) {
    switch text.count {
    case ..<32: bytes.append(0xA0 | UInt8(text.count))
    case ..<256: bytes += [0xD9, UInt8(text.count)]
    case ..<65_536: put(0xDA, UInt16(text.count))
    default: put(0xDB, UInt32(text.count))
    }
    bytes += text
  }

  mutating func integer(_ value: Int) {
    if value >= 0, value < 128 { bytes.append(UInt8(value)) } else { put(0xD3, Int64(value)) }
  }

  /// Fluentd's time with nanoseconds, an extension of type 0.
  mutating func eventTime(seconds: Int, nanoseconds: Int) {
    bytes += [0xD7, 0]
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: seconds).bigEndian) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: nanoseconds).bigEndian) { bytes.append(contentsOf: $0) }
  }

  private mutating func header(_ count: Int, small: UInt8, wide: UInt8) {
    if count < 16 { bytes.append(small | UInt8(count)) } else { put(wide, UInt16(count)) }
  }

  private mutating func put<Number: FixedWidthInteger>(_ kind: UInt8, _ value: Number) {
    bytes.append(kind)
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }
}
