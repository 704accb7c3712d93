internal import JSONRPC

/// A parsed `--format` template, ready for any number of values.
struct Template: Sendable {
  private let nodes: [TemplateNode]

  /// Parses `text`.
  init(_ text: String) throws {
    do {
      nodes = try TemplateParser.parse(text)
    } catch let failure as TemplateFailure {
      throw CommandFailure("template parsing error: \(failure), in: \(text)")
    }
  }

  /// The text that the template makes of `value`.
  ///
  /// - Parameter methods: answers fields that are called with arguments on the whole input, such as `{{.Label "key"}}`.
  func text(for value: JSONValue, methods: TemplateMethods? = nil) throws -> String {
    var evaluator = TemplateEvaluator(root: value, methods: methods)
    do {
      try evaluator.run(nodes, dot: value)
    } catch let failure as TemplateFailure {
      throw CommandFailure("template error: \(failure)")
    }
    return evaluator.output
  }

  /// A field of the whole input that takes arguments: its name and they; nil where there is none of that name.
  typealias TemplateMethods = @Sendable (String, [JSONValue]) throws -> JSONValue?
}

/// Carries a template out.
private struct TemplateEvaluator {
  var output = ""
  private let root: JSONValue
  private let methods: Template.TemplateMethods?
  private var scopes: [[String: JSONValue]]

  private enum Flow { case next, breakLoop, continueLoop }

  init(root: JSONValue, methods: Template.TemplateMethods?) {
    self.root = root
    self.methods = methods
    scopes = [["$": root]]
  }

  mutating func run(_ nodes: [TemplateNode], dot: JSONValue) throws {
    _ = try evaluate(nodes, dot)
  }

  private mutating func evaluate(_ nodes: [TemplateNode], _ dot: JSONValue) throws -> Flow {
    for node in nodes {
      switch node {
      case .text(let text): output += text
      case .breakLoop: return .breakLoop
      case .continueLoop: return .continueLoop
      case .output(let pipeline):
        let value = try evaluate(pipeline, dot)
        if pipeline.variables.isEmpty { output += value.printed }
      case .branch(let kind, let pipeline, let then, let otherwise):
        let flow = try scoped { evaluator in
          let value = try evaluator.evaluate(pipeline, dot)
          if value.isTruth { return try evaluator.evaluate(then, kind == .with ? value : dot) }
          return try evaluator.evaluate(otherwise, dot)
        }
        if flow != .next { return flow }
      case .loop(let pipeline, let body, let otherwise):
        let flow = try scoped { try $0.loop(pipeline, body, otherwise, dot) }
        if flow != .next { return flow }
      }
    }
    return .next
  }

  private mutating func scoped(_ body: (inout TemplateEvaluator) throws -> Flow) rethrows -> Flow {
    scopes.append([:])
    defer { scopes.removeLast() }
    return try body(&self)
  }

  private mutating func loop(
    _ pipeline: TemplatePipeline, _ body: [TemplateNode], _ otherwise: [TemplateNode], _ dot: JSONValue
  ) throws -> Flow {
    var bare = pipeline
    bare.variables = []
    let value = try evaluate(bare, dot)
    let items: [(JSONValue, JSONValue)]
    switch value {
    case .array(let values): items = values.enumerated().map { (.int(Int64($0.offset)), $0.element) }
    case .object(let members): items = members.sorted { $0.key < $1.key }.map { (.string($0.key), $0.value) }
    case .int(let count) where count < 1_000_000: items = (0..<max(count, 0)).map { (.int($0), .int($0)) }
    case .null: items = []
    default: throw TemplateFailure("range can't iterate over \(value.printed)")
    }
    if items.isEmpty { return try evaluate(otherwise, dot) }
    for (key, item) in items {
      let flow = try scoped { evaluator in
        if pipeline.variables.count == 2 { evaluator.set(pipeline.variables[0], key, assigns: pipeline.assigns) }
        if let last = pipeline.variables.last { evaluator.set(last, item, assigns: pipeline.assigns) }
        return try evaluator.evaluate(body, item)
      }
      if flow == .breakLoop { break }
    }
    return .next
  }

