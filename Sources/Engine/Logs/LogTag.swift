import Faults
import Protocol

/// The template of the option `tag`: text, and fields such as `{{.Name}}`.
enum LogTag {
  /// What the fields stand for.
  struct Values {
    let source: LogSource
    let imageID: String

    init(_ definition: ContainerDefinition, name: String) {
      imageID = definition.imageID
      source = LogSource(
        id: definition.id, name: name, imageId: definition.imageID, imageName: definition.image,
        command: definition.command, created: definition.created.text())
    }
  }

  private static let fields: [(name: String, value: @Sendable (LogSource) -> String)] = [
    ("ID", { String($0.id.prefix(12)) }), ("FullID", { $0.id }), ("Name", { $0.name }),
    ("ImageID", { String($0.imageId.prefix(12)) }), ("ImageFullID", { $0.imageId }), ("ImageName", { $0.imageName }),
    ("DaemonName", { _ in "gantry" }), ("Command", { $0.command }),
  ]

  /// Fails with the names of the fields when the template has another.
  static func check(_ template: String) throws { _ = try pieces(template) }

  /// The template with the fields' values.
  static func render(_ template: String, _ values: Values) throws -> String {
    try pieces(template).map { $0.field.map { $0(values.source) } ?? $0.text }.joined()
  }

  private static func pieces(_ template: String) throws -> [(text: String, field: ((LogSource) -> String)?)] {
    var pieces: [(text: String, field: ((LogSource) -> String)?)] = []
    var rest = Substring(template)
    while let open = rest.range(of: "{{") {
      pieces.append((String(rest[..<open.lowerBound]), nil))
      guard let close = rest[open.upperBound...].range(of: "}}") else {
        throw Fault(.invalidArgument, "LogConfig: tag \"\(template)\": {{ has no }}")
      }
      let name = rest[open.upperBound..<close.lowerBound].filter { $0 != " " && $0 != "-" }
      guard let field = fields.first(where: { "." + $0.name == name }) else {
        throw Fault(
          .invalidArgument,
          "LogConfig: tag \"\(template)\": {{\(name)}} is no field: known are "
            + fields.map { "{{.\($0.name)}}" }.joined(separator: " "))
      }
      pieces.append(("", field.value))
      rest = rest[close.upperBound...]
    }
    pieces.append((String(rest), nil))
    return pieces
  }
}

extension LogSettings {
  /// The labels and variables that `labels`, `labels-regex`, `env` and `env-regex` choose.
  func attributes(_ config: ContainerConfig) throws -> [String: String] {
    var chosen: [String: String] = [:]
    try choose(config.labels ?? [:], "labels", into: &chosen)
    let pairs = (config.env ?? []).compactMap { entry -> (String, String)? in
      guard let sign = entry.firstIndex(of: "=") else { return nil }
      return (String(entry[..<sign]), String(entry[entry.index(after: sign)...]))
    }
    try choose(Dictionary(pairs) { $1 }, "env", into: &chosen)
    return chosen
  }

  private func choose(_ from: [String: String], _ option: String, into chosen: inout [String: String]) throws {
    for name in (options[option] ?? "").split(separator: ",").map(String.init) {
      if let value = from[name] { chosen[name] = value }
    }
    guard let pattern = options[option + "-regex"], !pattern.isEmpty else { return }
    guard let expression = try? Regex(pattern) else {
      throw Fault(.invalidArgument, "LogConfig: \(option)-regex \"\(pattern)\" is no regular expression")
    }
    for (name, value) in from where name.firstMatch(of: expression) != nil { chosen[name] = value }
  }
}
