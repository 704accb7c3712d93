/// How names of the documents become names in Swift.
enum Names {
  /// `HostConfig` → `hostConfig`, `ID` → `id`, `UTSMode` → `utsMode`, `not-running` → `notRunning`.
  static func property(_ name: String) -> String {
    let words = name.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
    guard let first = words.first else { return "empty" }
    return lowered(first) + words.dropFirst().map(capitalised).joined()
  }

  /// `resolve` → `Resolve`.
  static func capitalised(_ name: String) -> String {
    name.prefix(1).uppercased() + name.dropFirst()
  }

  /// In backticks where Swift needs them.
  static func escaped(_ name: String) -> String {
    keywords.contains(name) ? "`\(name)`" : name
  }

  private static func lowered(_ word: String) -> String {
    let run = word.prefix { $0.isUppercase }.count
    if run == 0 { return word }
    if run == word.count { return word.lowercased() }
    let count = run == 1 ? 1 : run - 1
    return word.prefix(count).lowercased() + word.dropFirst(count)
  }

  private static let keywords: Set<String> = [
    "as", "case", "catch", "class", "default", "defer", "do", "else", "enum", "extension", "false", "for", "func",
    "guard", "if", "import", "in", "init", "inout", "internal", "is", "let", "nil", "operator", "private", "protocol",
    "public", "repeat", "return", "self", "static", "struct", "subscript", "super", "switch", "throw", "throws", "true",
    "try", "typealias", "var", "where", "while",
  ]
}
