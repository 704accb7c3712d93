internal import JSONRPC

/// What a list command shows: gives its command the table, `-q`, `--no-trunc` and every `--format` from one list of columns.
protocol ListDisplayable: Sendable {
  /// Every column, in the order of the default table; those outside it after.
  static var columns: [ListColumn<Self>] { get }
  /// The column that `-q` shows alone.
  static var quietColumn: String { get }
  /// Answers fields with arguments, such as `{{.Label "key"}}`.
  func call(_ name: String, _ arguments: [JSONValue]) throws -> JSONValue?
}

extension ListDisplayable {
  func call(_ name: String, _ arguments: [JSONValue]) throws -> JSONValue? { nil }
}

/// One column: the field's name in a template, its title, and its text.
struct ListColumn<Row>: Sendable {
  let name: String
  let title: String
  /// Whether the default table has it.
  let isDefault: Bool
  /// The text; the flag says that nothing may be cut short.
  let text: @Sendable (Row, Bool) -> String

  /// A column.
  init(
    _ name: String, _ title: String, isDefault: Bool = true, _ text: @escaping @Sendable (Row, _ whole: Bool) -> String
  ) {
    self.name = name
    self.title = title
    self.isDefault = isDefault
    self.text = text
  }
}

/// How a list is asked for.
struct ListOptions: Sendable, Equatable {
  var format: String?
  var quiet = false
  var whole = false
  /// Columns outside the default table to show with it.
  var extraColumns: Set<String> = []

  /// The flags of a list command for `--format`, `--no-trunc` and `-q`.
  static func flags(_ thing: String) -> [Flag<ListOptions>] {
    [
      .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
        $0.format = $1
      },
      .toggle("no-trunc", nil, "Don't truncate output") { $0.whole = $1 },
      .toggle("quiet", "q", "Only display \(thing) IDs") { $0.quiet = $1 },
    ]
  }

  /// The text for `rows`.
  func text<Row: ListDisplayable>(_ rows: [Row]) throws -> String {
    let format = (self.format ?? "table").trimmed
    if quiet, let column = Row.columns.first(where: { $0.name == Row.quietColumn }), !format.hasPrefix("table ") {
      if self.format == nil || format == "table" {
        return rows.map { column.text($0, whole) + "\n" }.joined()
      }
    }
    if format == "table" || format.isEmpty { return defaultTable(rows) }
    if format == "json" { return try rows.map { try json($0).json + "\n" }.joined() }
    if format == "table json" { return try rows.map { try json($0).json + "\n" }.joined() }
    if format.hasPrefix("table "), !format.dropFirst(6).trimmed.isEmpty {
      let template = try Template(Self.unescaped(format.dropFirst(6).trimmed))
      var titles: [String: JSONValue] = [:]
      for column in Row.columns { titles[column.name] = .string(column.title) }
      let head = try template.text(for: .object(titles)) { _, arguments in .string(arguments.first?.text ?? "") }
      let body = try rows.map { try render(template, $0) + "\n" }.joined()
      return Table.aligned(head + "\n" + body)
    }
    let template = try Template(Self.unescaped(format))
    return try rows.map { try render(template, $0) + "\n" }.joined()
  }

  private func defaultTable<Row: ListDisplayable>(_ rows: [Row]) -> String {
    let columns = Row.columns.filter { $0.isDefault || extraColumns.contains($0.name) }
    var text = columns.map(\.title).joined(separator: "\t") + "\n"
    for row in rows { text += columns.map { $0.text(row, whole) }.joined(separator: "\t") + "\n" }
    return Table.aligned(text)
  }

  private func json<Row: ListDisplayable>(_ row: Row) throws -> JSONValue {
    var members: [String: JSONValue] = [:]
    for column in Row.columns { members[column.name] = .string(column.text(row, true)) }
    return .object(members)
  }

  private func render<Row: ListDisplayable>(_ template: Template, _ row: Row) throws -> String {
    var members: [String: JSONValue] = [:]
    for column in Row.columns { members[column.name] = .string(column.text(row, whole)) }
    return try template.text(for: .object(members)) { name, arguments in try row.call(name, arguments) }
  }

  /// A template with `\t` and `\n` written out, as shells pass them.
  static func unescaped(_ template: String) -> String {
    var result = ""
    var rest = template[...]
    while let character = rest.popFirst() {
      if character == "\\", let next = rest.first, next == "t" || next == "n" {
        rest.removeFirst()
        result.append(next == "t" ? "\t" : "\n")
      } else {
        result.append(character)
      }
    }
    return result
  }
}

extension StringProtocol {
  /// Without white space at either end.
  var trimmed: String {
    var rest = self[startIndex...]
    while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
    while rest.last?.isWhitespace == true { rest = rest.dropLast() }
    return String(rest)
  }
}
