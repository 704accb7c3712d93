internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import Runtime
internal import SystemPackage

/// The end of a container: its processes, its cgroup, its hooks, its folder, in this order.
struct Deletion {
  private let folder: StateFolder
  private let context: Context

  init(_ folder: StateFolder, _ context: Context) {
    self.folder = folder
    self.context = context
  }

  /// Ends every process of a container in whatever state, half made ones too.
  func killAll(_ record: ContainerRecord?) throws(Fault) {
    if let process = record?.process() {
      try? process.signal(SIGKILL)
      if let cgroup = try cgroup(record) { try cgroup.killAll() }
      var events: UInt32 = 0
      let ended = try? Polling.wait(
        process.descriptor.rawValue, for: .readable, milliseconds: 10_000, events: &events)
      guard ended == true else {
        throw Fault(.deadlineExceeded, "process \(record?.pid ?? 0) of container \(folder.id) does not end")
      }
    }
  }

  /// Removes what is left of a container whose first process has ended.
  func removeEnded(_ record: ContainerRecord?) throws(Fault) {
    if let cgroup = try cgroup(record) {
      // Processes that share the host's pid namespace may have outlived the first one.
      if !cgroup.removeOnce() {
        try cgroup.killAll()
        try cgroup.remove(withinMilliseconds: 10_000)
      }
    }
    // A description that cannot be read has no hooks that could be run.
    if let record, let description = try? folder.description(), description.spec.hooks?.poststop?.isEmpty == false {
      let identity = ContainerIdentity(id: record.id, bundle: record.bundle)
      for warning in Hooks.stopped(description.spec, identity) { context.log.warning("\(warning)") }
    }
    try folder.remove()
  }

  /// The container's cgroup; nil when there is none, or none was made yet.
  private func cgroup(_ record: ContainerRecord?) throws(Fault) -> Cgroup? {
    guard let path = record?.cgroup ?? (try? Files.readText(folder.cgroupFile.string)), !path.isEmpty else {
      return nil
    }
    do throws(Fault) {
      return try Cgroup.open(path: path)
    } catch {
      if error.code == .notFound { return nil }
      throw error
    }
  }
}
