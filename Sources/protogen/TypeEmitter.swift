/// Writes structs and open enumerations.
enum TypeEmitter {
  /// The modules that the types of `fields` come from.
  static func imports(_ fields: [Field]) -> [String] {
    let names = Set(fields.flatMap { $0.type.split { "[]:? ".contains($0) }.map(String.init) })
    let foreign = !names.isDisjoint(with: TypeNames.foreign.values)
    return (names.contains("JSONValue") ? ["public import JSONRPC"] : []) + (foreign ? ["public import OCI"] : [])
  }

  static func write(_ schema: Schema, to writer: inout SourceWriter) {
    switch schema.form {
    case .structure(let fields): structure(schema.name, schema.summary, fields, to: &writer)
    case .open(let values): open(schema, values, to: &writer)
    }
  }

  static func structure(_ name: String, _ summary: String, _ fields: [Field], to writer: inout SourceWriter) {
    writer.blank()
    writer.comment(summary.isEmpty ? name : summary)
    writer.block("public struct \(name): Codable, Sendable, Equatable") { writer in
      for field in fields {
        if !field.summary.isEmpty { writer.comment(field.summary) }
        writer.line("public var \(Names.escaped(Names.property(field.name))): \(type(field))")
      }
      writer.blank()
      writer.comment(fields.isEmpty ? "Has no fields." : "Takes every field.")
      if fields.isEmpty {
        writer.line("public init() {}")
        return
      }
      let parameters = fields.map {
        "\(Names.escaped(Names.property($0.name))): \(type($0))" + ($0.isRequired ? "" : " = nil")
      }
      writer.call("public init", parameters, " {")
      writer.nested { writer in
        for field in fields {
          let property = Names.escaped(Names.property(field.name))
          writer.line("self.\(property) = \(property)")
        }
      }
      writer.line("}")
      if fields.contains(where: { Names.property($0.name) != $0.name }) {
        writer.blank()
        writer.block("private enum CodingKeys: String, CodingKey") { writer in
          for field in fields {
            let property = Names.property(field.name)
            writer.line(
              "case \(Names.escaped(property))" + (property == field.name ? "" : " = \"\(field.name)\""))
          }
        }
      }
    }
  }

  private static func type(_ field: Field) -> String { field.isRequired ? field.type : field.type + "?" }

  private static func open(
    _ schema: Schema, _ values: [(value: String, summary: String)], to writer: inout SourceWriter
  ) {
    writer.blank()
    writer.comment(schema.summary.isEmpty ? schema.name : schema.summary)
    writer.block("public struct \(schema.name): RawRepresentable, Codable, Sendable, Hashable") { writer in
      writer.comment("The value on the wire; unknown values are kept.")
      writer.line("public let rawValue: String")
      writer.blank()
      writer.comment("Takes any value.")
      writer.line("public init(rawValue: String) { self.rawValue = rawValue }")
      writer.blank()
      for (value, summary) in values {
        writer.comment(summary.isEmpty ? "`\(value)`" : summary)
        let name = Names.escaped(Names.property(value))
        writer.line("public static let \(name) = \(schema.name)(rawValue: \"\(value)\")")
      }
    }
  }
}
