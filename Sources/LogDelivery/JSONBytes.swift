/// JSON written straight into bytes.
struct JSONBytes {
  private(set) var bytes: [UInt8] = []
  private var needsComma = false

  /// An object of strings, in order of their names.
  static func object(_ members: [String: String]) -> JSONBytes {
    var json = JSONBytes()
    json.object { json in
      for (name, value) in members.sorted(by: { $0.key < $1.key }) { json.member(name, value) }
    }
    return json
  }

  mutating func object(_ body: (inout JSONBytes) -> Void) { enclosed(0x7B, 0x7D, body) }

  mutating func array(_ body: (inout JSONBytes) -> Void) { enclosed(0x5B, 0x5D, body) }

  private mutating func enclosed(_ open: UInt8, _ close: UInt8, _ body: (inout JSONBytes) -> Void) {
    separate()
    bytes.append(open)
    needsComma = false
    body(&self)
    bytes.append(close)
    needsComma = true
  }

  mutating func name(_ name: String) {
    separate()
    quote(name)
    bytes.append(0x3A)
    needsComma = false
  }

  mutating func member(_ name: String, _ value: String) {
    self.name(name)
    string(value)
  }

  /// A member whose value is JSON already.
  mutating func member(_ name: String, json: String) {
    self.name(name)
    raw(json)
  }

  mutating func string(_ value: String) {
    separate()
    quote(value)
    needsComma = true
  }

  /// JSON as it is.
  mutating func raw(_ json: String) {
    separate()
    bytes.append(contentsOf: json.utf8)
    needsComma = true
  }

  mutating func raw(_ json: JSONBytes) {
    separate()
    bytes += json.bytes
    needsComma = true
  }

  private mutating func separate() { if needsComma { bytes.append(0x2C) } }

  private mutating func quote(_ text: String) {
    bytes.append(0x22)
    for byte in text.utf8 {
      switch byte {
      case 0x22, 0x5C:
        bytes.append(0x5C)
        bytes.append(byte)
      case 0x0A: bytes += [0x5C, 0x6E]
      case 0x0D: bytes += [0x5C, 0x72]
      case 0x09: bytes += [0x5C, 0x74]
      case ..<0x20:
        bytes += Array("\\u00".utf8)
        bytes += Array((byte < 16 ? "0" : "").utf8) + Array(String(byte, radix: 16).utf8)
      default: bytes.append(byte)
      }
    }
    bytes.append(0x22)
  }
}
