internal import Faults
internal import Glibc
internal import Protocol

/// `gantry`: finds the command that the words name, reads its flags, runs it, and turns failures into words and exit codes.
public enum CommandLineTool {
  /// Runs the command line and ends the process.
  ///
  /// - Parameter words: the words after the program's name.
  public static func main(_ words: [String]) -> Never {
    exit(run(words))
  }

  /// Runs the command line and returns the exit code.
  static func run(_ words: [String]) -> Int32 {
    var options = GlobalOptions()
    do {
      var reader = FlagReader(GlobalOptions.flags, stopsAtOperand: true)
      try reader.read(words, into: &options)
      if options.showsVersion {
        Output.write("Gantry version \(GantryVersion.current)\n")
        return 0
      }
      var rest = reader.operands[...]
      let asksHelp = reader.wantsHelp || rest.first == "help"
      if rest.first == "help" { rest.removeFirst() }
      guard !rest.isEmpty else {
        Output.write(Help.root())
        return 0
      }
      return try dispatch(rest, options, asksHelp: asksHelp)
    } catch {
      return report(error, debug: options.debug)
    }
  }

  private static func dispatch(_ words: ArraySlice<String>, _ options: GlobalOptions, asksHelp: Bool) throws -> Int32 {
    var node = CommandTree.root
    var path = "gantry"
    var rest = words
    while node.command == nil {
      guard let word = rest.popFirst() else {
        Output.write(Help.group(node, path: path))
        return 0
      }
      if word == "--help" || word == "-h" || word == "help" {
        Output.write(path == "gantry" ? Help.root() : Help.group(node, path: path))
        return 0
      }
      guard let child = node.child(word) else { throw unknown(word, of: node, path: path) }
      node = child
      path += " " + node.name
    }
    guard let command = node.command else { return 0 }
    return try start(command, rest, Session(options), path: path, asksHelp: asksHelp)
  }

  private static func unknown(_ word: String, of node: CommandNode, path: String) -> CommandFailure {
    if word.hasPrefix("-") { return CommandFailure("unknown flag: \(word)\n\nRun '\(path) --help'", code: 125) }
    if let reason = CommandTree.later[word] {
      return CommandFailure(
        "\(path.dropFirst(7))\(path == "gantry" ? "" : " ")\(word) is not built yet: \(reason)", code: 125)
    }
    let near = node.children.filter { !$0.isHidden }.map { ($0.name, editDistance($0.name, word)) }.min { $0.1 < $1.1 }
    let hint = near.flatMap { $0.1 <= 2 ? "\n\nDid you mean '\(path) \($0.0)'?" : nil } ?? ""
    return CommandFailure("'\(word)' is not a command of \(path).\(hint)\n\nRun '\(path) --help'")
  }

  private static func start<C: Command>(
    _ type: C.Type, _ words: ArraySlice<String>, _ session: Session, path: String, asksHelp: Bool
  ) throws -> Int32 {
    var command = C()
    let about = C.about
    do {
      var reader = FlagReader(C.flags, stopsAtOperand: about.stopsAtOperand)
      try reader.read(words, into: &command)
      if reader.wantsHelp || asksHelp {
        Output.write(Help.command(type, path: path))
        return 0
      }
      if let refusal = about.arity.refusal(of: reader.operands.count, for: path) {
        Output.fail("\(refusal)\n" + Help.hint(type, path: path))
        return 1
      }
      try command.take(operands: reader.operands)
    } catch let failure as CommandFailure where failure.showsUsage {
      Output.fail(failure.message + "\n" + Help.hint(type, path: path))
      return failure.code
    }
    return try command.run(in: session)
  }

  private static func report(_ error: any Error, debug: Bool) -> Int32 {
    switch error {
    case let failure as CommandFailure:
      if !failure.message.isEmpty { Output.fail(failure.message + "\n") }
      return failure.code
    default:
      let fault = Fault(describing: error)
      Output.fail(Output.words(of: fault, debug: debug) + "\n")
      return 1
    }
  }
}
