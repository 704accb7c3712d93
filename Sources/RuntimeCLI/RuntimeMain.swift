internal import Faults
internal import Glibc
internal import Linux

/// The whole life of a `gantry-runtime` process: one command on one container, in runc's words.
///
/// ```
/// gantry-runtime [GLOBAL OPTIONS] COMMAND [OPTIONS] ARGUMENTS
///
/// ROOT/ID/config.json   the description as it was when the container was made      (StateFolder)
/// ROOT/ID/state.json    its first process, its cgroup                               there once the container exists
/// ROOT/ID/start.sock    where the first process waits for `start`                   there until it was started
/// ROOT/.filters/        compiled system call filters                                (FilterStore)
/// ```
///
/// No process of the runtime stays: the container's first process belongs to whoever adopts the orphans of the caller.
public enum RuntimeMain {
  /// Runs the command that the process's arguments say; returns its exit code.
  public static func run() -> Int32 {
    umask(0o022)
    var log = Log()
    do throws(Fault) {
      let globals = try GlobalOptions(Array(CommandLine.arguments.dropFirst()))
      log = try Log(globals)
      if globals.wantsVersion {
        Output.line(Help.version)
        return 0
      }
      guard let name = globals.command else {
        Output.line(Help.overview)
        return globals.wantsHelp ? 0 : 1
      }
      guard let command = CommandTable.named(name) else {
        throw Fault(.invalidArgument, "\"\(name)\" is no command: see gantry-runtime --help")
      }
      let arguments = try Arguments(globals.rest, command.flags, stopsAtOperand: command.stopsAtOperand)
      if globals.wantsHelp || arguments.wantsHelp {
        Output.line(Help.text(name, command))
        return 0
      }
      let context = Context(globals: globals, log: log)
      log.debug("\(name) \(arguments.operands.joined(separator: " "))")
      do throws(Fault) {
        if command.entersContainers { try OwnExecutable.requireProtection() }
        return try command.run(arguments, context)
      } catch {
        log.error("\(name) failed: \(error)")
        return command.failureCode
      }
    } catch {
      log.error("\(error)")
      return 1
    }
  }
}

/// What every command gets.
struct Context {
  let globals: GlobalOptions
  let log: Log

  /// The folder of all containers.
  var root: StateRoot { StateRoot(globals.root) }
}

/// Standard output.
enum Output {
  /// Writes `text` and a newline; a reader that is gone is nobody to tell.
  static func line(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = try? bytes.withUnsafeBytes { try Descriptors.writeAll(1, $0) }
  }
}

/// The file that this process runs.
enum OwnExecutable {
  /// Fails unless nothing can change it through a process of the container: it must be on a read-only mount, which
  /// `Sources/CProtect` has seen to before this process began (CVE-2019-5736).
  static func requireProtection() throws(Fault) {
    guard access("/proc/self/exe", W_OK) != 0, errno == EROFS else {
      throw Fault(
        .unsupported,
        "cannot protect gantry-runtime's own file: it must be started by root, in the mount namespace that "
          + "its file is in")
    }
  }
}
