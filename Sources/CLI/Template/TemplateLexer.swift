internal import JSONRPC

/// A word of an action.
enum TemplateToken: Equatable {
  /// `.`, `.A.B`: the names after the dots.
  case field([String])
  /// `$x.A`: the name with its `$`, and the fields.
  case variable(String, [String])
  case word(String)
  case literal(JSONValue)
  case open
  /// `)` and the fields that follow it.
  case close([String])
  case pipe, declare, assign, comma
}

/// A piece of a template: text between actions, or an action's words.
enum TemplatePiece: Equatable {
  case text(String)
  case action([TemplateToken])
}

/// Cuts a template into text and actions, and actions into words.
struct TemplateLexer {
  /// The pieces of `template`, with `{{-` and `-}}` already applied.
  static func pieces(_ template: String) throws -> [TemplatePiece] {
    var pieces: [TemplatePiece] = []
    var rest = Array(template.unicodeScalars)[...]
    var trimNext = false
    while !rest.isEmpty {
      let start = find("{{", in: rest)
      var text = String(String.UnicodeScalarView(rest[rest.startIndex..<(start ?? rest.endIndex)]))
      if trimNext { text = String(text.drop(while: \.isWhitespace)) }
      trimNext = false
      guard let start else {
        if !text.isEmpty { pieces.append(.text(text)) }
        break
      }
      rest = rest[(start + 2)...]
      if rest.first == "-", let next = rest.dropFirst().first, next.properties.isWhitespace {
        rest = rest.dropFirst()
        while text.last?.isWhitespace == true { text.removeLast() }
      }
      if !text.isEmpty { pieces.append(.text(text)) }
      var lexer = TemplateLexer(rest: rest)
      let tokens = try lexer.action()
      trimNext = lexer.trimsAfter
      rest = lexer.rest
      if let tokens { pieces.append(.action(tokens)) }
    }
    return pieces
  }

  private var rest: ArraySlice<Unicode.Scalar>
  private var trimsAfter = false

  private init(rest: ArraySlice<Unicode.Scalar>) { self.rest = rest }

  private static func find(_ text: String, in scalars: ArraySlice<Unicode.Scalar>) -> Int? {
    let wanted = Array(text.unicodeScalars)
    guard scalars.count >= wanted.count else { return nil }
    return (scalars.startIndex...(scalars.endIndex - wanted.count)).first { index in
      scalars[index..<(index + wanted.count)].elementsEqual(wanted)
    }
  }

  private mutating func skipSpaces() {
    while let scalar = rest.first, scalar.properties.isWhitespace { rest = rest.dropFirst() }
  }

  private mutating func skip(_ text: String) -> Bool {
    guard rest.starts(with: text.unicodeScalars) else { return false }
    rest = rest.dropFirst(text.unicodeScalars.count)
    return true
  }

  /// The words up to `}}`; nil for a comment.
  private mutating func action() throws -> [TemplateToken]? {
    skipSpaces()
    if skip("/*") {
      guard let end = Self.find("*/", in: rest) else { throw TemplateFailure("a comment is not closed") }
      rest = rest[(end + 2)...]
      skipSpaces()
      if skip("-") { trimsAfter = true }
      guard skip("}}") else { throw TemplateFailure("a comment must fill its action") }
      return nil
    }
    var tokens: [TemplateToken] = []
    while true {
      let spaced = rest.first?.properties.isWhitespace ?? false
      skipSpaces()
      if skip("}}") { return tokens }
      if spaced || tokens.isEmpty, rest.starts(with: "-}}".unicodeScalars) {
        trimsAfter = true
        rest = rest.dropFirst(3)
        return tokens
      }
      guard let scalar = rest.first else { throw TemplateFailure("an action is not closed: }} is missing") }
      tokens.append(try token(scalar))
    }
  }

