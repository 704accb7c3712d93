internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// The last part of the way of init and exec alike: from a process that is in the container to the program in its place.
enum Program {
  /// Never returns but by a fault. `channel` becomes descriptor 3, the only one besides 0, 1 and 2.
  static func run(
    _ plan: ProcessPlan, terminal: Int32?, channel: inout Int32, useInit: Bool, waitForStart: Bool
  ) throws(Fault) {
    // 1. Descriptors 0, 1, 2, our end of the handshake as 3, and no other one: nothing of the host's can be reached
    //    through /proc/self/fd (CVE-2024-21626, CVE-2016-9962).
    try StandardDescriptors.connect(plan.io, terminal: terminal, channel: &channel)

    // 2. Limits and priorities, while still root.
    for limit in plan.limits {
      try step("set the limit \(limit.name)=\(limit.soft):\(limit.hard)", code: .invalidArgument) { () throws(Errno) in
        try check(cl_setrlimit(limit.number, limit.soft, limit.hard))
      }
    }
    try plan.scheduling.apply()

    // 3. Who it runs as, from the container's own files, and the folder that it starts in. The folder is opened without
    //    magic links, and what the kernel says of it afterwards must be inside the root (CVE-2024-21626).
    let root = try step("open the container's root") { () throws(Errno) in
      try openat2(nil, "/", [.path, .directory])
    }
    var environment = plan.environment
    let needsHome = !environment.contains { $0.hasPrefix("HOME=") }
    let identity = try Identity.resolve(plan.user, root: root.rawValue, needsHome: needsHome)
    if needsHome { environment.append("HOME=" + (identity.home ?? "/")) }
    giveStandardDescriptors(to: identity.uid)
    let enteredAsRoot = try enter(plan.cwd, root: root.rawValue, lastTry: false)

    // 4. Rights: the bounding set, then groups and user (keeping what is permitted), then exactly the sets asked for.
    let needsFilterRight = plan.filter != nil && !plan.noNewPrivileges
    try plan.capabilities.dropBounding()
    try become(identity)
    try plan.capabilities.reduce(forFilter: needsFilterRight)
    umask(plan.user.umask ?? 0o022)
    if !enteredAsRoot { _ = try enter(plan.cwd, root: root.rawValue, lastTry: true) }
    Descriptors.close(root.take())

    // 5. The program, found as the user that will run it.
    let path = try find(plan.arguments[0], environment: environment)
    let argv = CStrings(plan.arguments)
    let envp = CStrings(environment)
    if waitForStart {
      try step("tell that the container is ready") { () throws(Errno) in try Handshake.send(channel, .ready) }
      guard let message = try? Handshake.receive(channel), message.kind == .go else { cl_exit(1) }
    }

    // 6. Nothing that runs from here on can give more rights than these.
    if plan.noNewPrivileges {
      try step("set no_new_privs") { () throws(Errno) in
        try check(cl_prctl(Int32(CL_PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0))
      }
    }
    try step("tell that the container is complete") { () throws(Errno) in try Handshake.send(channel, .executing) }

    // 7. With --init, this process stays as process 1; its only child goes on.
    if useInit { try Reaper.split(plan, channel: channel) }

    // 8. The filter last: between it and exec only the right to load it is given up.
    try loadFilter(plan)
    if needsFilterRight { try plan.capabilities.finish() }
    throw refusal(cl_execve(path, argv.pointers, envp.pointers), path: path, name: plan.arguments[0])
  }

  /// Loads the system call filter, if any.
  static func loadFilter(_ plan: ProcessPlan) throws(Fault) {
    guard let filter = plan.filter else { return }
    let result = filter.withUnsafeBytes {
      cl_seccomp_filter($0.baseAddress!, UInt16($0.count / 8), plan.filterFlags)
    }
    try step("load the system call filter") { () throws(Errno) in try check(result) }
  }

  /// Pipes and the terminal belong to the user, so that it can open /dev/stdout again.
  private static func giveStandardDescriptors(to uid: UInt32) { give(Array(0...2), to: uid) }

  /// Gives those of `descriptors` that are pipes or terminals to `uid`.
  static func give(_ descriptors: [Int32], to uid: UInt32) {
    for descriptor in descriptors {
      guard let status = try? FileStatus(of: descriptor), status.uid != uid else { continue }
      let isTerminal = status.kind == .characterDevice && Terminal.isTerminal(descriptor)
      if status.kind == .fifo || isTerminal { _ = Glibc.fchown(descriptor, uid, UInt32.max) }
    }
  }

  /// The folder to start in, made when it does not exist, as Docker does. Magic links are not followed.
  static func makeWorkingDirectory(_ path: String, in tree: ContainerTree) throws(Fault) {
    guard path != "/" else { return }
    do throws(Errno) {
      if try tree.find(path) != nil { return }
    } catch {
      throw refusal(error, workingDirectory: path)
    }
    let parent = try tree.makeParent(of: path)
    do throws(Errno) {
      try Files.makeDirectory(at: parent.folder.rawValue, parent.name, mode: 0o755)
    } catch {
      throw refusal(error, workingDirectory: path)
    }
  }

  /// Goes to the working folder; false when that needs the user's own rights and this is not the last try.
  private static func enter(_ path: String, root: Int32, lastTry: Bool) throws(Fault) -> Bool {
    do throws(Errno) {
      let folder = try openat2(root, path, [.path, .directory], resolve: [.inRoot, .noMagicLinks])
      if Glibc.fchdir(folder.rawValue) != 0 { throw Errno(rawValue: errno) }
    } catch {
      if error == .permissionDenied && !lastTry { return false }
      throw refusal(error, workingDirectory: path)
    }
    var buffer = [CChar](repeating: 0, count: 4097)
    let length = cl_getcwd(&buffer, buffer.count)
    // The kernel says "(unreachable)/…" of a folder outside the root.
    guard length > 0, buffer[0] == 0x2f else {
      throw Fault(
        .invalidArgument, "the working folder \(path) is outside the container's root: the start is refused")
    }
    return true
  }

  /// Codes as Docker's command line gives exit codes for the same mistakes: 127 for what does not exist, 126 for what
  /// cannot be entered, 125 for what is refused.
  private static func refusal(_ error: Errno, workingDirectory path: String) -> Fault {
    let words = "chdir to cwd (\"\(path)\") set in config.json failed"
    switch error {
    case .noSuchFileOrDirectory: return Fault(.commandNotFound, words, cause: [error.description])
    case .notDirectory, .permissionDenied: return Fault(.commandNotExecutable, words, cause: [error.description])
    case .tooManySymbolicLinkLevels:
      return Fault(.invalidArgument, words + ": it leads through a link of /proc, or through too many links")
    default: return Fault(faultCode(for: error, otherwise: .invalidArgument), words, cause: [error.description])
    }
  }

  private static func become(_ identity: Identity) throws(Fault) {
    try step("become the user \(identity.uid):\(identity.gid)", code: .invalidArgument) { () throws(Errno) in
      try check(cl_setgroups(identity.groups.count, identity.groups))
      try check(cl_setresgid(identity.gid))
      try check(cl_prctl(Int32(CL_PR_SET_KEEPCAPS), 1, 0, 0, 0))
      try check(cl_setresuid(identity.uid))
      try check(cl_prctl(Int32(CL_PR_SET_KEEPCAPS), 0, 0, 0, 0))
    }
  }

  private static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  /// The file that `name` means, by PATH when it has no slash.
  static func find(_ name: String, environment: [String]) throws(Fault) -> String {
    if name.utf8.contains(0x2f) {
      try examine(name)
      return name
    }
    // The last PATH wins, as execvpe sees it after libc's own rules do not apply: one rule for all.
    let path = environment.last { $0.hasPrefix("PATH=") }?.dropFirst(5) ?? defaultPath[...]
    for folder in path.split(separator: ":") where folder.hasPrefix("/") {
      let candidate = "\(folder)/\(name)"
      if (try? examine(candidate)) != nil { return candidate }
    }
    throw Fault(.commandNotFound, "exec: \"\(name)\": executable file not found in $PATH")
  }

  /// Whether `path` can be executed. A path through /proc's magic links is refused: it could lead to our own executable
  /// (CVE-2019-5736).
  private static func examine(_ path: String) throws(Fault) {
    do throws(Errno) {
      let file = try openat2(nil, path, .path, resolve: .noMagicLinks)
      let kind = try FileStatus(of: file.rawValue).kind
      if kind == .directory {
        throw Errno.isDirectory
      }
      guard kind == .regular else { throw Errno.permissionDenied }
      if access(path, X_OK) != 0 { throw Errno(rawValue: errno) }
    } catch {
      switch error {
      case .noSuchFileOrDirectory, .notDirectory:
        throw Fault(.commandNotFound, "exec: \"\(path)\": stat \(path): no such file or directory")
      case .isDirectory: throw Fault(.commandNotExecutable, "exec: \"\(path)\": is a directory")
      case .tooManySymbolicLinkLevels:
        throw Fault(
          .commandNotExecutable,
          "exec: \"\(path)\": leads through a link of /proc to a file that may be outside the container")
      default: throw Fault(.commandNotExecutable, "exec: \"\(path)\": permission denied")
      }
    }
  }

  private static func refusal(_ result: Int32, path: String, name: String) -> Fault {
    let error = Errno(rawValue: -result)
    switch error {
    case .noSuchFileOrDirectory:
      return Fault(
        .commandNotFound,
        "exec \(path): no such file or directory (the program is there; the interpreter or loader that it names is not)"
      )
    case .execFormatError:
      return Fault(.commandNotExecutable, "exec \(path): exec format error")
    default:
      return Fault(.commandNotExecutable, "exec \(path): \(error.description.lowercased())")
    }
  }
}
