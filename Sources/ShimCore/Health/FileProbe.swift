internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Whether a path exists in the container's root, as a probe.
///
/// A path that the kernel has in its cache is looked up here and now. Any other look-up may have to wait for a disk, a
/// network or a hostile file system that never answers: a child does that, and the loop goes on.
final class FileProbe: RunningProbe {
  let pid: Int32?
  private let path: String
  private let done: Done

  /// Looks for `path` in the root of the process `container`; nil when the answer was given at once.
  static func begin(_ path: String, container: Int32, done: @escaping Done) throws(Fault) -> FileProbe? {
    // The link leads into the container's mount namespace; from there on, the path stays below its root.
    let root: OwnedDescriptor
    do {
      root = try openat2(nil, "/proc/\(container)/root", [.path, .directory])
    } catch {
      throw Fault(.conflict, "the container has just ended", cause: ["\(error)"])
    }
    switch look(root.rawValue, path, cached: true) {
    case -EAGAIN: break
    case let result:
      say(result, path, done)
      return nil
    }
    let child = cl_clone3(0, SIGCHLD, -1, nil)
    if child == 0 {
      // It may hang for long: it holds nothing of the shim's, and does not outlive it.
      _ = cl_prctl(Int32(CL_PR_SET_PDEATHSIG), UInt(SIGKILL), 0, 0, 0)
      _ = cl_close_range(0, UInt32(root.rawValue) - 1, 0)
      _ = cl_close_range(UInt32(root.rawValue) + 1, UInt32.max, 0)
      let result = look(root.rawValue, path, cached: false)
      cl_exit(-result)
    }
    guard child > 0 else {
      throw Fault(.limitExceeded, "no process can be made to look for \(path): \(Errno(rawValue: -child))")
    }
    return FileProbe(pid: child, path: path, done: done)
  }

  private init(pid: Int32?, path: String, done: @escaping Done) {
    self.pid = pid
    self.path = path
    self.done = done
  }

  func cancel() { if let pid { kill(pid, SIGKILL) } }

  func childEnded(_ pid: Int32, _ exit: ProcessExit) -> Bool {
    guard pid == self.pid else { return false }
    switch exit {
    case .exited(let code): Self.say(-code, path, done)
    case .signalled: done(-1, Array("the look-up of \(path) was killed".utf8))
    }
    return true
  }

  /// 0 or a negative error number; -EAGAIN for a look-up that would have to wait, when only `cached` is wanted.
  private static func look(_ root: Int32, _ path: String, cached: Bool) -> Int32 {
    let flags = UInt64(O_CLOEXEC) | UInt64(CL_O_PATH)
    let within = UInt64(CL_RESOLVE_IN_ROOT) | UInt64(CL_RESOLVE_NO_MAGICLINKS)
    let fd = cl_openat2(root, path, flags, 0, cached ? within | UInt64(CL_RESOLVE_CACHED) : within)
    guard fd >= 0 else { return fd }
    close(fd)
    return 0
  }

  private static func say(_ result: Int32, _ path: String, _ done: Done) {
    switch -result {
    case 0: done(0, Array("\(path) exists".utf8))
    case ENOENT, ENOTDIR: done(1, Array("\(path) does not exist".utf8))
    default: done(1, Array("\(path) cannot be looked up: \(Errno(rawValue: -result))".utf8))
    }
  }
}
