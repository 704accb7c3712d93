import Faults
import OCI

/// The cpuset controller: which processors and memory nodes may be used, as lists such as `0-2,5`.
enum CPUSet {
  static func apply(_ cpu: RuntimeSpec.CPU, to folder: ControllerFolder) throws(Fault) {
    if let cpus = cpu.cpus, !cpus.isEmpty {
      try folder.write(
        "cpuset.cpus", checked(cpus), hint: "name processors that are online and allowed to the cgroup above")
    }
    if let mems = cpu.mems, !mems.isEmpty {
      try folder.write(
        "cpuset.mems", checked(mems), hint: "name memory nodes that exist and are allowed to the cgroup above")
    }
  }

  /// Copies the parent's processors and nodes into a fresh v1 folder: while these files are empty no process can enter.
  static func inherit(in path: String) throws(Fault) {
    let folder = ControllerFolder(controller: .cpuset, version: .v1, path: path)
    guard let slash = path.lastIndex(of: "/") else { return }
    let parent = ControllerFolder(controller: .cpuset, version: .v1, path: String(path[..<slash]))
    for file in ["cpuset.cpus", "cpuset.mems"] {
      // With cgroup.clone_children set in the parent the kernel has copied them already.
      if let own = folder.read(file), !own.isEmpty { continue }
      guard let value = parent.read(file), !value.isEmpty else { continue }
      try folder.write(file, value)
    }
  }

  /// `list` when it is a list of numbers and ranges, so that a typing error is not passed on to the kernel.
  private static func checked(_ list: String) throws(Fault) -> String {
    let fits = list.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2c || $0 == 0x2d }
    guard fits else { throw Fault(.invalidArgument, "cpuset: \"\(list)\" is no list such as 0-2,5") }
    return list
  }
}
