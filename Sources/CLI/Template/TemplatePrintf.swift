internal import JSONRPC

/// `printf`: Go's verbs %s %v %d %q %t %f %x %X %c %%, with width, `-`, `0` and precision.
enum TemplatePrintf {
  /// The text of a format and its arguments.
  static func text(_ arguments: [JSONValue]) throws -> String {
    guard let format = arguments.first else { throw TemplateFailure("printf wants a format") }
    var values = arguments.dropFirst()
    var result = ""
    var rest = format.text[...]
    while let character = rest.popFirst() {
      guard character == "%" else {
        result.append(character)
        continue
      }
      if rest.first == "%" {
        rest.removeFirst()
        result.append("%")
        continue
      }
      let flags = rest.prefix { "-+ 0#".contains($0) }
      rest = rest.dropFirst(flags.count)
      let width = rest.prefix(while: \.isNumber)
      rest = rest.dropFirst(width.count)
      var precision: Int?
      if rest.first == "." {
        let digits = rest.dropFirst().prefix(while: \.isNumber)
        rest = rest.dropFirst(digits.count + 1)
        precision = min(Int(digits) ?? 0, 1000)
      }
      guard let verb = rest.popFirst() else { throw TemplateFailure("printf: a verb is missing after %") }
      guard let value = values.popFirst() else {
        result += "%!\(verb)(MISSING)"
        continue
      }
      result += padded(
        converted(value, verb, precision), to: min(Int(width) ?? 0, 1000), left: flags.contains("-"),
        zero: flags.contains("0") && !flags.contains("-") && value.number != nil)
    }
    if !values.isEmpty { result += "%!(EXTRA " + values.map(\.printed).joined(separator: ", ") + ")" }
    return result
  }

  private static func converted(_ value: JSONValue, _ verb: Character, _ precision: Int?) -> String {
    switch verb {
    case "s", "v":
      let text = value.printed
      return precision.map { String(text.prefix($0)) } ?? text
    case "q": return JSONValue.string(value.text).json
    case "d":
      guard let number = value.integer else { break }
      return String(number)
    case "t":
      guard case .bool = value else { break }
      return value.printed
    case "x", "X":
      if let number = value.integer { return String(number, radix: 16, uppercase: verb == "X") }
      return value.text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: verb == "X") }.joined()
    case "c":
      guard let number = value.integer, let scalar = UInt32(exactly: number).flatMap(Unicode.Scalar.init) else { break }
      return String(Character(scalar))
    case "f":
      guard let number = value.number else { break }
      return Decimals.fixed(number, digits: precision ?? 6)
    default: break
    }
    return "%!\(verb)(\(value.printed))"
  }

  private static func padded(_ text: String, to width: Int, left: Bool, zero: Bool) -> String {
    let missing = width - text.count
    guard missing > 0 else { return text }
    if left { return text + String(repeating: " ", count: missing) }
    if zero, text.hasPrefix("-") { return "-" + String(repeating: "0", count: missing) + text.dropFirst() }
    return String(repeating: zero ? "0" : " ", count: missing) + text
  }
}

/// Decimal fractions without Foundation's formatting.
enum Decimals {
  /// `value` with exactly `digits` digits after the point.
  static func fixed(_ value: Double, digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<min(digits, 15) { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 1e18 else { return "\(value)" }
    let whole = Int64(scaled) / Int64(scale)
    let fraction = Int64(scaled) % Int64(scale)
    var text = (value < 0 && scaled > 0 ? "-" : "") + String(whole)
    if digits > 0 {
      let tail = String(fraction)
      text += "." + String(repeating: "0", count: min(digits, 15) - tail.count) + tail
      text += String(repeating: "0", count: digits - min(digits, 15))
    }
    return text
  }
}
