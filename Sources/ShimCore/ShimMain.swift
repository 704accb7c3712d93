internal import CLinux
internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
public import SystemPackage

/// The whole life of a shim process.
public enum ShimMain {
  /// Serves the task in `folder` until its container has ended and everything was handed out.
  ///
  /// - Parameters:
  ///   - control: the socket to taskd, which gets one `ShimReady` line and then speaks JSON-RPC; nil without taskd.
  ///   - lock: the folder, open and locked; nil without taskd, then the folder is locked here.
  /// - Returns: the exit code of the process: 0, or 1 when no container could be made.
  public static func run(folder path: FilePath, control: Int32?, lock: Int32?) -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGHUP, SIGINT, SIGTERM, SIGQUIT] { signal(number, SIG_IGN) }
    umask(0o077)
    // Started from a descriptor: the kernel has no name for it.
    ProcessName.set("gantry-shim")
    try? Children.becomeSubreaper()
    for inherited in [control, lock] { if let inherited { try? Descriptors.setCloseOnExec(inherited, true) } }
    let folder = TaskFolder(path)
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
