internal import Faults
internal import Glibc
internal import Linux
internal import ShimCore
internal import SystemPackage

/// Starts shims, all from one sealed copy of the executable in memory: nothing that runs in a container can change the
/// file that the next one starts from (CVE-2019-5736), and all share its pages.
struct ShimLauncher: ~Copyable, Sendable {
  private let executable: SealedExecutable

  /// Copies the executable at `path`.
  init(executable path: FilePath) throws(Fault) {
    do {
      executable = try SealedExecutable(copying: path, name: "gantry-shim")
    } catch {
      throw Fault(
        error == .noSuchFileOrDirectory ? .notFound : .internal,
        "the shim's executable \(path) cannot be loaded: install it beside gantry-taskd, or name it with --shim",
        cause: ["\(error)"])
    }
  }

  /// Starts a shim for the task in `folder`. It inherits `lock`, the open and locked folder, and `control`, its end of the
  /// connection to us. Fails with no process left.
  borrowing func launch(_ folder: TaskFolder, lock: Int32, control: Int32) throws(Fault) -> SpawnedProcess {
    do {
      return try SpawnRequest(
        .descriptor(executable.descriptor.rawValue), arguments: ["gantry-shim", folder.path.string],
        environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        descriptors: [nil, nil, 2, control, lock], workingDirectory: nil, newSession: true
      ).spawn()
    } catch {
      let code: FaultCode = error == .resourceTemporarilyUnavailable || error == .noMemory ? .limitExceeded : .internal
      throw Fault(code, "no shim can be started for \(folder.path)", cause: ["\(error)"])
    }
  }
}
