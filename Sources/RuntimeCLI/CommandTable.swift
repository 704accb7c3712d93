internal import Faults

/// One command.
struct Command: Sendable {
  /// What follows the name, for the help.
  let usage: String
  let help: String
  let flags: [FlagDescription]
  /// Whether flags end at the first operand, because what follows is another program's.
  var stopsAtOperand = false
  /// Whether a process of it goes into a container.
  var entersContainers = false
  /// The exit code when it fails.
  var failureCode: Int32 = 1
  /// Returns the exit code.
  let run: @Sendable (Arguments, Context) throws(Fault) -> Int32
}

/// All commands by name.
enum CommandTable {
  /// The names, as the help lists them.
  static let names = [
    "create", "start", "run", "exec", "kill", "delete", "state", "list", "ps", "pause", "resume", "update", "events",
    "features", "spec", "checkpoint", "restore",
  ]

  /// The command of that name. Only that one is made: the others cost every start.
  static func named(_ name: String) -> Command? {
    switch name {
    case "create": CreateCommand.create
    case "start": StartCommand.command
    case "run": CreateCommand.run
    case "exec": ExecCommand.command
    case "kill": KillCommand.command
    case "delete": DeleteCommand.command
    case "state": StateCommand.command
    case "list": ListCommand.command
    case "ps": ProcessesCommand.command
    case "pause": PauseCommand.pause
    case "resume": PauseCommand.resume
    case "update": UpdateCommand.command
    case "events": EventsCommand.command
    case "features": FeaturesCommand.command
    case "spec": SpecCommand.command
    case "checkpoint", "restore": refused(name)
    default: nil
    }
  }

  private static func refused(_ name: String) -> Command {
    Command(usage: "ID", help: "refused: containers are not checkpointed", flags: []) { _, _ throws(Fault) in
      throw Fault(.unsupported, "gantry-runtime cannot \(name) containers: use runc or crun with CRIU for that")
    }
  }
}

/// What `--help` and `--version` print.
enum Help {
  /// In the form of runc, which engines read for the versions.
  static var version: String {
    """
    gantry-runtime version \(GantryVersion.current)
    spec: \(SpecificationVersion.latest)
    libseccomp: \(SpecificationVersion.libseccomp)
    """
  }

  static var overview: String {
    var text = "gantry-runtime: runs containers from OCI bundles\n\n"
    text += "usage: gantry-runtime [GLOBAL OPTIONS] COMMAND [OPTIONS] ARGUMENTS\n\ncommands:\n"
    for name in CommandTable.names {
      text += "   " + padded(name, 12) + (CommandTable.named(name)?.help ?? "") + "\n"
    }
    return text + "\nglobal options:\n" + list(GlobalOptions.flags)
  }

  static func text(_ name: String, _ command: Command) -> String {
    "gantry-runtime \(name): \(command.help)\n\nusage: gantry-runtime \(name) [OPTIONS] \(command.usage)"
      + (command.flags.isEmpty ? "" : "\n\noptions:\n" + list(command.flags))
  }

  private static func list(_ flags: [FlagDescription]) -> String {
    flags.map { flag in
      let names = "--\(flag.name)" + (flag.letter.map { ", -\($0)" } ?? "") + (flag.takesValue ? " VALUE" : "")
      return "   " + padded(names, 30) + flag.help
    }.joined(separator: "\n")
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}
