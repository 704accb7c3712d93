internal import Faults
internal import Linux
internal import SystemPackage

/// `create` and `run`.
enum CreateCommand {
  private static let shared: [FlagDescription] = [
    .value("bundle", "b", "the folder of config.json (the working folder)"),
    .value("console-socket", nil, "a Unix socket that gets the terminal's master"),
    .value("pid-file", nil, "a file that gets the pid of the container's first process"),
    .value("preserve-fds", nil, "how many descriptors after 2 the program gets"),
    .toggle("no-pivot", nil, "change the root by chroot, for machines that run from their initramfs"),
    .toggle("no-new-keyring", nil, "stay in the caller's session keyring"),
  ]

  static let create = Command(
    usage: "ID", help: "make a container, whose program waits for start", flags: shared, entersContainers: true
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let request = try MakeRequest(arguments, context)
    let socket = try consoleSocket(arguments, needed: request.hasTerminal)
    let making = try Making(request, context, mode: .waits)
    try making.finish(socket: socket, pidFile: arguments["pid-file"])
    return 0
  }

  static let run = Command(
    usage: "ID", help: "make a container, run its program, and delete it after its end",
    flags: shared + [
      .toggle("detach", "d", "return when the program runs; the container is then the caller's to delete"),
      .toggle("keep", nil, "do not delete the container after its end"),
    ], entersContainers: true
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let request = try MakeRequest(arguments, context)
    if arguments.isOn("detach") {
      let socket = try consoleSocket(arguments, needed: request.hasTerminal)
      let making = try Making(request, context, mode: .runs)
      try making.finish(socket: socket, pidFile: arguments["pid-file"])
      return 0
    }
    let socket =
      arguments["console-socket"] == nil
      ? Int32?.none : try consoleSocket(arguments, needed: request.hasTerminal)
    let foreground = try Foreground()
    let making = try Making(request, context, mode: .runs)
    let master = try making.finish(socket: socket, pidFile: arguments["pid-file"])
    let code = foreground.wait(pid: making.record.pid, master: master)
    if !arguments.isOn("keep") { try Deletion(making.folder, context).removeEnded(making.record) }
    return code
  }

  /// Connects to the socket that `--console-socket` names: asked for and there, or neither.
  static func consoleSocket(_ arguments: Arguments, needed: Bool) throws(Fault) -> Int32? {
    guard let path = arguments["console-socket"], !path.isEmpty else {
      guard !needed else {
        throw Fault(
          .invalidArgument,
          "cannot allocate tty if gantry-runtime will detach without setting console socket: give --console-socket")
      }
      return nil
    }
    guard needed else {
      throw Fault(.invalidArgument, "cannot use console socket if gantry-runtime will not detach or allocate tty")
    }
    return try ConsoleSocket.connect(path)
  }
}

/// The socket of `--console-socket`, to which a terminal's master goes.
enum ConsoleSocket {
  static func connect(_ path: String) throws(Fault) -> Int32 {
    do throws(Errno) {
      return try UnixSocket.connect(path: FilePath(path)).take()
    } catch {
      throw Fault(.invalidArgument, "the console socket \(path) cannot be connected to", cause: ["\(error)"])
    }
  }

  /// Sends a terminal's master, if there is one, to the socket, if there is one; returns it when nobody has taken it.
  static func hand(_ master: Int32?, to socket: Int32?) throws(Fault) -> Int32? {
    guard let master, let socket else { return master }
    try send(master, to: socket)
    Descriptors.close(master)
    return nil
  }

  /// Sends the master with its name, in one message, as runc does.
  private static func send(_ master: Int32, to socket: Int32) throws(Fault) {
    let name = Array("/dev/ptmx".utf8)
    do throws(Errno) {
      try name.withUnsafeBufferPointer { name throws(Errno) in
        _ = try UnixSocket.send(socket, UnsafeRawBufferPointer(name), descriptors: [master])
      }
    } catch {
      throw Fault(.internal, "the terminal cannot be sent to the console socket", cause: ["\(error)"])
    }
  }
}
