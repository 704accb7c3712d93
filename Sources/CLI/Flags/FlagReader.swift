/// Reads a command's flags and operands from the words of a command line, the way Go's pflag does for Docker.
struct FlagReader<C> {
  /// What was read: operands in order.
  private(set) var operands: [String] = []
  /// Whether `--help` (or `-h` where it has no other meaning) was among the flags.
  private(set) var wantsHelp = false

  private let flags: [Flag<C>]
  private let stopsAtOperand: Bool
  private var longIndex: [String: Int] = [:]
  private var shortIndex: [Character: Int] = [:]

  /// Prepares to read `flags`; with `stopsAtOperand` everything from the first operand on is an operand.
  init(_ flags: [Flag<C>], stopsAtOperand: Bool) {
    self.flags = flags
    self.stopsAtOperand = stopsAtOperand
    longIndex.reserveCapacity(flags.count)
    for (index, flag) in flags.enumerated() {
      longIndex[flag.long] = index
      if let short = flag.short { shortIndex[short] = index }
    }
  }

  /// Reads `words` into `command`.
  mutating func read(_ words: some Sequence<String>, into command: inout C) throws {
    var rest = Array(words)[...]
    while let word = rest.popFirst() {
      if word == "--" {
        operands += rest
        return
      }
      if word.hasPrefix("--") {
        try readLong(word, &rest, &command)
      } else if word.count > 1, word.hasPrefix("-") {
        try readShort(word, &rest, &command)
      } else {
        operands.append(word)
        if stopsAtOperand {
          operands += rest
          return
        }
      }
      if wantsHelp { return }
    }
  }

  private mutating func readLong(_ word: String, _ rest: inout ArraySlice<String>, _ command: inout C) throws {
    let body = word.dropFirst(2)
    let equals = body.firstIndex(of: "=")
    let name = String(body[..<(equals ?? body.endIndex)])
    let attached = equals.map { String(body[body.index(after: $0)...]) }
    guard let index = longIndex[name] else {
      if name == "help" {
        wantsHelp = true
        return
      }
      throw CommandFailure.usage("unknown flag: --\(name)\(suggestion(for: name))")
    }
    let flag = flags[index]
    if flag.takesValue {
      guard let value = attached ?? rest.popFirst() else {
        throw CommandFailure.usage("flag needs an argument: --\(name)")
      }
      try apply(flag, "--\(name)", value, &command)
    } else {
      try apply(flag, "--\(name)", attached ?? "true", &command)
    }
  }

  private mutating func readShort(_ word: String, _ rest: inout ArraySlice<String>, _ command: inout C) throws {
    var letters = word.dropFirst()
    while let letter = letters.popFirst() {
      guard let index = shortIndex[letter] else {
        if letter == "h" {
          wantsHelp = true
          return
        }
        throw CommandFailure.usage("unknown shorthand flag: '\(letter)' in \(word)")
      }
      let flag = flags[index]
      let name = "-\(letter), --\(flag.long)"
      if letters.first == "=" {
        return try apply(flag, name, String(letters.dropFirst()), &command)
      }
      if !flag.takesValue {
        try apply(flag, name, "true", &command)
        continue
      }
      if !letters.isEmpty { return try apply(flag, name, String(letters), &command) }
      guard let value = rest.popFirst() else {
        throw CommandFailure.usage("flag needs an argument: '\(letter)' in \(word)")
      }
      return try apply(flag, name, value, &command)
    }
  }

  private func apply(_ flag: Flag<C>, _ name: String, _ text: String, _ command: inout C) throws {
    do {
      switch flag.action {
      case .toggle(let apply):
        guard let on = Self.truth(text) else { throw CommandFailure("\"\(text)\" is neither true nor false") }
        return try apply(&command, on)
      case .value(let apply):
        return try apply(&command, text)
      case .unbuilt(_, let reason):
        if !flag.takesValue, Self.truth(text) == false { return }
        throw CommandFailure.unbuilt("--\(flag.long)", reason)
      }
    } catch let failure as CommandFailure where failure.code != ExitCode.engineFailed {
      throw CommandFailure.usage("invalid argument \"\(text)\" for \"\(name)\" flag: \(failure.message)")
    }
  }

  /// The values that Go's strconv.ParseBool takes.
  private static func truth(_ text: String) -> Bool? {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": true
    case "0", "f", "F", "false", "FALSE", "False": false
    default: nil
    }
  }

  private func suggestion(for name: String) -> String {
    let near = flags.map { ($0.long, editDistance($0.long, name)) }.min { $0.1 < $1.1 }
    guard let near, near.1 <= 2 else { return "" }
    return " (did you mean --\(near.0)?)"
  }
}

/// How many single-letter changes make `a` of `b` (Levenshtein).
func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b)
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let above = row[j + 1]
      row[j + 1] = x == y ? diagonal : 1 + min(diagonal, above, row[j])
      diagonal = above
    }
  }
  return row[b.count]
}
