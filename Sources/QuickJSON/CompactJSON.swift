/// Writes the few small JSON objects that lie on the way of a start and an exit.
///
/// JSONEncoder costs the first use about a millisecond in a new process: the runtime looks every type up by its
/// conformances. These objects are flat and few; the tests read them back with JSONDecoder.
package struct CompactJSON {
  private var text = "{"

  /// An empty object.
  package init() {}

  /// Adds a member; nil adds none.
  package mutating func add(_ name: StaticString, _ value: String?) {
    guard let value else { return }
    begin(name)
    Self.quote(value, into: &text)
  }

  /// Adds a member; nil adds none.
  package mutating func add(_ name: StaticString, _ value: (some BinaryInteger)?) {
    guard let value else { return }
    begin(name)
    text += String(value)
  }

  /// Adds a member.
  package mutating func add(_ name: StaticString, _ value: Bool) {
    begin(name)
    text += value ? "true" : "false"
  }

  /// Adds an object that was written before; nil adds none.
  package mutating func add(_ name: StaticString, object: String?) {
    guard let object else { return }
    begin(name)
    text += object
  }

  /// Adds an array of objects that were written before.
  package mutating func add(_ name: StaticString, objects: [String]) {
    begin(name)
    text += "[" + objects.joined(separator: ",") + "]"
  }

  /// Adds a member whose name is not known beforehand.
  package mutating func add(key: String, object: String) {
    if text.utf8.count > 1 { text += "," }
    Self.quote(key, into: &text)
    text += ":" + object
  }

  /// Adds a text whose name is not known beforehand.
  package mutating func add(key: String, text value: String) {
    if text.utf8.count > 1 { text += "," }
    Self.quote(key, into: &text)
    text += ":"
    Self.quote(value, into: &text)
  }

  /// The object.
  package var object: String { text + "}" }

  private mutating func begin(_ name: StaticString) {
    text += text.utf8.count > 1 ? ",\"\(name)\":" : "\"\(name)\":"
  }

  private static func quote(_ value: String, into text: inout String) {
    text += "\""
    for character in value.unicodeScalars {
      switch character {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case _ where character.value < 0x20:
        let digits = String(character.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(character)
      }
    }
    text += "\""
  }
}
