internal import CLinux
public import Faults
internal import Glibc
public import Linux
internal import SystemPackage

/// A container's files for a process that works on them from outside (copies, archives): the root file system and what is
/// mounted into it, in a mount namespace of that process's own, where nothing else is left.
///
/// Neither procfs, sysfs, devices nor memory file systems of the container are there: only what lasts.
public enum RootView {
  /// Where the root comes from.
  public enum Root: Sendable {
    /// Mounted here, as a container's root would be. For what nobody else has mounted: two overlays with one upper folder do
    /// not see each other's writes.
    case mounted(RootfsMount)
    /// Folders to look at, topmost first, mounted read-only. They may be in use.
    case layers([String])
    /// The very mount that is `/` of a running process; it must be an overlay with this upper folder, or a bind of it.
    case process(Int32, upper: String)
  }

  /// A file or folder of the host that is mounted into the tree.
  public struct Bind: Sendable {
    /// On the host.
    public var source: String
    /// In the tree.
    public var destination: String
    /// Nothing is written through it.
    public var readOnly: Bool
    /// What is mounted below the source comes along.
    public var recursive: Bool

    /// Takes everything.
    public init(source: String, destination: String, readOnly: Bool, recursive: Bool) {
      self.source = source
      self.destination = destination
      self.readOnly = readOnly
      self.recursive = recursive
    }
  }

  /// Leaves this process, which must have one thread, with nothing mounted but the view, and gives its root.
  ///
  /// Needs CAP_SYS_ADMIN, and for a process's root CAP_SYS_CHROOT and CAP_SYS_PTRACE too.
  public static func enter(_ root: Root, readOnly: Bool, binds: [Bind]) throws(Fault) -> OwnedDescriptor {
    let bag = DescriptorBag()
    defer { withExtendedLifetime(bag) {} }
    try step("make a mount namespace") { () throws(Errno) in
      try NamespaceKinds.unshare(.mount)
      try Mounts.setPropagation(ofAll: .private)
    }
    // The sources while the host is still in sight.
    var mounts: [(mount: Int32, destination: String, kind: ContainerTree.Target)] = []
    for bind in binds { mounts.append(try source(bind, bag)) }
    let attached: Int32
    switch root {
    case .mounted(let mount):
      attached = try InitMounts.attachRoot(try RootMount.prepare([mount], mapping: nil, bag: bag))
    case .layers(let folders):
      attached = try layers(folders, mounts.map(\.destination), bag)
    case .process(let pid, let upper):
      attached = try InitMounts.attachRoot(.detached(try clone(pid, bag)))
      try check(attached, has: upper, pid)
    }
    let tree = try step("open the root") { () throws(Errno) in try openat2(attached, ".", [.path, .directory]) }
    try InitMounts.changeRoot(to: attached)
    for mount in mounts {
      try ContainerTree(root: tree.rawValue).attach(mount.mount, at: mount.destination, mount.kind)
    }
    if readOnly {
      try step("make the root read-only") { () throws(Errno) in try Mounts.change(attached, set: .readOnly) }
    }
    return tree
  }

  /// Who `user` (`user`, `uid`, `user:group`, `uid:gid`) is in the tree `root`, by its own /etc/passwd and /etc/group, which
  /// are read as any file and by nothing of the C library.
  public static func owner(_ user: String, in root: Int32) throws(Fault) -> (uid: UInt32, gid: UInt32) {
    let identity = try Identity.resolve(.init(uid: 0, gid: 0, username: user), root: root, needsHome: false)
    return (identity.uid, identity.gid)
  }

  private static func source(
    _ bind: Bind, _ bag: DescriptorBag
  ) throws(Fault) -> (Int32, String, ContainerTree.Target) {
    do throws(Errno) {
      let mount = try Mounts.clone(bind.source, recursive: bind.recursive)
      try Mounts.change(mount.rawValue, propagation: .private, recursive: true)
      if bind.readOnly { try Mounts.change(mount.rawValue, set: .readOnly, recursive: true) }
      let kind: ContainerTree.Target = try FileStatus(of: mount.rawValue).kind == .directory ? .directory : .file
      return (bag.add(mount), bind.destination, kind)
    } catch {
      throw Fault(
        error == .noSuchFileOrDirectory ? .notFound : .internal,
        "\(bind.source), which the container has at \(bind.destination), cannot be mounted", cause: [error.description])
    }
  }

  // MARK: Layers

