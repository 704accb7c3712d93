import Faults
import Glibc
import OCI

/// Making and finding the folders of a cgroup.
extension Cgroup {
  /// Makes the folders of all of `controllers` that the kernel offers. Fails with `unsupported` when one that `asked` has
  /// a limit for is not offered.
  mutating func makeFolders(for controllers: Set<Controller>, asked: RuntimeSpec.Resources) throws(Fault) {
    for controller in asked.neededControllers where hierarchy.mount(for: controller) == nil {
      throw Fault(
        .unsupported,
        "this machine offers no \(controller.rawValue) cgroup controller: leave its limits out, or boot a kernel with it"
      )
    }
    guard hierarchy.mount(for: .devices) != nil else {
      throw Fault(
        .unsupported, "this machine offers no way to deny devices: mount cgroup v2 or the v1 devices controller")
    }
    var made: Set<String> = []
    for controller in Controller.allCases where controllers.contains(controller) {
      guard let mount = hierarchy.mount(for: controller), mount.version == .v1 else { continue }
      let path = folderPath(in: mount)
      if made.insert(path).inserted { try Self.makeFolder(path, below: mount.path, controller: controller) }
      folders[controller] = ControllerFolder(controller: controller, version: .v1, path: path)
    }
    guard let mount = hierarchy.unified else { return }
    let path = folderPath(in: mount)
    let wanted = controllers.filter { hierarchy.mount(for: $0)?.version == .v2 }
    try Self.makeFolder(path, below: mount.path, controller: nil)
    unified = ControllerFolder(controller: .freezer, version: .v2, path: path)
    for controller in wanted {
      folders[controller] = ControllerFolder(controller: controller, version: .v2, path: path)
    }
    try Self.enable(Set(wanted.compactMap(\.unifiedName)), in: path, below: mount.path)
  }

  /// Makes the v1 folders and enables the v2 controllers that `resources` needs and the cgroup was made without, and
  /// moves the processes into them.
  mutating func addMissingFolders(for resources: RuntimeSpec.Resources) throws(Fault) {
    let missing = resources.neededControllers.subtracting(folders.keys)
    guard !missing.isEmpty else { return }
    for controller in missing {
      guard let mount = hierarchy.mount(for: controller) else {
        throw Fault(
          .unsupported, "this machine offers no \(controller.rawValue) cgroup controller: leave its limits out")
      }
      let path = folderPath(in: mount)
      folders[controller] = ControllerFolder(controller: controller, version: mount.version, path: path)
      if mount.version == .v2 {
        if let name = controller.unifiedName { try Self.enable([name], in: path, below: mount.path) }
        continue
      }
      // An earlier update may have made it: values of this type are immutable and do not learn of it.
      if KernelFile.exists(path) { continue }
      try Self.makeFolder(path, below: mount.path, controller: controller)
      var moved: Set<Int32> = []
      while true {
        let fresh = processes().filter { !moved.contains($0) }
        if fresh.isEmpty { break }
        for pid in fresh {
          let error = KernelFile.write(path + "/cgroup.procs", String(pid))
          if error != 0 && error != ESRCH {
            throw folders[controller]!.refusal("cgroup.procs", String(pid), error, hint: nil)  // set six lines above
          }
          moved.insert(pid)
        }
      }
    }
  }

  /// Fills `folders` with what exists on disk.
  mutating func findFolders() {
    if let mount = hierarchy.unified, KernelFile.exists(folderPath(in: mount)) {
      unified = ControllerFolder(controller: .freezer, version: .v2, path: folderPath(in: mount))
    }
    let enabled = (unified?.read("cgroup.controllers") ?? "").split(separator: " ").map(String.init)
    for controller in Controller.allCases {
      guard let mount = hierarchy.mount(for: controller) else { continue }
      let folder = ControllerFolder(controller: controller, version: mount.version, path: folderPath(in: mount))
      switch mount.version {
      case .v1:
        if KernelFile.exists(folder.path) { folders[controller] = folder }
      case .v2:
        let name = controller == .cpuacct ? "cpu" : controller.unifiedName
        if unified != nil, name.map({ enabled.contains($0) }) ?? true { folders[controller] = folder }
      }
    }
  }

  /// Makes the folder `path` fresh. Missing parents below `root` are made too; a parent may be removed by another
  /// container's end meanwhile, so that is tried anew.
  private static func makeFolder(_ path: String, below root: String, controller: Controller?) throws(Fault) {
    for _ in 0..<100 {
      if mkdir(path, 0o755) == 0 {
        try settle(path, controller)
        return
      }
      switch errno {
      case ENOENT:
        try makeParents(of: path, below: root, controller: controller)
      case EEXIST:
        guard processes(below: path).isEmpty else {
          throw Fault(
            .alreadyExists, "the cgroup \(path) has processes in it: another container uses that path; choose another")
        }
        removeTree(path)
      case let error:
        throw Fault(
          error == ENOSPC || error == EAGAIN ? .limitExceeded : error == EROFS ? .readOnly : .internal,
          "cannot make the cgroup folder \(path): \(KernelFile.words(error))")
      }
    }
    throw Fault(
      .conflict, "cannot make the cgroup folder \(path): something else makes and removes it at the same time")
  }

  /// What a new folder needs. On v2 the root of a container's user namespace mounts its own cgroup, for which the kernel
  /// walks there with its rights: an umask must not have closed the way.
  private static func settle(_ path: String, _ controller: Controller?) throws(Fault) {
    if controller == .cpuset { try CPUSet.inherit(in: path) }
    if controller == nil { chmod(path, 0o755) }
  }

  private static func makeParents(of path: String, below root: String, controller: Controller?) throws(Fault) {
    let parts = path.dropFirst(root.count).split(separator: "/").dropLast()
    var parent = root
    for part in parts {
      parent += "/" + part
      if mkdir(parent, 0o755) == 0 {
        try settle(parent, controller)
      } else if errno != EEXIST {
        if errno == ENOENT { return }  // removed again by another container's end: the caller starts over
        throw Fault(.internal, "cannot make the cgroup folder \(parent): \(KernelFile.words(errno))")
      }
    }
  }

  /// Makes the v2 controllers `names` available in `path`, by enabling them for the children of every folder above.
  private static func enable(_ names: Set<String>, in path: String, below root: String) throws(Fault) {
    guard !names.isEmpty else { return }
    func available(_ path: String) -> Set<String> {
      Set((KernelFile.text(path + "/cgroup.controllers") ?? "").split(whereSeparator: \.isWhitespace).map(String.init))
    }
    if names.isSubset(of: available(path)) { return }
    var folder = root
    for part in path.dropFirst(root.count).split(separator: "/") {
      let file = folder + "/cgroup.subtree_control"
      let enabled = Set((KernelFile.text(file) ?? "").split(whereSeparator: \.isWhitespace).map(String.init))
      for name in names.subtracting(enabled).sorted() {
        let error = KernelFile.write(file, "+" + name)
        if error == 0 { continue }
        let hint =
          error == EBUSY
          ? "processes are in \(folder) itself; move them into a cgroup below it, or give a cgroup path elsewhere"
          : "the cgroup above does not pass this controller on"
        throw Fault(
          error == EBUSY ? .conflict : .unsupported,
          "\(name): the kernel refused \"+\(name)\" in \(file): \(KernelFile.words(error)); \(hint)")
      }
      folder += "/" + part
    }
  }
}
