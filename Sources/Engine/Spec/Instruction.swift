import Faults
import Foundation
import OCI

/// One instruction of a Dockerfile: a word and what follows it.
struct Instruction {
  /// In capitals.
  let name: String
  let rest: String

  init(_ line: String) {
    let text = line.trimmingCharacters(in: .whitespaces)
    let end = text.firstIndex { $0 == " " || $0 == "\t" } ?? text.endIndex
    name = text[..<end].uppercased()
    rest = text[end...].trimmingCharacters(in: .whitespaces)
  }

  /// Lines without comments and empty ones; a backslash at the end joins the next.
  static func logicalLines(_ text: String) -> [String] {
    var lines: [String] = []
    var open = ""
    for line in text.split(whereSeparator: \.isNewline) {
      let trimmed = line.trimmingCharacters(in: .whitespaces)
      if trimmed.isEmpty || trimmed.hasPrefix("#") { continue }
      if trimmed.hasSuffix("\\") {
        open += trimmed.dropLast()
        continue
      }
      lines.append(open + trimmed)
      open = ""
    }
    if !open.isEmpty { lines.append(open) }
    return lines
  }

  /// A JSON list of texts; nil when it is none.
  func list() -> [String]? {
    guard rest.hasPrefix("["), let data = rest.data(using: .utf8) else { return nil }
    return try? JSONDecoder().decode([String].self, from: data)
  }

  /// The words of a command: a JSON list as it is, anything else for the shell.
  func command(shell: [String]?) throws(Fault) -> [String] {
    if let list = list() { return list }
    guard !rest.isEmpty else { throw ImageChanges.refusal(self, "it needs a command") }
    return (shell ?? ["/bin/sh", "-c"]) + [rest]
  }

  /// Words without their quotes, with `$NAME` and `${NAME}` in them replaced from `environment`.
  func words(_ environment: [String]) throws(Fault) -> [String] {
    try split().map { text throws(Fault) in try unquoted(text, environment) }
  }

  /// `NAME=VALUE …`, or `NAME` and all that follows as its value.
  func pairs(_ environment: [String]) throws(Fault) -> [(name: String, value: String)] {
    let parts = try split()
    guard let first = parts.first else { throw ImageChanges.refusal(self, "it needs NAME=VALUE") }
    guard first.contains("=") else {
      let value = rest.dropFirst(first.count).trimmingCharacters(in: .whitespaces)
      guard !value.isEmpty else { throw ImageChanges.refusal(self, "\(first) has no value") }
      return [(try unquoted(first, environment), try unquoted(value, environment))]
    }
    var pairs: [(name: String, value: String)] = []
    for part in parts {
      guard let sign = part.firstIndex(of: "="), sign != part.startIndex else {
        throw ImageChanges.refusal(self, "\(part) is not NAME=VALUE")
      }
      pairs.append(
        (
          try unquoted(String(part[..<sign]), environment),
          try unquoted(String(part[part.index(after: sign)...]), environment)
        ))
    }
    return pairs
  }

  /// Parts between spaces that are not quoted; quotes and backslashes stay.
  private func split() throws(Fault) -> [String] {
    var parts: [String] = []
    var current = ""
    var quote: Character?
    var isEscaped = false
    for character in rest {
      if isEscaped {
        isEscaped = false
      } else if character == "\\", quote != "'" {
        isEscaped = true
      } else if let open = quote {
        if character == open { quote = nil }
      } else if character == "\"" || character == "'" {
        quote = character
      } else if character == " " || character == "\t" {
        if !current.isEmpty { parts.append(current) }
        current = ""
        continue
      }
      current.append(character)
    }
    guard quote == nil else { throw ImageChanges.refusal(self, "a quote is not closed") }
    if !current.isEmpty { parts.append(current) }
    return parts
  }

  /// The text without its quotes; variables are replaced except in single quotes.
  private func unquoted(_ text: String, _ environment: [String]) throws(Fault) -> String {
    var result = ""
    var rest = Substring(text)
    var quote: Character?
    while let character = rest.popFirst() {
      switch character {
      case "'" where quote == nil: quote = "'"
      case "\"" where quote == nil: quote = "\""
      case "'" where quote == "'": quote = nil
      case "\"" where quote == "\"": quote = nil
      case "\\" where quote != "'":
        guard let next = rest.popFirst() else { return result + "\\" }
        // In double quotes only these mean themselves after a backslash.
        if quote == "\"", !"\"\\$".contains(next) { result.append("\\") }
        result.append(next)
      case "$" where quote != "'": result += try variable(&rest, environment)
      default: result.append(character)
      }
    }
    return result
  }

  private func variable(_ rest: inout Substring, _ environment: [String]) throws(Fault) -> String {
    func value(_ name: some StringProtocol) -> String {
      environment.last { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) } ?? ""
    }
    guard rest.first == "{" else {
      let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
      if name.isEmpty { return "$" }
      rest = rest.dropFirst(name.count)
      return value(name)
    }
    guard let end = rest.firstIndex(of: "}") else { throw ImageChanges.refusal(self, "a ${ is not closed") }
    let inside = rest[rest.index(after: rest.startIndex)..<end]
    rest = rest[rest.index(after: end)...]
    guard let colon = inside.firstIndex(of: ":") else { return value(inside) }
    let known = value(inside[..<colon])
    let word = String(inside[colon...].dropFirst(2))
    switch inside[colon...].dropFirst().first {
    case "-": return known.isEmpty ? word : known
    case "+": return known.isEmpty ? "" : word
    default: throw ImageChanges.refusal(self, "${\(inside)} is neither ${NAME:-WORD} nor ${NAME:+WORD}")
    }
  }
}

/// `HEALTHCHECK [--interval=… --timeout=… --start-period=… --start-interval=… --retries=N] CMD …`, or `NONE`.
enum HealthInstruction {
  static func parse(_ instruction: Instruction) throws(Fault) -> ImageConfig.Healthcheck {
    var health = ImageConfig.Healthcheck()
    var rest = Substring(instruction.rest)
    while rest.hasPrefix("--") {
      let option = rest.prefix { $0 != " " && $0 != "\t" }
      rest = rest.dropFirst(option.count).drop { $0 == " " || $0 == "\t" }
      let parts = option.dropFirst(2).split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { throw ImageChanges.refusal(instruction, "\(option) has no value") }
      if parts[0] == "retries" {
        guard let count = Int(parts[1]), count >= 0 else {
          throw ImageChanges.refusal(instruction, "--retries takes a number from 0 on, not \(parts[1])")
        }
        health.retries = count
        continue
      }
      guard let time = Timestamp.duration(String(parts[1])), time == 0 || time >= 1_000_000 else {
        throw ImageChanges.refusal(instruction, "\(option) is no time of at least 1ms, such as 30s")
      }
      switch parts[0] {
      case "interval": health.interval = time
      case "timeout": health.timeout = time
      case "start-period": health.startPeriod = time
      case "start-interval": health.startInterval = time
      default: throw ImageChanges.refusal(instruction, "there is no option --\(parts[0])")
      }
    }
    let command = Instruction(String(rest))
    switch command.name {
    case "NONE" where command.rest.isEmpty: return ImageConfig.Healthcheck(test: ["NONE"])
    case "CMD":
      if let list = command.list() {
        health.test = ["CMD"] + list
      } else {
        guard !command.rest.isEmpty else { throw ImageChanges.refusal(instruction, "CMD needs a command") }
        health.test = ["CMD-SHELL", command.rest]
      }
      return health
    default: throw ImageChanges.refusal(instruction, "it is CMD and a command, or NONE")
    }
  }
}
