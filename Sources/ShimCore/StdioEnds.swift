internal import Faults
internal import Linux
internal import Runtime
internal import SystemPackage

/// The pipes between the shim and a new process: the process's ends are lent to the runtime, ours become its
/// `ProcessStdio`. With a terminal there are none: the runtime opens it inside the container and returns the master.
struct StdioEnds: ~Copyable {
  /// One pipe as numbers; -1 is none.
  private struct Ends {
    var read: Int32 = -1
    var write: Int32 = -1

    static func make() throws(Errno) -> Ends {
      let pipe = try Descriptors.pipe()
      let read = pipe.read.take()
      return Ends(read: read, write: pipe.write.take())
    }
  }

  private let terminal: Bool
  private var input = Ends()
  private var output = Ends()
  private var error = Ends()

  /// Makes the pipes; without `stdin` the process reads /dev/null.
  init(terminal: Bool, stdin: Bool) throws(Fault) {
    self.terminal = terminal
    if terminal { return }
    do {
      if stdin { input = try Ends.make() } else { input.read = try openat2(nil, "/dev/null", .readOnly).take() }
      output = try Ends.make()
      error = try Ends.make()
    } catch {
      throw Fault(.limitExceeded, "no pipe can be made for the process's input and output", cause: ["\(error)"])
    }
  }

  deinit {
    for end in [input.read, input.write, output.read, output.write, error.read, error.write] { Descriptors.close(end) }
  }

  /// What the runtime gives the process.
  var io: ProcessIO {
    terminal ? .terminal : .descriptors(input: input.read, output: output.write, error: error.write)
  }

  /// Our ends, after the process was made; the process's ends are closed. `console` is the terminal's master, if any.
  consuming func ours(
    console: consuming OwnedDescriptor?
  ) throws(Fault) -> (stdin: Int32?, stdout: Int32?, stderr: Int32?) {
    if let console {
      do {
        let typing = try console.duplicate()
        return (typing.take(), console.take(), nil)
      } catch {
        throw Fault(.limitExceeded, "the terminal cannot be opened twice", cause: ["\(error)"])
      }
    }
    let ours = (stdin: input.write < 0 ? nil : input.write, stdout: Int32?(output.read), stderr: Int32?(error.read))
    input.write = -1
    output.read = -1
    error.read = -1
    return ours
  }
}
