internal import Glibc

/// Reads `KEY=VALUE` lists: environment, labels, annotations, sysctls, and the files that hold them.
enum KeyValues {
  /// `key=value` as a pair; a key alone has an empty value.
  static func pair(_ text: String) throws -> (String, String) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard !parts[0].isEmpty else { throw CommandFailure("\"\(text)\" has no name before the equals sign") }
    return (String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
  }

  /// `key=value`, where the value may not be missing.
  static func strictPair(_ text: String) throws -> (String, String) {
    guard text.contains("=") else { throw CommandFailure("\"\(text)\" is not of the form key=value") }
    return try pair(text)
  }

  /// One `-e`: `NAME=VALUE` stays, `NAME` takes the value of this process's environment and is left out where it has none.
  static func environment(
    _ text: String, lookup: (String) -> String? = EnvironmentVariables.get
  ) throws -> String? {
    let name = text.prefix { $0 != "=" }
    guard !name.isEmpty else { throw CommandFailure("invalid environment variable: \(text)") }
    if name.utf8.count < text.utf8.count { return text }
    return lookup(text).map { "\(text)=\($0)" }
  }

  /// The lines of an environment or label file: comments and empty lines dropped.
  ///
  /// - Parameter lookup: where a line that is a name alone finds its value; nil keeps the name alone (labels).
  static func file(_ contents: String, path: String, lookup: ((String) -> String?)? = EnvironmentVariables.get) throws
    -> [String]
  {
    var entries: [String] = []
    var contents = Substring(contents)
    if contents.first == "\u{FEFF}" { contents = contents.dropFirst() }
    for (number, raw) in contents.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let line = raw.drop { $0 == " " || $0 == "\t" }
      if line.isEmpty || line.first == "#" { continue }
      let name = line.prefix { $0 != "=" }
      guard !name.isEmpty else { throw CommandFailure("\(path), line \(number + 1): no name before the equals sign") }
      guard !name.contains(where: { $0 == " " || $0 == "\t" }) else {
        throw CommandFailure("\(path), line \(number + 1): variable '\(name)' contains whitespaces")
      }
      if name.utf8.count < line.utf8.count {
        entries.append(String(line))
      } else if let lookup {
        if let value = lookup(String(name)) { entries.append("\(name)=\(value)") }
      } else {
        entries.append(String(name))
      }
    }
    return entries
  }
}

/// This process's environment.
enum EnvironmentVariables {
  /// The value of `name`, if it is set.
  static func get(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }

  /// All of them, `NAME=value` each.
  static var all: [String] {
    var found: [String] = []
    var next = environ
    while let entry = next.pointee {
      found.append(String(cString: entry))
      next += 1
    }
    return found
  }
}
