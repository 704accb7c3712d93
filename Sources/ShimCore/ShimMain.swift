internal import CLinux
internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
public import SystemPackage

/// The whole life of a shim process.
public enum ShimMain {
  /// Waits for the task that taskd assigns over `control` (`ShimAssignment`), then serves it as `run` does.
  ///
  /// taskd keeps one shim waiting: what every start of a program costs (exec, the runtime's own start, the first touch of
  /// its pages) has then happened before a container is asked for.
  ///
  /// - Returns: the exit code of the process; 0 when taskd went away before it assigned a task.
  public static func wait(control: Int32) -> Int32 {
    prepare()
    try? Descriptors.setCloseOnExec(control, true)
    Rehearsal.run()
    guard let folder = ShimAssignment.receive(control) else { return 0 }
    cl_set_argument(CommandLine.unsafeArgv, folder.string)
    return serve(TaskFolder(folder), control: control)
  }

  /// Serves the task in `folder` until its container has ended and everything was handed out, without a taskd.
  ///
  /// - Returns: the exit code of the process: 0, or 1 when no container could be made.
  public static func run(folder: FilePath) -> Int32 {
    prepare()
    let folder = TaskFolder(folder)
    do throws(Fault) {
      guard let lock = try folder.lock() else {
        throw Fault(.locked, "a shim is at work in \(folder.path): end that one first")
      }
      let code = serve(folder, control: nil)
      _ = consume lock
      return code
    } catch {
      Diagnostics.say("\(error)")
      return 1
    }
  }

  private static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGHUP, SIGINT, SIGTERM, SIGQUIT] { signal(number, SIG_IGN) }
    umask(0o077)
    // Started from a descriptor: the kernel has no name for it.
    ProcessName.set("gantry-shim")
    try? Children.becomeSubreaper()
  }

  /// - Parameter control: the socket to taskd, which gets one `ShimReady` line and then speaks JSON-RPC; nil without taskd.
  private static func serve(_ folder: TaskFolder, control: Int32?) -> Int32 {
    do throws(Fault) {
      let shim = try Shim(folder: folder, control: control)
      report(try shim.ready(), control)
      shim.settle()
      shim.releaseIdleMemory()
      shim.loop.run()
      shim.close()
      return 0
    } catch {
      unlink(folder.path(.streams).string)
      unlink(folder.path(.control).string)
      report(
        ShimReady(failure: .init(code: error.code.rawValue, message: error.message, cause: error.cause)), control)
      if control == nil { Diagnostics.say("\(error)") }
      return 1
    }
  }

  /// Says something to the person who started the process.
  public static func explain(_ text: String) { Diagnostics.say(text) }

  /// Sends the first line. A taskd that is gone finds the task by its folder.
  private static func report(_ ready: ShimReady, _ control: Int32?) {
    guard let control else { return }
    var line = ready.failure == nil ? Array(ready.json.utf8) : (try? Array(JSONEncoder().encode(ready))) ?? []
    line.append(10)
    _ = try? line.withUnsafeBytes { bytes throws(Errno) in try UnixSocket.send(control, bytes) }
  }
}
