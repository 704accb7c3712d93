internal import JSONRPC

/// How a template sees a JSON value.
extension JSONValue {
  /// Go's truth: false, zero, nil and what is empty are false.
  var isTruth: Bool {
    switch self {
    case .null: false
    case .bool(let on): on
    case .int(let number): number != 0
    case .double(let number): number != 0
    case .string(let text): !text.isEmpty
    case .array(let items): !items.isEmpty
    case .object(let members): !members.isEmpty
    }
  }

  var isString: Bool {
    if case .string = self { return true }
    return false
  }

  /// The whole number, if the value is one.
  var integer: Int64? {
    switch self {
    case .int(let number): number
    case .double(let number): Int64(exactly: number)
    default: nil
    }
  }

  /// The number, if the value is one.
  var number: Double? {
    switch self {
    case .int(let number): Double(number)
    case .double(let number): number
    default: nil
    }
  }

  /// A string as it is, everything else as printed.
  var text: String {
    if case .string(let text) = self { return text }
    return printed
  }

  /// The value as Go prints it with %v.
  var printed: String {
    switch self {
    case .null: "<nil>"
    case .bool(let on): on ? "true" : "false"
    case .int(let number): String(number)
    case .double(let number): Int64(exactly: number).map(String.init) ?? "\(number)"
    case .string(let text): text
    case .array(let items): "[" + items.map(\.printed).joined(separator: " ") + "]"
    case .object(let members):
      "map[" + members.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value.printed)" }.joined(separator: " ") + "]"
    }
  }

  /// The value as one line of JSON, members in the order of their names.
  var json: String {
    var writer = JSONText(indent: nil)
    writer.write(self, depth: 0)
    return writer.text
  }

  /// The value as JSON over several lines, indented by four spaces as Docker's inspect is.
  var indentedJSON: String {
    var writer = JSONText(indent: "    ")
    writer.write(self, depth: 0)
    return writer.text
  }
}

/// Writes JSON text.
private struct JSONText {
  var text = ""
  let indent: String?

  mutating func write(_ value: JSONValue, depth: Int) {
    switch value {
    case .null: text += "null"
    case .array(let items):
      list("[", "]", items, depth) { writer, item in writer.write(item, depth: depth + 1) }
    case .object(let members):
      list("{", "}", members.sorted { $0.key < $1.key }, depth) { writer, member in
        writer.quote(member.key)
        writer.text += writer.indent == nil ? ":" : ": "
        writer.write(member.value, depth: depth + 1)
      }
    case .string(let string): quote(string)
    case .bool, .int, .double: text += value.printed
    }
  }

  private mutating func list<Item>(
    _ open: String, _ close: String, _ items: [Item], _ depth: Int, _ body: (inout JSONText, Item) -> Void
  ) {
    text += open
    for (index, item) in items.enumerated() {
      if index > 0 { text += "," }
      newline(depth + 1)
      body(&self, item)
    }
    if !items.isEmpty { newline(depth) }
    text += close
  }

  private mutating func newline(_ depth: Int) {
    guard let indent else { return }
    text += "\n" + String(repeating: indent, count: depth)
  }

  private mutating func quote(_ string: String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
