internal import JSONRPC

/// The functions of a template: Docker's own (`json`, `join`, `split`, `upper`, `lower`, `title`, `pad`, `truncate`) and the
/// part of Go's that makes sense for JSON values.
enum TemplateFunctions {
  /// Every name that may be called.
  static let known: Set<String> = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper",
  ]

  /// Calls `name`.
  static func call(_ name: String, _ arguments: [JSONValue]) throws -> JSONValue {
    switch name {
    case "json": return .string(try one(name, arguments).json)
    case "upper": return .string(try one(name, arguments).text.uppercased())
    case "lower": return .string(try one(name, arguments).text.lowercased())
    case "title": return .string(title(try one(name, arguments).text))
    case "len": return .int(Int64(try length(one(name, arguments))))
    case "not": return .bool(!(try one(name, arguments)).isTruth)
    case "print": return .string(print(arguments))
    case "println": return .string(arguments.map(\.printed).joined(separator: " ") + "\n")
    case "printf": return .string(try TemplatePrintf.text(arguments))
    case "join": return .string(try join(arguments))
    case "split":
      let (text, separator) = try two(name, arguments)
      return .array(split(text.text, separator.text).map { .string($0) })
    case "truncate":
      let (text, count) = try two(name, arguments)
      return .string(String(text.text.prefix(Int(max(count.integer ?? 0, 0)))))
    case "pad": return .string(try pad(arguments))
    case "index": return try index(arguments)
    case "slice": return try slice(arguments)
    case "eq", "ne", "lt", "le", "gt", "ge": return .bool(try TemplateComparison.holds(name, arguments))
    default: throw TemplateFailure("function \"\(name)\" not defined")
    }
  }

  private static func one(_ name: String, _ arguments: [JSONValue]) throws -> JSONValue {
    guard arguments.count == 1 else {
      throw TemplateFailure("wrong number of args for \(name): want 1 got \(arguments.count)")
    }
    return arguments[0]
  }

  private static func two(_ name: String, _ arguments: [JSONValue]) throws -> (JSONValue, JSONValue) {
    guard arguments.count == 2 else {
      throw TemplateFailure("wrong number of args for \(name): want 2 got \(arguments.count)")
    }
    return (arguments[0], arguments[1])
  }

  /// Go's Print: a space between two operands when neither is a string.
  private static func print(_ arguments: [JSONValue]) -> String {
    var text = ""
    for (index, argument) in arguments.enumerated() {
      if index > 0, !argument.isString, !arguments[index - 1].isString { text += " " }
      text += argument.printed
    }
    return text
  }

  private static func title(_ text: String) -> String {
    var result = ""
    var atStart = true
    for character in text {
      result += atStart ? character.uppercased() : String(character)
      atStart = !(character.isLetter || character.isNumber || character == "_" || character == "'")
    }
    return result
  }

  private static func length(_ value: JSONValue) throws -> Int {
    switch value {
    case .string(let text): return text.utf8.count
    case .array(let items): return items.count
    case .object(let members): return members.count
    case .null: return 0
    default: throw TemplateFailure("len of \(value.printed): it has no length")
    }
  }

  private static func join(_ arguments: [JSONValue]) throws -> String {
    let (list, separator) = try two("join", arguments)
    switch list {
    case .array(let items): return items.map(\.text).joined(separator: separator.text)
    case .null: return ""
    default: throw TemplateFailure("join of \(list.printed): it is not a list")
    }
  }

  private static func split(_ text: String, _ separator: String) -> [String] {
    guard !separator.isEmpty else { return text.map(String.init) }
    var parts: [String] = []
    var part = ""
    var rest = text[...]
    while !rest.isEmpty {
      if rest.hasPrefix(separator) {
        parts.append(part)
        part = ""
        rest = rest.dropFirst(separator.count)
      } else {
        part.append(rest.removeFirst())
      }
    }
    return parts + [part]
  }

  private static func pad(_ arguments: [JSONValue]) throws -> String {
    guard arguments.count == 3, let before = arguments[1].integer, let after = arguments[2].integer,
      (0...1000).contains(before), (0...1000).contains(after)
    else { throw TemplateFailure("pad wants a text and two numbers") }
    if arguments[0].text.isEmpty { return "" }
    return String(repeating: " ", count: Int(before)) + arguments[0].text + String(repeating: " ", count: Int(after))
  }

  private static func index(_ arguments: [JSONValue]) throws -> JSONValue {
    guard var value = arguments.first else { throw TemplateFailure("index wants a value") }
    for key in arguments.dropFirst() {
      switch (value, key) {
      case (.object(let members), _): value = members[key.text] ?? .string("")
      case (.array(let items), _):
        guard let position = key.integer, items.indices.contains(Int(position)) else {
          throw TemplateFailure("index out of range: \(key.printed)")
        }
        value = items[Int(position)]
      case (.null, _): throw TemplateFailure("index of nil pointer")
      default: throw TemplateFailure("can't index \(value.printed)")
      }
    }
    return value
  }

  private static func slice(_ arguments: [JSONValue]) throws -> JSONValue {
    guard let value = arguments.first, arguments.count <= 3 else {
      throw TemplateFailure("slice wants a value and bounds")
    }
    func bounds(_ count: Int) throws -> Range<Int> {
      let from = arguments.count > 1 ? Int(arguments[1].integer ?? -1) : 0
      let to = arguments.count > 2 ? Int(arguments[2].integer ?? -1) : count
      guard from >= 0, to >= from, to <= count else { throw TemplateFailure("slice index out of range") }
      return from..<to
    }
    switch value {
    case .string(let text):
      let bytes = Array(text.utf8)
      return .string(String(decoding: bytes[try bounds(bytes.count)], as: UTF8.self))
    case .array(let items): return .array(Array(items[try bounds(items.count)]))
    default: throw TemplateFailure("can't slice \(value.printed)")
    }
  }
}

/// `eq`, `ne`, `lt`, `le`, `gt`, `ge`.
enum TemplateComparison {
  /// Whether the comparison `name` holds; `eq` compares its first argument with each of the others.
  static func holds(_ name: String, _ arguments: [JSONValue]) throws -> Bool {
    guard arguments.count >= 2, name == "eq" || arguments.count == 2 else {
      throw TemplateFailure("wrong number of args for \(name)")
    }
    let first = arguments[0]
    switch name {
    case "eq": return arguments.dropFirst().contains { equal(first, $0) }
    case "ne": return !equal(first, arguments[1])
    case "lt": return try less(first, arguments[1])
    case "ge": return !(try less(first, arguments[1]))
    case "gt": return try less(arguments[1], first)
    default: return !(try less(arguments[1], first))
    }
  }

  private static func equal(_ a: JSONValue, _ b: JSONValue) -> Bool {
    if let a = a.number, let b = b.number { return a == b }
    return a == b
  }

  private static func less(_ a: JSONValue, _ b: JSONValue) throws -> Bool {
    if let a = a.number, let b = b.number { return a < b }
    if case .string(let a) = a, case .string(let b) = b { return a < b }
    throw TemplateFailure("incompatible types for comparison: \(a.printed) and \(b.printed)")
  }
}
