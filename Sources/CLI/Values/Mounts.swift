/// A `-v` value: what is mounted where.
struct BindFlag: Equatable {
  /// `source:target[:options]`, the source an absolute path or the name of a volume; nil for an anonymous volume.
  var text: String?
  /// The path in the container.
  var target: String

  /// Reads `[SOURCE:]TARGET[:OPTIONS]`; a source that begins with a dot is taken from `workingDirectory`.
  init(_ text: String, workingDirectory: @autoclosure () -> String) throws {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 3, parts.allSatisfy({ !$0.isEmpty }) else {
      throw CommandFailure("invalid spec: \(text): it must be TARGET, SOURCE:TARGET or SOURCE:TARGET:OPTIONS")
    }
    target = String(parts[min(1, parts.count - 1)])
    guard target.hasPrefix("/") else {
      throw CommandFailure("invalid spec: \(text): the path in the container must be absolute")
    }
    guard target != "/" else {
      throw CommandFailure("invalid spec: \(text): the path in the container cannot be '/'")
    }
    guard parts.count > 1 else { return }
    var source = String(parts[0])
    if source.hasPrefix(".") { source = AbsolutePath.join(workingDirectory(), source) }
    let options = parts.count == 3 ? ":" + parts[2] : ""
    for option in parts.count == 3 ? parts[2].split(separator: ",") : [] where !Self.options.contains(String(option)) {
      throw CommandFailure("invalid spec: \(text): unknown option \"\(option)\"")
    }
    self.text = "\(source):\(parts[1])\(options)"
  }

  private static let options: Set<String> = [
    "ro", "rw", "z", "Z", "nocopy", "bind", "rbind", "shared", "rshared", "slave", "rslave", "private", "rprivate",
    "delegated", "cached", "consistent",
  ]
}

/// Absolute paths, put together by their words alone.
enum AbsolutePath {
  /// `relative` taken from `base`, with `.` and `..` resolved in the text.
  static func join(_ base: String, _ relative: String) -> String {
    if relative.hasPrefix("/") { return clean(relative) }
    return clean(base + "/" + relative)
  }

  private static func clean(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }
}

/// One line of comma-separated values, with quotes as in RFC 4180.
enum CommaSeparated {
  /// The fields of `text`.
  static func fields(_ text: String) throws -> [String] {
    var fields: [String] = []
    var field = ""
    var quoted = false
    var rest = text[...]
    while let character = rest.popFirst() {
      switch (character, quoted) {
      case ("\"", true) where rest.first == "\"":
        field.append("\"")
        rest.removeFirst()
      case ("\"", true): quoted = false
      case ("\"", false) where field.isEmpty: quoted = true
      case (",", false):
        fields.append(field)
        field = ""
      default: field.append(character)
      }
    }
    guard !quoted else { throw CommandFailure("a quotation mark is not closed in '\(text)'") }
    return fields + [field]
  }
}
