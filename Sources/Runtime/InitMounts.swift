internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

extension PlannedMount {
  /// Whether it comes from the host.
  var isBind: Bool {
    switch action {
    case .bind, .part: true
    default: false
    }
  }
}

/// The mounts of a container, made in its own namespaces.
enum InitMounts {
  /// Attaches the root over the old one, and returns it.
  static func attachRoot(_ plan: InitPlan) throws(Fault) -> Int32 {
    try step("mount the container's root file system") { () throws(Errno) in
      switch plan.root {
      case .detached(let mount):
        try Mounts.attach(mount, at: nil, "/")
        return mount
      case .legacy(let folder, let data, let attributes):
        if Glibc.chdir(folder) != 0 { throw Errno(rawValue: errno) }
        try Mounts.mount(source: "overlay", target: "/", type: "overlay", data: data)
        // The root of this process is still the old one below; ".." of it is resolved to what covers it.
        let root = try openat2(nil, "/..", [.path, .directory])
        guard try Files.fileSystemType(root.rawValue) == FileSystemMagic.overlay else { throw Errno.ioError }
        if !attributes.isEmpty { try Mounts.change(root.rawValue, set: attributes) }
        return root.take()
      }
    }
  }

  /// Makes all mounts; returns a procfs to write settings through: the container's own, held since before it was attached.
  static func make(_ plan: InitPlan, in tree: ContainerTree) throws(Fault) -> Int32 {
    var proc: Int32?
    for mount in plan.mounts {
      switch mount.action {
      case .bind(let descriptor, let kind):
        try tree.attach(descriptor, at: mount.destination, kind)
      case .part(let descriptor, let path):
        let part = try MountPart.cut(path, of: descriptor, in: tree)
        try tree.attach(part.mount.rawValue, at: mount.destination, part.kind)
      case .proc:
        let made = try newMount("proc", "proc", mount)
        try tree.attach(made.rawValue, at: mount.destination, .directory, isKernelFileSystem: true)
        proc = made.take()
      case .sysfs:
        try sysfs(mount, in: tree)
      case .tmpfs:
        try tmpfs(mount, in: tree)
      case .cgroup(let copies):
        try CgroupMount.make(
          mount, plan.cgroupView, copies: copies, ownsNamespace: plan.ownsCgroupNamespace, in: tree)
      case .other(let type, let source):
        let made = try newMount(type, source, mount)
        try tree.attach(made.rawValue, at: mount.destination, .directory)
      }
    }
    if let proc { return proc }
    guard !plan.settings.isEmpty || plan.process.securityLabel != nil else { return -1 }
    return try step("open a procfs of our own") { () throws(Errno) in
      try Mounts.make("proc", source: "proc").take()
    }
  }

  /// A new file system with the options of `mount`, detached.
  static func newMount(_ type: String, _ source: String, _ mount: PlannedMount) throws(Fault) -> OwnedDescriptor {
    do throws(Errno) {
      let made = try Mounts.make(
        type, source: source, parameters: mount.options.parameters, attributes: mount.options.set)
      try mount.options.apply(to: made.rawValue, alreadySet: mount.options.set)
      return made
    } catch {
      let words = mount.options.parameters.map { $0.key + ($0.value.map { "=" + $0 } ?? "") }.joined(separator: ",")
      throw Fault(
        error.rawValue == ENODEV ? .unsupported : .invalidArgument,
        "cannot mount \(type) on \(mount.destination)" + (words.isEmpty ? "" : " with \(words)"),
        cause: [error.description])
    }
  }

