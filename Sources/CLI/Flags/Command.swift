/// One command of `gantry`: what help says of it, its flags, and what it does. One type and one file a command.
protocol Command: Sendable {
  /// The command before any word was read, with every flag at its default.
  init()

  /// What help, completion and the operand check need to know.
  static var about: About { get }

  /// Every flag of the command, those of Docker's that are not built yet among them.
  static var flags: [Flag<Self>] { get }

  /// Takes what is not a flag; the count was checked against `about.arity`.
  mutating func take(operands: [String]) throws

  /// Does the work.
  ///
  /// - Returns: the process's exit code.
  /// - Throws: a `CommandFailure` or a `Fault`; `CommandLineTool` turns either into words and an exit code.
  func run(in session: Session) throws -> Int32
}

extension Command {
  static var flags: [Flag<Self>] { [] }
  mutating func take(operands: [String]) throws {}
}

/// What help says of a command.
struct About: Sendable {
  /// What follows the command's name in the usage line: `[OPTIONS] CONTAINER [CONTAINER...]`.
  var usage: String
  /// One line, without a full stop.
  var summary: String
  /// How many operands there must be.
  var arity: Arity = .none
  /// What completion offers for an operand.
  var completes: OperandKind = .nothing
  /// Whether everything after the first operand belongs to the container's command.
  var stopsAtOperand = false
  /// Paragraphs after the summary.
  var discussion = ""
  /// Command lines and what they do.
  var examples: [(line: String, meaning: String)] = []
  /// Whether help and completion leave the command out.
  var hidden = false
}

/// How many operands a command takes.
enum Arity: Sendable, Equatable {
  case none, any
  case exactly(Int)
  case atLeast(Int)
  case atMost(Int)

  /// The refusal of `count` operands, in Docker's words; nil when the count is right.
  func refusal(of count: Int, for path: String) -> String? {
    func arguments(_ n: Int) -> String { n == 1 ? "1 argument" : "\(n) arguments" }
    switch self {
    case .any: return nil
    case .none: return count == 0 ? nil : "'\(path)' accepts no arguments"
    case .exactly(let n): return count == n ? nil : "'\(path)' requires \(arguments(n))"
    case .atLeast(let n): return count >= n ? nil : "'\(path)' requires at least \(arguments(n))"
    case .atMost(let n): return count <= n ? nil : "'\(path)' requires at most \(arguments(n))"
    }
  }
}

/// What the operands of a command name.
enum OperandKind: Sendable {
  case nothing, container, containerPath, volume, image, imageThenFiles, file, registry, service, shell
}

/// A word of the command line that leads to a command or to a group of commands.
struct CommandNode: Sendable {
  let name: String
  var aliases: [String] = []
  /// The command; nil for a group.
  var command: (any Command.Type)?
  /// What a group says of itself.
  var groupSummary = ""
  /// The commands of a group.
  var children: [CommandNode] = []

  /// A command.
  init(_ name: String, _ command: any Command.Type, aliases: [String] = []) {
    self.name = name
    self.command = command
    self.aliases = aliases
  }

  /// A group of commands.
  init(group name: String, _ summary: String, _ children: [CommandNode]) {
    self.name = name
    self.groupSummary = summary
    self.children = children
  }

  /// One line for the help of the parent.
  var summary: String { command?.about.summary ?? groupSummary }

  /// Whether help and completion leave it out.
  var isHidden: Bool { command?.about.hidden ?? false }

  /// The child that `word` names.
  func child(_ word: String) -> CommandNode? {
    children.first { $0.name == word || $0.aliases.contains(word) }
  }
}
