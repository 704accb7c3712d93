/// Checks one line of JSON and finds where the parts of the envelope are, without building anything.
///
/// The grammar is checked as a whole and nesting is bounded, so that what is decoded afterwards is known to be JSON.
struct MessageScanner {
  /// Nesting deeper than this is refused: our own messages need fewer than 20 levels.
  static let depthLimit = 100

  /// What is wrong with the line.
  struct Malformed: Error {
    let words: String
  }

  /// One member of an object: the name and where its value is.
  struct Member {
    let name: Range<Int>
    let value: Range<Int>
    /// The first byte of the value tells its kind.
    let kind: UInt8
  }

  let bytes: UnsafeBufferPointer<UInt8>
  private var at: Int

  init(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int = 0) {
    self.bytes = bytes
    at = start
  }

  /// The members of the one object that the line is.
  mutating func envelope() throws(Malformed) -> [Member] {
    skipSpace()
    guard at < bytes.count, bytes[at] == UInt8(ascii: "{") else { throw Malformed(words: "a message is a JSON object") }
    let members = try members()
    skipSpace()
    guard at == bytes.count else { throw Malformed(words: "text follows the message") }
    return members
  }

  /// The members of the object at the current place.
  mutating func members() throws(Malformed) -> [Member] {
    var members: [Member] = []
    members.reserveCapacity(5)
    at += 1
    skipSpace()
    if take(UInt8(ascii: "}")) { return members }
    while true {
      skipSpace()
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw Malformed(words: "a colon is missing") }
      skipSpace()
      let start = at
      try value(depth: 1)
      members.append(Member(name: name, value: start..<at, kind: bytes[start]))
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      if take(UInt8(ascii: "}")) { return members }
      throw Malformed(words: "a comma or the end of an object is missing")
    }
  }

  private mutating func value(depth: Int) throws(Malformed) {
    guard at < bytes.count else { throw Malformed(words: "the message ends early") }
    switch bytes[at] {
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "{"), UInt8(ascii: "["): try nested(depth: depth)
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    default: try number()
    }
  }

  private mutating func nested(depth: Int) throws(Malformed) {
    if depth > Self.depthLimit { throw Malformed(words: "values are nested deeper than \(Self.depthLimit) levels") }
    let isObject = bytes[at] == UInt8(ascii: "{")
    let end = isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
    at += 1
    skipSpace()
    if take(end) { return }
    while true {
      skipSpace()
      if isObject {
        _ = try string()
        skipSpace()
        guard take(UInt8(ascii: ":")) else { throw Malformed(words: "a colon is missing") }
        skipSpace()
      }
      try value(depth: depth + 1)
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      if take(end) { return }
      throw Malformed(words: "a comma or the end of a list is missing")
    }
  }

  /// The bytes between the quotes.
  private mutating func string() throws(Malformed) -> Range<Int> {
    guard take(UInt8(ascii: "\"")) else { throw Malformed(words: "a string is missing") }
    let start = at
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      if byte == UInt8(ascii: "\"") { return start..<(at - 1) }
      if byte < 0x20 { throw Malformed(words: "a string holds a control character") }
      if byte == UInt8(ascii: "\\") { try escape() }
    }
    throw Malformed(words: "a string does not end")
  }

  private mutating func escape() throws(Malformed) {
    guard at < bytes.count else { throw Malformed(words: "a string does not end") }
    switch bytes[at] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      at += 1
    case UInt8(ascii: "u"):
      guard at + 4 < bytes.count, (at + 1...at + 4).allSatisfy({ isHex(bytes[$0]) }) else {
        throw Malformed(words: "\\u wants four hexadecimal digits")
      }
      at += 5
    default: throw Malformed(words: "an unknown escape in a string")
    }
  }

  private mutating func number() throws(Malformed) {
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
      // No digit may follow.
    } else if digits() == 0 {
      throw Malformed(words: "a value is missing")
    }
    if take(UInt8(ascii: ".")), digits() == 0 { throw Malformed(words: "a number ends early") }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      if digits() == 0 { throw Malformed(words: "a number ends early") }
    }
  }

  private mutating func digits() -> Int {
    let start = at
    while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") { at += 1 }
    return at - start
  }

  private mutating func word(_ word: StaticString) throws(Malformed) {
    let count = word.utf8CodeUnitCount
    guard at + count <= bytes.count, (0..<count).allSatisfy({ bytes[at + $0] == word.utf8Start[$0] }) else {
      throw Malformed(words: "an unknown word")
    }
    at += count
  }

  private func isHex(_ byte: UInt8) -> Bool {
    (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 70) || (byte >= 97 && byte <= 102)
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x09, 0x0A, 0x0D: at += 1
      default: return
      }
    }
  }
}
