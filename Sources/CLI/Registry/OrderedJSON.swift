/// JSON that is written back as it was read: members in their order, numbers and strings in their own spelling. For files
/// that other programs own as well.
indirect enum OrderedJSON: Equatable {
  /// A number, a string, true, false or null, as it stood there.
  case scalar(String)
  case array([OrderedJSON])
  case object([Member])

  struct Member: Equatable {
    /// The name, with its marks and escapes.
    var name: String
    var value: OrderedJSON
  }

  /// What is wrong with a text, and where.
  struct Malformed: Error, Equatable {
    var line: Int
  }

  /// Reads a text.
  init(parsing text: [UInt8]) throws(Malformed) {
    var reader = Reader(bytes: text)
    self = try reader.document()
  }

  /// A string with the escapes that it needs.
  static func string(_ text: String) -> OrderedJSON { .scalar(quoted(text)) }

  /// The text of a string; nil for anything else.
  var text: String? {
    guard case .scalar(let raw) = self, raw.hasPrefix("\"") else { return nil }
    return Self.unquoted(raw)
  }

  /// The names of an object's members, in order.
  var names: [String] {
    guard case .object(let members) = self else { return [] }
    return members.map { Self.unquoted($0.name) }
  }

  /// The member of that name; setting adds it at the end, or takes it away.
  subscript(name: String) -> OrderedJSON? {
    get {
      guard case .object(let members) = self else { return nil }
      return members.last { Self.unquoted($0.name) == name }?.value
    }
    set {
      guard case .object(var members) = self else { return }
      let index = members.lastIndex { Self.unquoted($0.name) == name }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (nil, let value?): members.append(Member(name: Self.quoted(name), value: value))
      case (_, nil): members.removeAll { Self.unquoted($0.name) == name }
      }
      self = .object(members)
    }
  }

  /// The text, indented with tabs as Docker writes its file.
  var pretty: String {
    var text = ""
    write(to: &text, indent: "\n")
    return text
  }

  private func write(to text: inout String, indent: String) {
    func list<Item>(_ open: String, _ items: [Item], _ close: String, _ write: (Item) -> Void) {
      text += open
      for (index, item) in items.enumerated() {
        text += (index > 0 ? "," : "") + indent + "\t"
        write(item)
      }
      text += (items.isEmpty ? "" : indent) + close
    }
    switch self {
    case .scalar(let raw): text += raw
    case .array(let items): list("[", items, "]") { $0.write(to: &text, indent: indent + "\t") }
    case .object(let members):
      list("{", members, "}") { member in
        text += member.name + ": "
        member.value.write(to: &text, indent: indent + "\t")
      }
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      default:
        let digits = String(scalar.value, radix: 16)
        result += scalar.value < 32 ? "\\u" + String(repeating: "0", count: 4 - digits.count) + digits : String(scalar)
      }
    }
    return result + "\""
  }

  /// The text of a string as it stands in a file; escapes were checked when it was read.
  private static func unquoted(_ raw: String) -> String {
    var units: [UInt16] = []
    var rest = raw.utf16.dropFirst().dropLast()
    while let unit = rest.popFirst() {
      guard unit == 92, let next = rest.popFirst() else {
        units.append(unit)
        continue
      }
      switch Unicode.Scalar(UInt8(truncatingIfNeeded: next)) {
      case "n": units.append(10)
      case "t": units.append(9)
      case "r": units.append(13)
      case "b": units.append(8)
      case "f": units.append(12)
      case "u":
        units.append(UInt16(String(decoding: rest.prefix(4), as: UTF16.self), radix: 16) ?? 0xFFFD)
        rest = rest.dropFirst(4)
      default: units.append(next)
      }
    }
    return String(decoding: units, as: UTF16.self)
  }
}

extension OrderedJSON {
  /// Reads what JSON allows, and no more than 64 levels of it.
  private struct Reader {
    let bytes: [UInt8]
    var position = 0

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }
    private var malformed: Malformed { Malformed(line: bytes.prefix(position).count { $0 == 10 } + 1) }

    mutating func document() throws(Malformed) -> OrderedJSON {
      guard String(validating: bytes, as: UTF8.self) != nil else { throw Malformed(line: 1) }
      let value = try value(0)
      skipSpace()
      guard position == bytes.count else { throw malformed }
      return value
    }

    private mutating func value(_ depth: Int) throws(Malformed) -> OrderedJSON {
      skipSpace()
      guard depth < 64 else { throw malformed }
      switch next {
      case UInt8(ascii: "{"):
        return .object(
          try list(UInt8(ascii: "}")) { reader throws(Malformed) in
            reader.skipSpace()
            let name = try reader.string()
            guard reader.skip(UInt8(ascii: ":")) else { throw reader.malformed }
            return Member(name: name, value: try reader.value(depth + 1))
          })
      case UInt8(ascii: "["):
        return .array(try list(UInt8(ascii: "]")) { reader throws(Malformed) in try reader.value(depth + 1) })
      case UInt8(ascii: "\""): return .scalar(try string())
      default: return .scalar(try word())
      }
    }

    private mutating func list<Item>(
      _ end: UInt8, _ item: (inout Reader) throws(Malformed) -> Item
    ) throws(Malformed) -> [Item] {
      position += 1
      var items: [Item] = []
      if skip(end) { return items }
      repeat { items.append(try item(&self)) } while skip(UInt8(ascii: ","))
      guard skip(end) else { throw malformed }
      return items
    }

    private mutating func string() throws(Malformed) -> String {
      let start = position
      guard skip(UInt8(ascii: "\"")) else { throw malformed }
      while let byte = next, byte != UInt8(ascii: "\"") {
        guard byte >= 32 else { throw malformed }
        position += 1
        guard byte == UInt8(ascii: "\\") else { continue }
        guard let escape = next, Array("\"\\/bfnrtu".utf8).contains(escape) else { throw malformed }
        position += 1
        guard escape == UInt8(ascii: "u") else { continue }
        let digits = bytes[position...].prefix(4)
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else {
          throw malformed
        }
        position += 4
      }
      guard next != nil else { throw malformed }
      position += 1
      return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// A number, true, false or null.
    private mutating func word() throws(Malformed) -> String {
      let start = position
      while let byte = next, !Array(",]} \t\r\n".utf8).contains(byte) { position += 1 }
      let word = String(decoding: bytes[start..<position], as: UTF8.self)
      let isNumber =
        word.utf8.allSatisfy { Array("0123456789+-.eE".utf8).contains($0) } && Double(word) != nil
        && !word.hasPrefix("+")
      guard isNumber || ["true", "false", "null"].contains(word) else { throw malformed }
      return word
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
      skipSpace()
      guard next == byte else { return false }
      position += 1
      return true
    }

    private mutating func skipSpace() {
      while let byte = next, [32, 9, 10, 13].contains(byte) { position += 1 }
    }
  }
}
