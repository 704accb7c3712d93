/// Writes the codes of errors.json.
enum FaultEmitter {
  static func codes(_ text: JSONText) throws -> String {
    var writer = SourceWriter(source: "Protocols/errors.json")
    let errors = try (text["errors"]?.array ?? []).map { error in
      guard let name = error["name"]?.string, let number = error["number"]?.int, let http = error["http"]?.int,
        let retryable = error["retryable"]?.bool, let summary = error["summary"]?.string
      else { throw DocumentError("errors.json: an error wants name, number, http, retryable and summary") }
      return (name: name, number: number, http: http, retryable: retryable, summary: summary)
    }
    guard Set(errors.map(\.name)).count == errors.count, Set(errors.map(\.number)).count == errors.count else {
      throw DocumentError("errors.json: a name or number is there twice")
    }
    writer.block("extension FaultCode") { writer in
      for error in errors {
        writer.comment(error.summary)
        writer.line("public static let \(Names.escaped(error.name)) = FaultCode(rawValue: \"\(error.name)\")")
      }
      writer.blank()
      writer.comment("Every code of this version, in the order of the file.")
      writer.line("public static let all: [FaultCode] = [")
      writer.nested { writer in
        for error in errors { writer.line(".\(Names.escaped(error.name)),") }
      }
      writer.line("]")
      writer.blank()
      writer.comment("The JSON-RPC number; -32603 for a code of another version.")
      writer.block("public var number: Int") { table(&$0, errors.map { ($0.name, "\($0.number)") }, "-32603") }
      writer.blank()
      writer.comment("The HTTP status that the failure becomes; 500 for a code of another version.")
      writer.block("public var httpStatus: Int") { table(&$0, errors.map { ($0.name, "\($0.http)") }, "500") }
      writer.blank()
      writer.comment("Whether the same call may succeed when it is made again.")
      writer.block("public var isRetryable: Bool") {
        table(&$0, errors.filter(\.retryable).map { ($0.name, "true") }, "false")
      }
      writer.blank()
      writer.comment("The code with that JSON-RPC number; `internal` for an unknown number.")
      writer.block("public init(number: Int)") { writer in
        writer.line("switch number {")
        for error in errors { writer.line("case \(error.number): self = .\(Names.escaped(error.name))") }
        writer.line("default: self = .internal")
        writer.line("}")
      }
    }
    return writer.text
  }

  private static func table(_ writer: inout SourceWriter, _ rows: [(String, String)], _ otherwise: String) {
    writer.line("switch rawValue {")
    for row in rows { writer.line("case \"\(row.0)\": \(row.1)") }
    writer.line("default: \(otherwise)")
    writer.line("}")
  }
}