  private static func layers(
    _ folders: [String], _ destinations: [String], _ bag: DescriptorBag
  ) throws(Fault) -> Int32 {
    let plain =
      folders.count == 1
      ? RootfsMount(type: "bind", source: folders[0], options: ["rbind", "ro"])
      : RootfsMount(type: "overlay", source: "overlay", options: folders.map { "lowerdir+=\($0)" } + ["ro"])
    if destinations.isEmpty { return try InitMounts.attachRoot(try RootMount.prepare([plain], mapping: nil, bag: bag)) }
    let prepared = try RootMount.prepare([plain], mapping: nil, bag: bag)
    if case .detached(let mount) = prepared {
      let tree = ContainerTree(root: mount)
      var isComplete = true
      for destination in destinations {
        let place = try step("find \(destination)") { () throws(Errno) in try tree.find(destination) }
        if place == nil { isComplete = false }
      }
      if isComplete { return try InitMounts.attachRoot(prepared) }
    }
    return try InitMounts.attachRoot(
      try RootMount.prepare([try withScratch(folders)], mapping: nil, bag: bag))
  }

  /// The layers below a memory file system that takes the mount points they lack: a container that never ran has none for
  /// its volumes, and looking at it must leave none behind.
  private static func withScratch(_ folders: [String]) throws(Fault) -> RootfsMount {
    // A place that every machine has and that no layer is in; it is covered in this namespace alone.
    let place = "/sys"
    try step("make a memory file system for mount points") { () throws(Errno) in
      let scratch = try Mounts.make(
        "tmpfs", source: "gantry", parameters: [("mode", "700"), ("size", "16m")],
        attributes: [.noSetUserID, .noDevices, .noExecute])
      try Mounts.attach(scratch.rawValue, at: nil, place)
      try Files.makeDirectory(at: scratch.rawValue, "upper")
      try Files.makeDirectory(at: scratch.rawValue, "work")
      // overlayfs shows the upper folder's owner and mode as those of `/`.
      let top = try FileStatus(folders[0])
      let upper = try openat2(scratch.rawValue, "upper", [.readOnly, .directory])
      if fchown(upper.rawValue, top.uid, top.gid) != 0 || fchmod(upper.rawValue, top.permissions) != 0 {
        throw Errno(rawValue: errno)
      }
    }
    return RootfsMount(
      type: "overlay", source: "overlay",
      options: folders.map { "lowerdir+=\($0)" } + ["upperdir=\(place)/upper", "workdir=\(place)/work"])
  }

  // MARK: A process's root

  /// A copy of the mount that is `/` in the mount namespace of the process, without what is mounted below it.
  private static func clone(_ pid: Int32, _ bag: DescriptorBag) throws(Fault) -> Int32 {
    do throws(Errno) {
      let own = try openat2(nil, "/proc/self/ns/mnt", .readOnly)
      let process = try PidFD(pid: pid)
      try NamespaceKinds.join(process.descriptor.rawValue, .mount)
      let root = Result { () throws(Errno) in try Mounts.clone("/").take() }
      try NamespaceKinds.join(own.rawValue, .mount)
      let mount = OwnedDescriptor(try root.get())
      try Mounts.change(mount.rawValue, propagation: .private)
      return bag.add(mount)
    } catch {
      if error == .noSuchProcess {
        throw Fault(.conflict, "the process \(pid) has ended: its container does not run any more")
      }
      throw Fault(
        .internal, "cannot reach the files of the running process \(pid)", cause: [error.description])
    }
  }

  /// Checks that the attached mount is of the snapshot: neither another process that got the pid, nor another file system
  /// that a privileged container put in its root's place.
  private static func check(_ mount: Int32, has upper: String, _ pid: Int32) throws(Fault) {
    let matches = try step("look at the root of the process \(pid)") { () throws(Errno) in
      let status = try FileStatus(of: mount)
      guard try Files.fileSystemType(mount) == FileSystemMagic.overlay else {
        let folder = try FileStatus(upper)
        return status.device == folder.device && status.inode == folder.inode
      }
      let id = String(status.mountID)
      for line in try Files.readText("/proc/self/mountinfo", limit: 64 << 20).split(separator: "\n") {
        let fields = line.split(separator: " ")
        guard fields.first == id[...], let options = fields.last else { continue }
        return options.split(separator: ",").contains { Mounts.unescaped($0) == "upperdir=" + upper }
      }
      return false
    }
    guard matches else {
      throw Fault(
        .conflict, "the root of the process \(pid) is not the container's snapshot: it ended, or has changed its root")
    }
  }
}
