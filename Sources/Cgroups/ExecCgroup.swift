public import Faults
import Glibc
public import Linux

/// A cgroup below a container's, for one exec and all that it starts: it finds and ends them, and limits nothing.
///
/// It is a folder in one tree alone: the v2 tree where there is one (also beside v1 trees: `cgroup.kill` ends a whole
/// subtree in one write), else the v1 freezer's. In every other tree the exec is in the container's own cgroup, so limits
/// and counters are the container's, and an exec costs two system calls more: mkdir and rmdir.
///
/// On v2 the container's own cgroup keeps its processes beside this folder: the kernel forbids that only where controllers
/// are enabled for the folders below, which a container that divides its cgroup (systemd inside) does after it has moved
/// its processes away. Such a container sees `exec.N` as one more folder at its root.
///
/// The life of one: `Cgroup.makeExec()`, born inside (`folderForClone(exec:)`, `entrance(exec:)`), `killAll` at any time,
/// `close` when the exec has ended. What a crash leaves goes with the container's cgroup.
public struct ExecCgroup: Sendable, Equatable {
  let folder: ControllerFolder

  /// The folder, such as `/sys/fs/cgroup/gantry/ID/exec.1`.
  public var path: String { folder.path }

  /// Kills every process inside and below, also those that are born meanwhile. Returns before they are gone; harmless when
  /// the folder is gone.
  public func killAll() throws(Fault) {
    if folder.version == .v2 {
      let error = folder.attempt("cgroup.kill", "1")
      switch error {
      case 0, ENODEV: return
      // Linux before 5.14 has no such file; without the folder there is nobody to kill.
      case ENOENT: break
      default: throw folder.refusal("cgroup.kill", "1", error, hint: nil)
      }
    }
    guard KernelFile.exists(folder.path) else { return }
    try Cgroup.killEach(freezing: folder) { Cgroup.processes(below: folder.path) }
  }

  /// Sends `signal` to every process inside and below; SIGKILL as `killAll`.
  public func signalAll(_ signal: Int32) throws(Fault) {
    if signal == SIGKILL { return try killAll() }
    for pid in Cgroup.processes(below: folder.path) { kill(pid, signal) }
  }

  /// Gives the processes that the exec left to the cgroup that `container` is in, the container's first process, and
  /// removes the folder: a server that was started by an exec goes on without it.
  ///
  /// - Returns: whether the folder is gone. False while a process inside is dying, or the container is.
  public func close(besideProcess container: Int32) -> Bool {
    if rmdir(folder.path) == 0 || errno == ENOENT { return true }
    guard let target = target(beside: container) else { return false }
    // A process that forks meanwhile is found in the next round.
    for _ in 0..<100 {
      let left = Cgroup.processes(below: folder.path)
      if left.isEmpty { break }
      for pid in left { _ = KernelFile.write(target + "/cgroup.procs", String(pid)) }
    }
    return Cgroup.removeTree(folder.path)
  }

  /// Where the container's first process is in the same tree.
  private func target(beside pid: Int32) -> String? {
    guard let parent = folder.path.lastIndex(of: "/").map({ String(folder.path[..<$0]) }) else { return nil }
    if folder.version == .v1 { return parent }
    let lines = (KernelFile.text("/proc/\(pid)/cgroup") ?? "").split(separator: "\n")
    guard let own = lines.first(where: { $0.hasPrefix("0::/") })?.dropFirst(3),
      let hierarchy = try? CgroupHierarchy.current(), let mount = hierarchy.unified,
      let below = Cgroup.suffix(
        of: CgroupHierarchy.relative(String(own), to: mount.root), below: parent, mount: mount.path)
    else { return nil }
    return parent + below
  }
}

extension Cgroup {
  /// Makes the folder `exec.NUMBER`, or the next number that is free: a container that may write its cgroup can have taken
  /// some. Fails with `limitExceeded` where the container has forbidden more folders.
  public func makeExec(_ number: inout UInt64) throws(Fault) -> ExecCgroup {
    guard let parent = unified ?? folders[.freezer] ?? distinctFolders.first else {
      throw Fault(.unsupported, "an exec needs a cgroup of its own, and the container has none")
    }
    for _ in 0..<1_000 {
      number += 1
      let path = "\(parent.path)/exec.\(number)"
      if mkdir(path, 0o755) == 0 {
        return ExecCgroup(
          folder: ControllerFolder(controller: .freezer, version: parent.version, path: path))
      }
      let error = errno
      guard error == EEXIST else {
        throw Fault(
          error == ENOENT ? .conflict : error == EAGAIN || error == ENOSPC ? .limitExceeded : .internal,
          "cannot make the exec's cgroup folder \(path): \(KernelFile.words(error))")
      }
    }
    throw Fault(.limitExceeded, "cannot make an exec's cgroup in \(parent.path): every name is taken")
  }

  /// A descriptor of the exec's folder for `clone3` with `CLONE_INTO_CGROUP`; nil where it is in a v1 tree.
  public func folderForClone(exec: ExecCgroup) throws(Fault) -> OwnedDescriptor? {
    exec.folder.version == .v2 ? try Self.openFolder(exec.folder.path) : nil
  }

  /// As `entrance()`, with the exec's folder in place of the container's.
  public func entrance(exec: ExecCgroup) throws(Fault) -> CgroupEntrance {
    var entered = distinctFolders.filter { $0.version == .v1 }
    if exec.folder.version == .v1, let index = entered.firstIndex(where: { exec.folder.path.hasPrefix($0.path + "/") })
    {
      entered[index] = exec.folder
    }
    return try CgroupEntrance(folders: entered)
  }
}