  private mutating func set(_ name: String, _ value: JSONValue, assigns: Bool) {
    let scope = assigns ? scopes.lastIndex { $0[name] != nil } : nil
    scopes[scope ?? scopes.endIndex - 1][name] = value
  }

  private mutating func evaluate(_ pipeline: TemplatePipeline, _ dot: JSONValue) throws -> JSONValue {
    var result: JSONValue?
    for command in pipeline.commands {
      result = try evaluate(command, piped: result, dot)
    }
    let value = result ?? .null
    if let name = pipeline.variables.first { set(name, value, assigns: pipeline.assigns) }
    return value
  }

  private mutating func evaluate(_ command: [TemplateOperand], piped: JSONValue?, _ dot: JSONValue) throws -> JSONValue
  {
    guard case .function(let name) = command[0] else {
      return try call(command, piped: piped, dot)
    }
    if name == "and" || name == "or" {
      // These stop at the first argument that decides, as in Go since 1.18.
      var value: JSONValue = .null
      for operand in command.dropFirst() {
        value = try evaluate(operand, dot)
        if value.isTruth == (name == "or") { return value }
      }
      return piped ?? value
    }
    var arguments: [JSONValue] = []
    for operand in command.dropFirst() { arguments.append(try evaluate(operand, dot)) }
    if let piped { arguments.append(piped) }
    return try TemplateFunctions.call(name, arguments)
  }

  /// A field or a value alone; or a field of the whole input that takes arguments.
  private mutating func call(_ command: [TemplateOperand], piped: JSONValue?, _ dot: JSONValue) throws -> JSONValue {
    var arguments: [JSONValue] = []
    for operand in command.dropFirst() { arguments.append(try evaluate(operand, dot)) }
    if let piped { arguments.append(piped) }
    if arguments.isEmpty { return try evaluate(command[0], dot) }
    let name: String? =
      switch command[0] {
      case .field(let names) where names.count == 1: names[0]
      case .variable("$", let names) where names.count == 1: names[0]
      default: nil
      }
    if let name, let value = try methods?(name, arguments) { return value }
    throw TemplateFailure("can't give arguments to \(name.map { ".\($0)" } ?? "a value that is not a function")")
  }

  private mutating func evaluate(_ operand: TemplateOperand, _ dot: JSONValue) throws -> JSONValue {
    switch operand {
    case .literal(let value): return value
    case .field(let names): return try descend(dot, names)
    case .variable(let name, let names):
      guard let value = scopes.lazy.reversed().compactMap({ $0[name] }).first else {
        throw TemplateFailure("undefined variable \"\(name)\"")
      }
      return try descend(value, names)
    case .function(let name): return try TemplateFunctions.call(name, [])
    case .nested(let pipeline, let names): return try descend(try evaluate(pipeline, dot), names)
    }
  }

  private func descend(_ value: JSONValue, _ names: [String]) throws -> JSONValue {
    var value = value
    for name in names {
      switch value {
      case .object(let members):
        guard let member = members[name] else {
          throw TemplateFailure("there is no field .\(name)\(near(name, members))")
        }
        value = member
      case .null: throw TemplateFailure("nil pointer evaluating .\(name)")
      default: throw TemplateFailure("can't evaluate field .\(name) of \(value.printed)")
      }
    }
    return value
  }

  private func near(_ name: String, _ members: [String: JSONValue]) -> String {
    let close = members.keys.map { ($0, editDistance($0.lowercased(), name.lowercased())) }.min { $0.1 < $1.1 }
    guard let close, close.1 <= 2 else { return "" }
    return " (did you mean .\(close.0)?)"
  }
}
