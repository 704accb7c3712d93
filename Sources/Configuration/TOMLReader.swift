internal import Faults

/// A value of a TOML file, as far as `hosts.toml` has them.
enum TOMLValue: Sendable, Hashable {
  case string(String), boolean(Bool), integer(Int64)
  case array([TOMLValue])
  case table(TOMLTable)
}

/// Keys and values in the order of the file: mirrors are tried in it, which libraries at hand do not keep.
struct TOMLTable: Sendable, Hashable {
  private(set) var entries: [(key: String, value: TOMLValue)] = []
  /// Whether a `[header]` or braces defined it, which may happen once.
  var isDefined = false

  static func == (a: TOMLTable, b: TOMLTable) -> Bool {
    a.entries.map(\.key) == b.entries.map(\.key) && a.entries.map(\.value) == b.entries.map(\.value)
  }

  func hash(into hasher: inout Hasher) { for (key, value) in entries { hasher.combine(key); hasher.combine(value) } }

  subscript(key: String) -> TOMLValue? { entries.first { $0.key == key }?.value }

  /// Takes `key` out.
  @discardableResult
  mutating func remove(_ key: String) -> TOMLValue? {
    guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
    return entries.remove(at: index).value
  }

  /// Puts `value` at `path`; false when something is there already.
  mutating func insert(_ value: TOMLValue, at path: ArraySlice<String>) -> Bool {
    guard let key = path.first else { return false }
    guard let index = entries.firstIndex(where: { $0.key == key }) else {
      var value = value
      if path.count > 1 {
        var inner = TOMLTable()
        guard inner.insert(value, at: path.dropFirst()) else { return false }
        value = .table(inner)
      }
      entries.append((key, value))
      return true
    }
    guard case .table(var inner) = entries[index].value else { return false }
    if path.count == 1 {
      // [a.b] before [a]: the table is there without having been defined.
      guard case .table(let new) = value, new.entries.isEmpty, new.isDefined, !inner.isDefined else { return false }
      inner.isDefined = true
    } else if !inner.insert(value, at: path.dropFirst()) {
      return false
    }
    entries[index].value = .table(inner)
    return true
  }
}

/// Reads the part of TOML that `hosts.toml` uses: tables, plain, quoted and dotted keys, texts on one line, whole numbers,
/// truth values, lists and tables in braces. What else TOML has is refused with its line, never guessed.
struct TOMLReader {
  private static let depthLimit = 16
  private static let entryLimit = 4096

  private let text: [UInt8]
  private var position = 0
  private var line = 1
  private var entries = 0

  /// The document in `text`.
  static func read(_ text: String) throws(Fault) -> TOMLTable {
    var reader = TOMLReader(text: Array(text.utf8))
    return try reader.document()
  }

  private init(text: [UInt8]) { self.text = text }

  private var next: UInt8? { position < text.count ? text[position] : nil }

  private func refusal(_ reason: String) -> Fault { Fault(.invalidArgument, "line \(line): \(reason)") }

  private mutating func document() throws(Fault) -> TOMLTable {
    var root = TOMLTable()
    var prefix: [String] = []
    while true {
      skipBlank(lines: true)
      guard let byte = next else { return root }
      if byte == UInt8(ascii: "[") {
        position += 1
        guard next != UInt8(ascii: "[") else { throw refusal("lists of tables ([[…]]) have no use here") }
        prefix = try key()
        try expect("]")
        var table = TOMLTable()
        table.isDefined = true
        guard root.insert(.table(table), at: prefix[...]) else {
          throw refusal("[\(prefix.joined(separator: "."))] is there twice")
        }
      } else {
        try pair(into: &root, prefix)
      }
      try endOfLine()
    }
  }

  private mutating func pair(into table: inout TOMLTable, _ prefix: [String], depth: Int = 0) throws(Fault) {
    let path = try key()
    try expect("=")
    entries += 1
    guard entries <= Self.entryLimit else { throw refusal("more than \(Self.entryLimit) settings") }
    let value = try value(depth)
    guard table.insert(value, at: (prefix + path)[...]) else {
      throw refusal("\(path.joined(separator: ".")) is there twice")
    }
  }

  private mutating func key() throws(Fault) -> [String] {
    var parts: [String] = []
    while true {
      skipBlank()
      switch next {
      case UInt8(ascii: "\""), UInt8(ascii: "'"): parts.append(try string())
      default:
        let start = position
        while let byte = next, Self.isBare(byte) { position += 1 }
        guard position > start else { throw refusal("a key is missing") }
        parts.append(String(decoding: text[start..<position], as: UTF8.self))
      }
      guard parts.count <= Self.depthLimit else { throw refusal("a key of too many parts") }
      skipBlank()
      guard next == UInt8(ascii: ".") else { return parts }
      position += 1
    }
  }

