internal import Faults
internal import Glibc
internal import Linux
internal import ShimCore
internal import Synchronization
internal import SystemPackage

/// Starts shims, all from one sealed copy of the executable in memory: nothing that runs in a container can change the
/// file that the next one starts from (CVE-2019-5736), and all share its pages.
///
/// One shim is kept waiting for the next task (`refill`): it ends by itself when this process does.
struct ShimLauncher: ~Copyable, Sendable {
  /// A shim and our end of its connection.
  struct Started: ~Copyable, Sendable {
    var process: SpawnedProcess
    var socket: OwnedDescriptor
  }

  private let executable: SealedExecutable
  private let folderLength: Int
  private let waiting = Mutex<Started?>(nil)

  /// Copies the executable at `path`; `tasks` is the folder that tasks' folders are in.
  init(executable path: FilePath, tasks: FilePath) throws(Fault) {
    do {
      executable = try SealedExecutable(copying: path, name: "gantry-shim")
    } catch {
      throw Fault(
        error == .noSuchFileOrDirectory ? .notFound : .internal,
        "the shim's executable \(path) cannot be loaded: install it beside gantry-taskd, or name it with --shim",
        cause: ["\(error)"])
    }
    folderLength = tasks.string.utf8.count + 1 + 64  // most ids are 64 digits
  }

  /// Gives the task in `folder` to a shim, which takes over `lock`, the open and locked folder. Fails with no process left.
  borrowing func launch(_ folder: TaskFolder, lock: Int32) throws(Fault) -> Started {
    do throws(Errno) {
      if let ready = waiting.withLock({ $0.take() }) {
        if ready.process.pidFD.isAlive(),
          (try? ShimAssignment.send(ready.socket.rawValue, folder: folder.path, lock: lock)) != nil
        {
          return ready
        }
        // It was killed while it waited.
        _ = try? ready.process.pidFD.wait(noHang: true)
      }
      let fresh = try start()
      try ShimAssignment.send(fresh.socket.rawValue, folder: folder.path, lock: lock)
      return fresh
    } catch {
      let code: FaultCode = error == .resourceTemporarilyUnavailable || error == .noMemory ? .limitExceeded : .internal
      throw Fault(code, "no shim can be started for \(folder.path)", cause: ["\(error)"])
    }
  }

  /// Starts the shim that waits for the next task, unless one does. Blocks until it has been started; a failure is met by
  /// the next `launch`, which tries again.
  borrowing func refill() {
    guard waiting.withLock({ $0 == nil }) else { return }
    var fresh: Started? = try? start()
    waiting.withLock { waiting in
      if waiting == nil { waiting = fresh.take() }
    }
    // Another thread was quicker.
    if let surplus = fresh.take() { Self.end(surplus) }
  }

  /// The process of the shim that waits; nil when none does.
  borrowing func waitingPid() -> Int32? {
    waiting.withLock { waiting in
      switch waiting {
      case .some(let shim): shim.process.pid
      case .none: nil
      }
    }
  }

  /// Ends the shim that waits.
  borrowing func close() {
    if let rest = waiting.withLock({ $0.take() }) { Self.end(rest) }
  }

  /// Ends a shim without a task: it reads the end of input.
  private static func end(_ shim: consuming Started) {
    UnixSocket.shutdownWriting(shim.socket.rawValue)
    _ = try? shim.process.pidFD.wait()
  }

  private borrowing func start() throws(Errno) -> Started {
    let pair = try UnixSocket.pair()
    let process = try SpawnRequest(
      .descriptor(executable.descriptor.rawValue),
      arguments: ShimAssignment.arguments(folderLength: folderLength),
      environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      descriptors: [nil, nil, 2, pair.second.rawValue], workingDirectory: nil, newSession: true
    ).spawn()
    return Started(process: process, socket: pair.first)
  }
}