  /// sysfs, which belongs to the network namespace: with the host's network and a user namespace the kernel refuses a new
  /// one, and the host's is bound read-only.
  private static func sysfs(_ mount: PlannedMount, in tree: ContainerTree) throws(Fault) {
    let made: OwnedDescriptor
    do throws(Errno) {
      made = try Mounts.make(
        "sysfs", source: "sysfs", parameters: mount.options.parameters, attributes: mount.options.set)
    } catch {
      made = try step("mount sysfs on \(mount.destination)") { () throws(Errno) in
        guard error == .notPermitted else { throw error }
        let bound = try Mounts.clone("/sys", recursive: true)
        try Mounts.change(
          bound.rawValue, set: mount.options.set.union(.readOnly), propagation: .private, recursive: true)
        return bound
      }
    }
    try tree.attach(made.rawValue, at: mount.destination, .directory, isKernelFileSystem: true)
  }

  /// tmpfs: without `mode=` it gets the mode of the folder that it covers.
  private static func tmpfs(_ mount: PlannedMount, in tree: ContainerTree) throws(Fault) {
    var planned = mount
    let found = try step("resolve \(mount.destination)") { () throws(Errno) in try tree.find(mount.destination) }
    let covered = found?.take() ?? -1
    defer { Descriptors.close(covered) }
    if !mount.options.parameters.contains(where: { $0.key == "mode" }), covered >= 0,
      let status = try? FileStatus(of: covered), status.kind == .directory
    {
      var options = mount.options
      options.parameters.append(("mode", String(status.permissions, radix: 8)))
      planned = PlannedMount(action: mount.action, destination: mount.destination, options: options)
    }
    if mount.options.copiesUp, mount.options.set.contains(.readOnly) {
      // Filled before it becomes read-only.
      var options = planned.options
      options.set.remove(.readOnly)
      planned = PlannedMount(action: mount.action, destination: mount.destination, options: options)
    }
    let made = try newMount("tmpfs", "tmpfs", planned)
    if mount.options.copiesUp, covered >= 0 {
      try step("copy \(mount.destination) into its tmpfs") { () throws(Errno) in
        try CopyTree.copy(from: covered, to: made.rawValue, nodes: false, root: false)
      }
      if mount.options.set.contains(.readOnly) {
        try step("make \(mount.destination) read-only") { () throws(Errno) in
          try Mounts.change(made.rawValue, set: .readOnly)
        }
      }
    }
    try tree.attach(made.rawValue, at: mount.destination, .directory)
  }

  /// The new root becomes `/`, and the old one is gone.
  static func changeRoot(to root: Int32, propagation: MountPropagation?) throws(Fault) {
    try step("enter the new root") { () throws(Errno) in
      if Glibc.fchdir(root) != 0 { throw Errno(rawValue: errno) }
    }
    do throws(Errno) {
      try Mounts.pivotRoot(".", putOld: ".")
      // The old root is now mounted over the new one and is our root; take it away.
      try Mounts.detach(".")
      if Glibc.chdir("/") != 0 { throw Errno(rawValue: errno) }
    } catch {
      // EINVAL: the old root is the kernel's initial one (a system that runs from its initramfs), which cannot be moved.
      guard error == .invalidArgument else {
        throw Fault(.internal, "cannot make the container's root file system its root", cause: [error.description])
      }
      try leaveInitialRoot(root)
    }
    if let propagation {
      try step("set the propagation of the root") { () throws(Errno) in
        try Mounts.setPropagation(ofAll: propagation)
      }
    }
  }

  /// chroot, after the host's other mounts were taken out of this namespace: what is left below is an initramfs.
  private static func leaveInitialRoot(_ root: Int32) throws(Fault) {
    try step("take the host's mounts out of the container's namespace") { () throws(Errno) in
      for line in try Files.readText("/proc/self/mountinfo", limit: 16 << 20).split(separator: "\n").reversed() {
        let fields = line.split(separator: " ")
        guard fields.count > 4, fields[4] != "/" else { continue }
        // Paths with spaces are written in octal: those mounts stay, unreachable from the new root.
        try? Mounts.detach(String(fields[4]))
      }
    }
    try step("change the root") { () throws(Errno) in
      if Glibc.fchdir(root) != 0 || Glibc.chroot(".") != 0 || Glibc.chdir("/") != 0 { throw Errno(rawValue: errno) }
    }
  }
}
