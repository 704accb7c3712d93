internal import JSONRPC

/// The parsed form of a `--format` template: the subset of Go's text/template that Docker's users write.
///
/// ```
/// template  = { text | "{{" action "}}" }
/// action    = pipeline | "if" pipeline | "else" [ "if" pipeline ] | "with" pipeline
///           | "range" [ "$i," ] [ "$v :=" ] pipeline | "break" | "continue" | "end" | comment
/// pipeline  = [ "$v" ( ":=" | "=" ) ] command { "|" command }
/// command   = operand { operand }
/// operand   = "." | ".Field.Sub" | "$v.Field" | function | literal | "(" pipeline ")" [ ".Field" ]
/// ```
indirect enum TemplateNode: Sendable {
  case text(String)
  case output(TemplatePipeline)
  case branch(kind: BranchKind, TemplatePipeline, then: [TemplateNode], otherwise: [TemplateNode])
  case loop(TemplatePipeline, body: [TemplateNode], otherwise: [TemplateNode])
  case breakLoop
  case continueLoop

  /// `if` leaves the dot alone, `with` sets it.
  enum BranchKind: Sendable { case `if`, with }
}

/// Commands joined by `|`, whose result may be kept in variables.
struct TemplatePipeline: Sendable {
  /// The variables set, `$` included: at most two, and two only in `range`.
  var variables: [String] = []
  /// `=` rather than `:=`.
  var assigns = false
  var commands: [[TemplateOperand]] = []
}

/// One word of a command.
indirect enum TemplateOperand: Sendable {
  /// The dot and fields below it.
  case field([String])
  /// A variable and fields below it; `$` is the whole input.
  case variable(String, [String])
  case function(String)
  case literal(JSONValue)
  case nested(TemplatePipeline, [String])
}
