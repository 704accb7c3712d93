import CLinux
import Faults
import Glibc

/// Device denial on cgroup v2: a program attached to the container's folder, removed by the kernel with the folder.
enum DevicesV2 {
  /// Makes `rules` hold in `folder`: the new program is attached before the old ones are taken off, so that there is no
  /// moment without one (with both, a device must pass both).
  static func apply(_ rules: DeviceRules, to folder: ControllerFolder) throws(Fault) {
    let cgroup = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard cgroup >= 0 else { throw failure("open", folder, errno) }
    defer { close(cgroup) }
    var old = [UInt32](repeating: 0, count: 64)
    let count = cl_device_program_query(cgroup, &old, UInt32(old.count))
    if count < 0 && count != -ENOENT { throw failure("query", folder, -count) }

    let encoded = DeviceProgram(rules).encoded
    let program = cl_device_program_load(encoded, UInt32(encoded.count), nil, 0)
    guard program >= 0 else { throw failure("load", folder, -program) }
    defer { close(program) }
    let attached = cl_device_program_attach(cgroup, program)
    guard attached >= 0 else { throw failure("attach", folder, -attached) }
    for identifier in old.prefix(max(0, Int(count))) {
      let detached = cl_device_program_detach(cgroup, identifier)
      guard detached >= 0 || detached == -ENOENT else { throw failure("detach", folder, -detached) }
    }
  }

  private static func failure(_ step: String, _ folder: ControllerFolder, _ error: Int32) -> Fault {
    Fault(
      error == EPERM ? .permissionDenied : error == ENOSYS || error == EINVAL ? .unsupported : .internal,
      "devices: cannot \(step) the device program of \(folder.path): \(KernelFile.words(error))"
        + (error == EPERM ? "; denying devices on cgroup v2 needs CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN" : ""))
  }
}