  private mutating func value(_ depth: Int) throws(Fault) -> TOMLValue {
    guard depth < Self.depthLimit else { throw refusal("lists and tables are nested too deeply") }
    skipBlank()
    switch next {
    case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try string())
    case UInt8(ascii: "["): return try array(depth)
    case UInt8(ascii: "{"): return try inlineTable(depth)
    default: break
    }
    let start = position
    while let byte = next,
      Self.isBare(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ":")
    {
      position += 1
    }
    let word = String(decoding: text[start..<position], as: UTF8.self)
    if word == "true" || word == "false" { return .boolean(word == "true") }
    if let number = Int64(word) { return .integer(number) }
    throw refusal(word.isEmpty ? "a value is missing" : "\(word.prefix(60)) is no value here: texts stand in quotes")
  }

  private mutating func array(_ depth: Int) throws(Fault) -> TOMLValue {
    position += 1
    var items: [TOMLValue] = []
    while true {
      skipBlank(lines: true)
      if next == UInt8(ascii: "]") { break }
      entries += 1
      guard entries <= Self.entryLimit else { throw refusal("more than \(Self.entryLimit) settings") }
      items.append(try value(depth + 1))
      skipBlank(lines: true)
      if next == UInt8(ascii: ",") {
        position += 1
      } else if next != UInt8(ascii: "]") {
        throw refusal("a list needs , or ]")
      }
    }
    position += 1
    return .array(items)
  }

  private mutating func inlineTable(_ depth: Int) throws(Fault) -> TOMLValue {
    position += 1
    var table = TOMLTable()
    skipBlank()
    if next == UInt8(ascii: "}") {
      position += 1
    } else {
      while true {
        try pair(into: &table, [], depth: depth + 1)
        skipBlank()
        guard let byte = next, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") else {
          throw refusal("a table in braces needs , or }")
        }
        position += 1
        if byte == UInt8(ascii: "}") { break }
      }
    }
    table.isDefined = true
    return .table(table)
  }

  private mutating func string() throws(Fault) -> String {
    let quote = text[position]
    position += 1
    if position + 1 < text.count, next == quote, text[position + 1] == quote {
      throw refusal("texts over several lines have no use here")
    }
    var bytes: [UInt8] = []
    while let byte = next, byte != quote {
      guard byte >= 32 && byte != 127 || byte == 9 else { throw refusal("a text does not end on its line") }
      position += 1
      if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        try escape(into: &bytes)
      } else {
        bytes.append(byte)
      }
    }
    guard next == quote else { throw refusal("a text does not end") }
    position += 1
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func escape(into bytes: inout [UInt8]) throws(Fault) {
    guard let byte = next else { throw refusal("a text does not end") }
    position += 1
    switch byte {
    case UInt8(ascii: "b"): bytes.append(8)
    case UInt8(ascii: "t"): bytes.append(9)
    case UInt8(ascii: "n"): bytes.append(10)
    case UInt8(ascii: "f"): bytes.append(12)
    case UInt8(ascii: "r"): bytes.append(13)
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
    case UInt8(ascii: "u"), UInt8(ascii: "U"):
      let length = byte == UInt8(ascii: "u") ? 4 : 8
      guard position + length <= text.count,
        let number = UInt32(String(decoding: text[position..<position + length], as: UTF8.self), radix: 16),
        let scalar = Unicode.Scalar(number)
      else { throw refusal("\\\(Character(Unicode.Scalar(byte))) needs \(length) digits of a character") }
      position += length
      bytes += Array(String(Character(scalar)).utf8)
    default: throw refusal("\\\(Character(Unicode.Scalar(byte))) means nothing in a text")
    }
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(Fault) {
    skipBlank()
    guard next == UInt8(ascii: character) else { throw refusal("\(character) is missing") }
    position += 1
  }

  private mutating func endOfLine() throws(Fault) {
    skipBlank()
    if next == UInt8(ascii: "\r") { position += 1 }
    guard next == nil || next == UInt8(ascii: "\n") else { throw refusal("more after the end of a setting") }
  }

  /// Skips blanks and a comment; with `lines` also ends of lines.
  private mutating func skipBlank(lines: Bool = false) {
    while let byte = next {
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"): position += 1
      case UInt8(ascii: "#"): while let byte = next, byte != UInt8(ascii: "\n") { _ = byte; position += 1 }
      case UInt8(ascii: "\n") where lines:
        position += 1
        line += 1
      case UInt8(ascii: "\r") where lines: position += 1
      default: return
      }
    }
  }

  private static func isBare(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
