import FoundationEssentials

/// A JSON value that keeps the order of its members: generated code follows the order of the document.
enum JSONText {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSONText])
  case object([(name: String, value: JSONText)])

  /// The member of that name of an object.
  subscript(name: String) -> JSONText? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  var string: String? { if case .string(let text) = self { text } else { nil } }
  var bool: Bool? { if case .bool(let on) = self { on } else { nil } }
  var int: Int? { if case .number(let text) = self { Int(text) } else { nil } }
  var array: [JSONText] { if case .array(let items) = self { items } else { [] } }
  var members: [(name: String, value: JSONText)] { if case .object(let members) = self { members } else { [] } }

  /// The value without white space.
  var compact: String {
    switch self {
    case .null: "null"
    case .bool(let on): on ? "true" : "false"
    case .number(let text): text
    case .string(let text): Self.quote(text)
    case .array(let items): "[" + items.map(\.compact).joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { Self.quote($0.name) + ":" + $0.value.compact }.joined(separator: ",") + "}"
    }
  }

  private static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      default:
        if scalar.value < 0x20 {
          let hex = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}

/// Why a document cannot be used.
struct DocumentError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Reads JSON text; the documents are small and ours, so this is plain recursive descent.
struct JSONReader {
  private let bytes: [UInt8]
  private var at = 0

  /// Reads a whole file.
  static func read(file: String) throws -> JSONText {
    guard let data = try? Data(contentsOf: URL(filePath: file)) else { throw DocumentError("\(file): cannot be read") }
    var reader = JSONReader(bytes: Array(data))
    do {
      let value = try reader.value()
      reader.skipSpace()
      guard reader.at == reader.bytes.count else { throw DocumentError("text after the value") }
      return value
    } catch let error as DocumentError {
      throw DocumentError("\(file): byte \(reader.at): \(error)")
    }
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func skipSpace() {
    while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipSpace()
    guard at < bytes.count, bytes[at] == character.asciiValue else { return false }
    at += 1
    return true
  }

  private mutating func expect(_ character: Character) throws {
    if !take(character) { throw DocumentError("\(character) is missing") }
  }

  private mutating func word(_ word: String) -> Bool {
    guard bytes[at...].starts(with: word.utf8) else { return false }
    at += word.utf8.count
    return true
  }

  private mutating func value() throws -> JSONText {
    skipSpace()
    guard at < bytes.count else { throw DocumentError("the text ends early") }
    switch bytes[at] {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t") where word("true"): return .bool(true)
    case UInt8(ascii: "f") where word("false"): return .bool(false)
    case UInt8(ascii: "n") where word("null"): return .null
    default: return try number()
    }
  }

  private mutating func object() throws -> JSONText {
    try expect("{")
    var members: [(name: String, value: JSONText)] = []
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      let name = try string()
      if members.contains(where: { $0.name == name }) { throw DocumentError("\(name) is there twice") }
      try expect(":")
      members.append((name, try value()))
    } while take(",")
    try expect("}")
    return .object(members)
  }

  private mutating func array() throws -> JSONText {
    try expect("[")
    var items: [JSONText] = []
    if take("]") { return .array(items) }
    repeat { items.append(try value()) } while take(",")
    try expect("]")
    return .array(items)
  }

  private mutating func number() throws -> JSONText {
    let start = at
    while at < bytes.count, "+-.0123456789eE".utf8.contains(bytes[at]) { at += 1 }
    guard at > start else { throw DocumentError("no value") }
    return .number(String(decoding: bytes[start..<at], as: UTF8.self))
  }

  private mutating func string() throws -> String {
    try expect("\"")
    var text: [UInt8] = []
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
      guard byte == UInt8(ascii: "\\"), at < bytes.count else {
        text.append(byte)
        continue
      }
      let escape = bytes[at]
      at += 1
      switch escape {
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "u"):
        guard at + 4 <= bytes.count,
          let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16),
          let scalar = Unicode.Scalar(code)
        else { throw DocumentError("\\u wants four hexadecimal digits of a character") }
        at += 4
        text.append(contentsOf: String(Character(scalar)).utf8)
      default: text.append(escape)
      }
    }
    throw DocumentError("a string does not end")
  }
}
