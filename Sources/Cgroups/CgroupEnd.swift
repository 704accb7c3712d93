public import Faults
import Glibc

/// Pausing, ending and removing.
extension Cgroup {
  /// Stops every process until `thaw`, waiting at most `milliseconds` for the kernel to say so. On `deadlineExceeded` all
  /// of them run on.
  public func freeze(withinMilliseconds milliseconds: Int32 = 2_000) throws(Fault) {
    try Freezer.freeze(freezerFolder(), within: milliseconds)
  }

  /// Lets the processes go on after `freeze`. Harmless when they were not frozen.
  public func thaw() throws(Fault) { try Freezer.thaw(freezerFolder()) }

  /// Whether `freeze` holds all processes.
  public var isFrozen: Bool { folders[.freezer].map(Freezer.isFrozen) ?? false }

  private func freezerFolder() throws(Fault) -> ControllerFolder {
    guard let folder = folders[.freezer] else {
      throw Fault(.unsupported, "cannot pause: this machine offers no freezer cgroup controller, or the cgroup is gone")
    }
    return folder
  }

  /// Sends `signal` to every process inside, also to those born while this runs when `signal` is SIGKILL.
  ///
  /// SIGKILL is one write of `cgroup.kill` where the kernel has it (Linux 5.14, also on a hybrid); else the processes are
  /// frozen, killed and thawed, so that no fork can escape. Frozen containers die too. Returns before they are gone.
  public func signalAll(_ signal: Int32) throws(Fault) {
    if signal == SIGKILL {
      try killAll()
    } else {
      for pid in processes() { kill(pid, signal) }
    }
  }

  /// Kills every process inside and below; see `signalAll`. Returns before they are gone: `waitUntilEmpty` waits.
  public func killAll() throws(Fault) {
    let folder = folders[.freezer]
    if let unified, unified.has("cgroup.kill") {
      try unified.write("cgroup.kill", "1")
      if version == .v2 { return }
      // v1's freezer keeps even killed processes from dying; v2's does not.
      if let folder, folder.version == .v1 { _ = folder.attempt("freezer.state", "THAWED") }
      if unified.read("cgroup.events")?.contains("populated 1") == true || isEmpty { return }
      // Processes that entered the v1 trees alone are left: go on as without cgroup.kill.
    }
    try Self.killEach(freezing: folder) { processes() }
  }

  /// Kills what `processes` lists, without `cgroup.kill`: frozen meanwhile, so that no fork can escape. Without a freezer, or
  /// when it is slow, it repeats until no process shows that was not killed already.
  static func killEach(freezing folder: ControllerFolder?, _ processes: () -> [Int32]) throws(Fault) {
    if let folder { _ = try? Freezer.freeze(folder, within: 100) }
    var killed: Set<Int32> = []
    for _ in 0..<1_000 {
      let fresh = processes().filter { !killed.contains($0) }
      if fresh.isEmpty { break }
      for pid in fresh {
        kill(pid, SIGKILL)
        killed.insert(pid)
      }
    }
    if let folder {
      do { try Freezer.thaw(folder) } catch { if KernelFile.exists(folder.path) { throw error } }
    }
  }

  /// Waits at most `milliseconds` until no process is inside.
  ///
  /// - Returns: whether none is.
  public func waitUntilEmpty(withinMilliseconds milliseconds: Int32) -> Bool {
    let deadline = KernelFile.now() + UInt64(max(milliseconds, 0)) * 1_000_000
    if let unified {
      Events.wait(unified.path + "/cgroup.events", milliseconds: milliseconds) { $0.contains("populated 0") }
    }
    var wait: UInt32 = 100
    while !isEmpty {
      if KernelFile.now() >= deadline { return false }
      KernelFile.pause(microseconds: wait)
      wait = min(wait * 2, 5_000)
    }
    return true
  }

  /// Deletes all folders of this cgroup, with those that the container made below them, once.
  ///
  /// - Returns: whether nothing is left. False means busy: processes are still inside, or dying.
  public func removeOnce() -> Bool {
    var gone = true
    // Every tree, because `update` may have made folders that this value does not know of.
    for path in everyPath where !Self.removeTree(path) { gone = false }
    return gone
  }

  /// Where this cgroup's folders are or would be, one for each mounted tree.
  private var everyPath: Set<String> {
    var paths = Set(hierarchy.legacy.values.map { folderPath(in: $0) })
    if let mount = hierarchy.unified { paths.insert(folderPath(in: mount)) }
    return paths
  }

  /// Deletes all folders, trying again while they are busy, at most `milliseconds`.
  ///
  /// Each tree costs 20 to 90 µs; nothing waits for it, so that a caller with better things to do may call it later or in
  /// another process. Removing what is gone already succeeds. Fails with `conflict` and the pids that are still inside.
  public func remove(withinMilliseconds milliseconds: Int32 = 2_000) throws(Fault) {
    let deadline = KernelFile.now() + UInt64(max(milliseconds, 0)) * 1_000_000
    var wait: UInt32 = 50
    while !removeOnce() {
      if KernelFile.now() >= deadline {
        let pids = processes().prefix(10).map(String.init).joined(separator: ", ")
        throw Fault(
          .conflict,
          "the cgroup \(path) cannot be removed after \(milliseconds) ms: "
            + (pids.isEmpty ? "the kernel calls it busy" : "processes \(pids) are still inside"))
      }
      KernelFile.pause(microseconds: wait)
      wait = min(wait * 2, 10_000)
    }
  }

  /// Removes the folders above `path` that `create` made when they are empty, up to the mount points. Safe at any time: a
  /// container that is created meanwhile makes them again.
  public static func removeEmptyParents(of path: String, hierarchy: CgroupHierarchy? = nil) throws(Fault) {
    let hierarchy = if let hierarchy { hierarchy } else { try CgroupHierarchy.current() }
    var parts = path.split(separator: "/")
    _ = parts.popLast()
    while !parts.isEmpty {
      let parent = try Cgroup(
        path: (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/"), hierarchy: hierarchy)
      for mount in Array(hierarchy.legacy.values) + (hierarchy.unified.map { [$0] } ?? []) {
        rmdir(parent.folderPath(in: mount))
      }
      parts.removeLast()
    }
  }

  /// Removes the folder `path` with all below. Returns whether it is gone.
  @discardableResult
  static func removeTree(_ path: String) -> Bool {
    if rmdir(path) == 0 || errno == ENOENT { return true }
    for name in KernelFile.folders(in: path) { removeTree("\(path)/\(name)") }
    return rmdir(path) == 0 || errno == ENOENT
  }
}
