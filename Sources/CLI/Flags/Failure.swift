/// An end of a command that is not a success: what it says on standard error, and the exit code.
struct CommandFailure: Error, Equatable {
  /// What follows `gantry: ` on standard error; nothing is written when it is empty.
  var message: String
  /// The process's exit code.
  var code: Int32
  /// Whether a line that points to the command's help follows.
  var showsUsage = false

  /// A failure of the command's own work: exit code 1, unless given.
  init(_ message: String, code: Int32 = 1) {
    self.message = message
    self.code = code
  }

  /// A command line that cannot be understood: exit code 125, as Docker's, with the way to the help text.
  static func usage(_ message: String) -> CommandFailure {
    var failure = CommandFailure(message, code: ExitCode.engineFailed)
    failure.showsUsage = true
    return failure
  }

  /// Something of Docker's that Gantry knows and does not have yet, refused by name: exit code 125.
  static func unbuilt(_ name: String, _ reason: UnbuiltReason) -> CommandFailure {
    CommandFailure("\(name) is not built yet: \(reason.sentence)", code: ExitCode.engineFailed)
  }
}

/// Exit codes of `run`, `exec` and the flags, as Docker's.
enum ExitCode {
  /// The engine failed, or the command line was wrong.
  static let engineFailed: Int32 = 125
  /// The container's command exists but cannot be executed.
  static let notExecutable: Int32 = 126
  /// The container's command does not exist.
  static let notFound: Int32 = 127
}