  private mutating func token(_ scalar: Unicode.Scalar) throws -> TemplateToken {
    switch scalar {
    case "(":
      rest = rest.dropFirst()
      return .open
    case ")":
      rest = rest.dropFirst()
      return .close(try fields())
    case "|":
      rest = rest.dropFirst()
      return .pipe
    case ",":
      rest = rest.dropFirst()
      return .comma
    case "=":
      rest = rest.dropFirst()
      return .assign
    case ":":
      guard skip(":=") else { throw TemplateFailure("unexpected \":\" in an action") }
      return .declare
    case "\"", "`", "'": return try quoted()
    case "$":
      rest = rest.dropFirst()
      return .variable("$" + name(), try fields())
    case ".":
      if let next = rest.dropFirst().first, isDigit(next) { return try number() }
      if let next = rest.dropFirst().first, isName(next) { return .field(try fields()) }
      rest = rest.dropFirst()
      return .field([])
    case _ where isDigit(scalar) || scalar == "-" || scalar == "+": return try number()
    case _ where isName(scalar):
      switch name() {
      case "true": return .literal(.bool(true))
      case "false": return .literal(.bool(false))
      case "nil": return .literal(.null)
      case let word: return .word(word)
      }
    default: throw TemplateFailure("unexpected \"\(scalar)\" in an action")
    }
  }

  private func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
  private func isName(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isAlphabetic || isDigit(scalar)
  }

  private mutating func name() -> String {
    var name = String.UnicodeScalarView()
    while let scalar = rest.first, isName(scalar) {
      name.append(scalar)
      rest = rest.dropFirst()
    }
    return String(name)
  }

  private mutating func fields() throws -> [String] {
    var names: [String] = []
    while rest.first == ".", let next = rest.dropFirst().first, isName(next) {
      rest = rest.dropFirst()
      names.append(name())
    }
    return names
  }

  private mutating func number() throws -> TemplateToken {
    var text = ""
    while let scalar = rest.first, isName(scalar) || scalar == "." || (text.isEmpty && (scalar == "-" || scalar == "+"))
    {
      text.unicodeScalars.append(scalar)
      rest = rest.dropFirst()
    }
    if let value = Int64(text) { return .literal(.int(value)) }
    if text.hasPrefix("0x"), let value = Int64(text.dropFirst(2), radix: 16) { return .literal(.int(value)) }
    guard let value = Double(text) else { throw TemplateFailure("\"\(text)\" is not a number") }
    return .literal(.double(value))
  }

  private mutating func quoted() throws -> TemplateToken {
    guard let quote = rest.popFirst() else { throw TemplateFailure("a string is missing") }
    var text = String.UnicodeScalarView()
    while let scalar = rest.popFirst() {
      if scalar == quote {
        if quote == "'", let value = text.first { return .literal(.int(Int64(value.value))) }
        return .literal(.string(String(text)))
      }
      guard scalar == "\\", quote != "`" else {
        text.append(scalar)
        continue
      }
      switch rest.popFirst() {
      case "n": text.append("\n")
      case "t": text.append("\t")
      case "r": text.append("\r")
      case "a": text.append("\u{07}")
      case "x": text.append(try hexadecimal(2))
      case "u": text.append(try hexadecimal(4))
      case "U": text.append(try hexadecimal(8))
      case let other?: text.append(other)
      case nil: break
      }
    }
    throw TemplateFailure("a string is not closed")
  }

  private mutating func hexadecimal(_ digits: Int) throws -> Unicode.Scalar {
    let text = String(String.UnicodeScalarView(rest.prefix(digits)))
    guard let value = UInt32(text, radix: 16), let scalar = Unicode.Scalar(value), text.count == digits else {
      throw TemplateFailure("\"\\\(text)\" is not a character")
    }
    rest = rest.dropFirst(digits)
    return scalar
  }
}

/// Why a template cannot be read or carried out.
struct TemplateFailure: Error, Equatable, CustomStringConvertible {
  let description: String

  /// A reason in plain words.
  init(_ description: String) { self.description = description }
}
