/// Decodes JSON without JSONDecoder, for the few files that every start reads.
///
/// JSONDecoder asks the runtime several times for each type whether it conforms to protocols of its own, and in a fresh
/// process each "no" walks all conformances of the executable: milliseconds for a container's description. This one asks
/// nothing. It takes plain JSON only; on any surprise it throws, and the caller lets JSONDecoder say what is wrong.
package struct QuickDecoder {
  /// The input is not what this decoder takes.
  package struct Surprise: Error {}

  /// One value of the text.
  enum Node {
    case null
    case bool(Bool)
    case int(Int64)
    /// Above `Int64.max`: "no limit" is written so.
    case unsigned(UInt64)
    case double(Double)
    case string(String)
    case array([Node])
    case object([String: Node])
  }

  /// The value that `bytes` holds.
  package static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
    try decode(type, from: bytes, leavingOut: []).value
  }

  /// The value that `bytes` holds without the member at the path `left`, and where in `bytes` that member's value is: for
  /// a large part that is seldom needed. Both its absence and an empty path give nil.
  package static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: [UInt8], leavingOut left: [String]
  ) throws -> (value: Value, left: Range<Int>?) {
    let (node, range) = try bytes.withUnsafeBufferPointer { buffer in
      var reader = QuickReader(buffer, leavingOut: left)
      return (try reader.document(), reader.left)
    }
    return (try Value(from: NodeDecoder(node: node)), range)
  }
}

/// Reads the text into nodes.
private struct QuickReader {
  typealias Node = QuickDecoder.Node
  private let bytes: UnsafeBufferPointer<UInt8>
  private var at = 0
  /// The members to go through before the one to leave out, which is the last.
  private let path: [String]
  /// How many of `path` the present object is below.
  private var matched = 0
  private(set) var left: Range<Int>?

  init(_ bytes: UnsafeBufferPointer<UInt8>, leavingOut path: [String]) {
    self.bytes = bytes
    self.path = path
  }

  mutating func document() throws -> Node {
    let node = try value(depth: 0)
    skipSpace()
    guard at == bytes.count else { throw QuickDecoder.Surprise() }
    return node
  }

  private mutating func value(depth: Int) throws -> Node {
    skipSpace()
    guard at < bytes.count, depth < 64 else { throw QuickDecoder.Surprise() }
    switch bytes[at] {
    case UInt8(ascii: "{"): return try object(depth)
    case UInt8(ascii: "["): return try array(depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func object(_ depth: Int) throws -> Node {
    var members: [String: Node] = [:]
    at += 1
    if next(UInt8(ascii: "}")) { return .object(members) }
    while true {
      skipSpace()
      let name = try string()
      guard next(UInt8(ascii: ":")) else { throw QuickDecoder.Surprise() }
      let isOnPath = matched == depth && depth < path.count && name == path[depth]
      if isOnPath && depth == path.count - 1 {
        guard left == nil else { throw QuickDecoder.Surprise() }
        skipSpace()
        let start = at
        try skipValue(depth: depth + 1)
        left = start..<at
      } else {
        if isOnPath { matched += 1 }
        let value = try value(depth: depth + 1)
        if isOnPath { matched -= 1 }
        guard members.updateValue(value, forKey: name) == nil else { throw QuickDecoder.Surprise() }
      }
      if next(UInt8(ascii: ",")) { continue }
      guard next(UInt8(ascii: "}")) else { throw QuickDecoder.Surprise() }
      return .object(members)
    }
  }

  /// Goes over a value whose content is looked at later: strings and brackets must be balanced.
  private mutating func skipValue(depth: Int) throws {
    var open = 0
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") { at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1 }
        at += 1
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        open += 1
        at += 1
        guard open + depth < 64 else { throw QuickDecoder.Surprise() }
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        if open == 0 { return }
        open -= 1
        at += 1
      case UInt8(ascii: ",") where open == 0: return
      default: at += 1
      }
      if open == 0, at <= bytes.count, at > 0, bytes[at - 1] == UInt8(ascii: "}") || bytes[at - 1] == UInt8(ascii: "]")
      {
        return
      }
    }
    throw QuickDecoder.Surprise()
  }

  private mutating func array(_ depth: Int) throws -> Node {
    var items: [Node] = []
    at += 1
    if next(UInt8(ascii: "]")) { return .array(items) }
    while true {
      items.append(try value(depth: depth + 1))
      if next(UInt8(ascii: ",")) { continue }
      guard next(UInt8(ascii: "]")) else { throw QuickDecoder.Surprise() }
      return .array(items)
    }
  }

  private mutating func string() throws -> String {
    guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw QuickDecoder.Surprise() }
    at += 1
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
      at += 1
    }
    guard at < bytes.count else { throw QuickDecoder.Surprise() }
    var text = bytes[start..<at]
    if bytes[at] == UInt8(ascii: "\"") {
      at += 1
      guard let string = String(validating: text, as: UTF8.self) else { throw QuickDecoder.Surprise() }
      return string
    }
    var unescaped: [UInt8] = []
    while at < bytes.count {
      unescaped += text
      let byte = bytes[at]
      at += 1
      if byte == UInt8(ascii: "\"") {
        guard let string = String(validating: unescaped, as: UTF8.self) else { throw QuickDecoder.Surprise() }
        return string
      }
      guard byte == UInt8(ascii: "\\") else { throw QuickDecoder.Surprise() }
      unescaped += try escape()
      let from = at
      while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
        at += 1
      }
      text = bytes[from..<at]
    }
    throw QuickDecoder.Surprise()
  }

  private mutating func escape() throws -> [UInt8] {
    guard at < bytes.count else { throw QuickDecoder.Surprise() }
    let byte = bytes[at]
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "n"): return [10]
    case UInt8(ascii: "t"): return [9]
    case UInt8(ascii: "r"): return [13]
    case UInt8(ascii: "b"): return [8]
    case UInt8(ascii: "f"): return [12]
    case UInt8(ascii: "u"):
      guard at + 4 <= bytes.count, let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16),
        let scalar = Unicode.Scalar(code)
      else { throw QuickDecoder.Surprise() }  // half of a pair: JSONDecoder knows what to do
      at += 4
      return Array(String(Character(scalar)).utf8)
    default: throw QuickDecoder.Surprise()
    }
  }

  private mutating func number() throws -> Node {
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
        UInt8(ascii: "e"), UInt8(ascii: "E"):
        at += 1
        continue
      default: break
      }
      break
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if let whole = Int64(text), !text.hasPrefix("+") { return .int(whole) }
    if let whole = UInt64(text), !text.hasPrefix("+") { return .unsigned(whole) }
    guard text.utf8.contains(where: { $0 == 0x2E || $0 | 0x20 == 0x65 }), let number = Double(text) else {
      throw QuickDecoder.Surprise()
    }
    return .double(number)
  }

  private mutating func word(_ word: StaticString, _ node: Node) throws -> Node {
    let count = word.utf8CodeUnitCount
    guard at + count <= bytes.count, (0..<count).allSatisfy({ bytes[at + $0] == word.utf8Start[$0] }) else {
      throw QuickDecoder.Surprise()
    }
    at += count
    return node
  }

  private mutating func next(_ byte: UInt8) -> Bool {
    skipSpace()
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 10 || bytes[at] == 13 || bytes[at] == 9 { at += 1 }
  }
}
