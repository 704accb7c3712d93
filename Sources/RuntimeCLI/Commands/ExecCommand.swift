internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Runtime
internal import SystemPackage

/// `exec`.
enum ExecCommand {
  static let command = Command(
    usage: "ID COMMAND [ARGUMENTS]", help: "run one more process in a container",
    flags: [
      .value("process", "p", "a file that describes the process, as config.json does"),
      .value("console-socket", nil, "a Unix socket that gets the terminal's master"),
      .value("pid-file", nil, "a file that gets the process's pid"),
      .toggle("detach", "d", "return when the process runs"),
      .toggle("tty", "t", "give it a terminal"),
      .value("cwd", nil, "the folder to start in"),
      .value("env", "e", "KEY=VALUE, may be repeated"),
      .value("user", "u", "UID or UID:GID"),
      .value("additional-gids", "g", "one more group, may be repeated"),
      .value("cap", "c", "one more capability, may be repeated"),
      .value("apparmor", nil, "the AppArmor profile"),
      .value("process-label", nil, "the SELinux label"),
      .toggle("no-new-privs", nil, "exec may never give more rights"),
      .value("preserve-fds", nil, "how many descriptors after 2 the process gets"),
      .value("cgroup", nil, "an existing cgroup below the container's"),
      .toggle("ignore-paused", nil, "also in a paused container; the process waits until it goes on"),
    ], stopsAtOperand: true, entersContainers: true, failureCode: 255
  ) { arguments, context throws(Fault) in
    let folder = try context.root.container(try arguments.id())
    let record = try folder.existing()
    switch folder.status(record) {
    case .running, .created: break
    case .paused:
      guard arguments.isOn("ignore-paused") else {
        throw Fault(.conflict, "cannot exec in a paused container (use --ignore-paused to override)")
      }
    case .stopped, .creating: throw Fault(.conflict, "cannot exec in a stopped container")
    }
    var description = try folder.description()
    let passed = try Passed(arguments)
    var process = try ExecProcess.process(arguments, description.spec)
    if let variables = passed.variables { process.env = (process.env ?? []) + variables }
    let hasTerminal = process.terminal ?? false
    let detaches = arguments.isOn("detach")
    let socket =
      detaches || arguments["console-socket"] != nil
      ? try CreateCommand.consoleSocket(arguments, needed: hasTerminal) : Int32?.none
    let filter = try FilterStore(context.root).filter(description)
    try description.completeSupervisor(filterFlags: filter?.flags ?? 0)
    var cgroup = try Cgroup.open(path: record.cgroup)
    if let below = arguments["cgroup"] { cgroup = try cgroup.existing(below: below) }
    var request = ExecRequest(
      process: process, containerPID: record.pid, namespaces: description.spec.linux?.namespaces ?? [],
      seccompFilter: filter?.bytes, seccompFlags: filter?.flags ?? 0, cgroup: cgroup,
      io: hasTerminal ? .terminal : .descriptors(input: 0, output: 1, error: 2))
    request.container = (description.spec, ContainerIdentity(id: record.id, bundle: record.bundle))
    request.passedDescriptors = passed.descriptors
    guard record.isAlive else { throw Fault(.conflict, "cannot exec in a stopped container") }
    if detaches {
      var process = try Container.exec(request)
      Descriptors.close(try told(&process, socket, arguments) ?? -1)
      return 0
    }
    let foreground = try Foreground()
    var started = try Container.exec(request)
    let master = try told(&started, socket, arguments)
    return foreground.wait(pid: started.pid, master: master)
  }

  /// Tells the caller of a process that runs; returns the terminal's master when no socket takes it. On failure the process
  /// is ended.
  private static func told(
    _ process: inout ContainerProcess, _ socket: Int32?, _ arguments: Arguments
  ) throws(Fault) -> Int32? {
    do throws(Fault) {
      let master = process.takeConsole()?.take()
      if let pidFile = arguments["pid-file"] { try Making.write(pid: process.pid, to: pidFile) }
      return try ConsoleSocket.hand(master, to: socket)
    } catch {
      try? process.pidFD.signal(SIGKILL)
      _ = try? process.pidFD.wait()
      throw error
    }
  }
}

/// What an exec runs.
enum ExecProcess {
  /// From `--process`, or the container's own process with what the flags say.
  static func process(_ arguments: Arguments, _ spec: RuntimeSpec) throws(Fault) -> RuntimeSpec.Process {
    if let file = arguments["process"] {
      try arguments.atMost(1)
      var process = try ProcessFile.read(file)
      if arguments.isOn("tty") { process.terminal = true }
      return process
    }
    guard var process = spec.process else {
      throw Fault(.invalidArgument, "the container's description has no process: use --process")
    }
    process.args = Array(arguments.operands.dropFirst())
    guard process.args?.isEmpty == false else {
      throw Fault(.invalidArgument, "no command was given: name one after the container's id, or use --process")
    }
    process.terminal = arguments.isOn("tty")
    process.consoleSize = nil
    if let cwd = arguments["cwd"] { process.cwd = cwd }
    process.env = (process.env ?? []) + arguments.all("env")
    if let user = arguments["user"] { try setUser(user, of: &process) }
    for text in arguments.all("additional-gids") {
      guard let gid = UInt32(text) else { throw Fault(.invalidArgument, "--additional-gids is \"\(text)\": a number") }
      process.user.additionalGids = (process.user.additionalGids ?? []) + [gid]
    }
    for name in arguments.all("cap") {
      var sets = process.capabilities ?? RuntimeSpec.Capabilities()
      sets.bounding = (sets.bounding ?? []) + [name]
      sets.effective = (sets.effective ?? []) + [name]
      sets.permitted = (sets.permitted ?? []) + [name]
      process.capabilities = sets
    }
    if let profile = arguments["apparmor"] { process.apparmorProfile = profile }
    if let label = arguments["process-label"] { process.selinuxLabel = label }
    if arguments.isOn("no-new-privs") { process.noNewPrivileges = true }
    return process
  }

  private static func setUser(_ text: String, of process: inout RuntimeSpec.Process) throws(Fault) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { UInt32($0) }
    guard (1...2).contains(parts.count), let uid = parts[0] else {
      throw Fault(.invalidArgument, "--user is \"\(text)\": give UID or UID:GID as numbers")
    }
    process.user.username = nil
    process.user.uid = uid
    if parts.count == 2 {
      guard let gid = parts[1] else {
        throw Fault(.invalidArgument, "--user is \"\(text)\": give UID or UID:GID as numbers")
      }
      process.user.gid = gid
    }
  }
}
