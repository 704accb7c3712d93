internal import JSONRPC

/// Turns the pieces of a template into nodes.
struct TemplateParser {
  private var pieces: ArraySlice<TemplatePiece>
  private var loops = 0

  /// The nodes of `template`.
  static func parse(_ template: String) throws -> [TemplateNode] {
    var parser = TemplateParser(pieces: try TemplateLexer.pieces(template)[...])
    let (nodes, end) = try parser.nodes()
    guard case nil = end else { throw TemplateFailure("unexpected {{\(end?.word ?? "")}}") }
    return nodes
  }

  private init(pieces: ArraySlice<TemplatePiece>) { self.pieces = pieces }

  /// What closed a list of nodes.
  private enum End {
    case end
    /// `else`, with the words after it (`else if …`).
    case otherwise([TemplateToken])

    var word: String {
      if case .end = self { return "end" }
      return "else"
    }
  }

  private mutating func nodes() throws -> ([TemplateNode], End?) {
    var nodes: [TemplateNode] = []
    while let piece = pieces.popFirst() {
      guard case .action(let tokens) = piece else {
        if case .text(let text) = piece { nodes.append(.text(text)) }
        continue
      }
      guard case .word(let word)? = tokens.first else {
        nodes.append(try output(tokens))
        continue
      }
      switch word {
      case "end": return (nodes, .end)
      case "else": return (nodes, .otherwise(Array(tokens.dropFirst())))
      case "if", "with", "range": nodes.append(try block(word, tokens.dropFirst()))
      case "break", "continue":
        guard loops > 0 else { throw TemplateFailure("{{\(word)}} outside {{range}}") }
        nodes.append(word == "break" ? .breakLoop : .continueLoop)
      case "define", "template", "block": throw TemplateFailure("{{\(word)}} is not supported")
      default: nodes.append(try output(tokens))
      }
    }
    return (nodes, nil)
  }

  private func output(_ tokens: [TemplateToken]) throws -> TemplateNode {
    guard !tokens.isEmpty else { throw TemplateFailure("missing value for command") }
    return .output(try pipeline(tokens[...]))
  }

  private mutating func block(_ word: String, _ tokens: ArraySlice<TemplateToken>) throws -> TemplateNode {
    guard !tokens.isEmpty else { throw TemplateFailure("missing value for \(word)") }
    let pipeline = try pipeline(tokens, inRange: word == "range")
    if word == "range" { loops += 1 }
    let (body, end) = try nodes()
    if word == "range" { loops -= 1 }
    var otherwise: [TemplateNode] = []
    switch end {
    case nil: throw TemplateFailure("{{\(word)}} is not closed: {{end}} is missing")
    case .end: break
    case .otherwise(let tokens):
      if case .word(let next)? = tokens.first, next == "if" || next == "with" {
        otherwise = [try block(next, tokens.dropFirst())]
      } else {
        guard tokens.isEmpty else { throw TemplateFailure("unexpected words after {{else}}") }
        let (nodes, last) = try nodes()
        guard case .end? = last else { throw TemplateFailure("{{else}} is not closed: {{end}} is missing") }
        otherwise = nodes
      }
    }
    switch word {
    case "range": return .loop(pipeline, body: body, otherwise: otherwise)
    case "with": return .branch(kind: .with, pipeline, then: body, otherwise: otherwise)
    default: return .branch(kind: .if, pipeline, then: body, otherwise: otherwise)
    }
  }

  private func pipeline(_ tokens: ArraySlice<TemplateToken>, inRange: Bool = false) throws -> TemplatePipeline {
    var pipeline = TemplatePipeline()
    var rest = tokens
    if let operators = rest.firstIndex(where: { $0 == .declare || $0 == .assign }) {
      for token in rest[..<operators] where token != .comma {
        guard case .variable(let name, []) = token else { throw TemplateFailure("only a variable can be set") }
        pipeline.variables.append(name)
      }
      guard pipeline.variables.count == 1 || (inRange && pipeline.variables.count == 2) else {
        throw TemplateFailure("too many variables are set at once")
      }
      pipeline.assigns = rest[operators] == .assign
      rest = rest[(operators + 1)...]
    }
    pipeline.commands = try commands(&rest, closing: false).0
    return pipeline
  }

  private func commands(
    _ rest: inout ArraySlice<TemplateToken>, closing: Bool
  ) throws -> ([[TemplateOperand]], [String]) {
    var commands: [[TemplateOperand]] = []
    var operands: [TemplateOperand] = []
    func finished() throws -> [[TemplateOperand]] {
      guard !operands.isEmpty else { throw TemplateFailure("missing value for command") }
      return commands + [operands]
    }
    while let token = rest.popFirst() {
      switch token {
      case .field(let names): operands.append(.field(names))
      case .variable(let name, let names): operands.append(.variable(name, names))
      case .literal(let value): operands.append(.literal(value))
      case .word(let word):
        guard TemplateFunctions.known.contains(word) else { throw TemplateFailure("function \"\(word)\" not defined") }
        operands.append(.function(word))
      case .open:
        let (inner, names) = try self.commands(&rest, closing: true)
        operands.append(.nested(TemplatePipeline(commands: inner), names))
      case .close(let names):
        guard closing else { throw TemplateFailure("unexpected right paren") }
        return (try finished(), names)
      case .pipe:
        commands = try finished()
        operands = []
      case .declare, .assign, .comma: throw TemplateFailure("unexpected \",\" or \"=\" in an action")
      }
    }
    guard !closing else { throw TemplateFailure("unclosed left paren") }
    return (try finished(), [])
  }
}
