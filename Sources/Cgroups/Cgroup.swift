public import Faults
import Glibc
public import Linux
public import OCI
public import SystemPackage

/// The cgroup of one container, on cgroup v1, v2 and their hybrid alike.
///
/// The life of one:
///
/// 1. `Cgroup.create(path:resources:)` makes the folders and sets the limits before any process is in them.
/// 2. The container's init is born or moved inside:
///    - where `folderForClone()` returns a descriptor, give it to `clone3` with `CLONE_INTO_CGROUP`;
///    - open `entrance()` before the clone and let the child call `CgroupEntrance.enter()` on itself, first of all. The
///      child must have one thread. That is the only way on v1 that does not wait for an RCU grace period (up to 17 ms
///      measured when the parent writes `cgroup.procs`; 15 to 30 µs a tree here).
///    - a new cgroup namespace must be entered after that (`unshare(CLONE_NEWCGROUP)` in the child): its root is the
///      cgroup that the process is in at that moment.
/// 3. `update`, `freeze`, `thaw`, `statistics`, `processes`, `watchOOM` while it runs; execs enter like init does,
///    each in a folder of its own below (`ExecCgroup`).
/// 4. `killAll` ends every process, `remove` deletes the folders. Both may be called by another process than the creator,
///    with `Cgroup.open(path:)`, and again after a crash.
///
/// Folders above the container's own are made when missing and are shared: `removeEmptyParents` takes them away.
/// Values are immutable and hold no descriptor. Every refusal of the kernel names the controller, the file and the value.
public struct Cgroup: Sendable, Equatable {
  /// The path as `linux.cgroupsPath` gives it: absolute below the mount points, else below this process's own cgroup.
  public let path: String
  /// The trees that the folders are in.
  public let hierarchy: CgroupHierarchy
  /// The folder of each controller; several controllers share one where they are mounted together, or on v2.
  var folders: [Controller: ControllerFolder]
  /// The folder in the v2 tree, also when v1 owns all controllers.
  var unified: ControllerFolder?

  /// `.v2` when the container's controllers are all in the v2 tree.
  public var version: CgroupVersion { hierarchy.version }

  /// Makes the cgroup at `path` and sets `resources`.
  ///
  /// An empty cgroup left at `path` by a crash is replaced. Fails with `alreadyExists` when processes are in it, with
  /// `unsupported` when a limit needs a controller that this machine does not offer, and with the kernel's refusal of a
  /// value; then nothing is left behind but shared parents.
  ///
  /// Without `resources.devices` the container may use the default devices only (see `DeviceRules`).
  public static func create(
    path: String, resources: RuntimeSpec.Resources?, hierarchy: CgroupHierarchy? = nil
  ) throws(Fault) -> Cgroup {
    let hierarchy = if let hierarchy { hierarchy } else { try CgroupHierarchy.current() }
    let resources = resources ?? RuntimeSpec.Resources()
    var cgroup = try Cgroup(path: path, hierarchy: hierarchy)
    do throws(Fault) {
      try cgroup.makeFolders(for: Controller.always.union(resources.neededControllers), asked: resources)
      try cgroup.apply(resources, creating: true)
    } catch {
      _ = cgroup.removeOnce()
      throw error
    }
    return cgroup
  }

  /// The cgroup at `path` that `create` made, also in another process. Fails with `notFound` when no folder of it exists.
  public static func open(path: String, hierarchy: CgroupHierarchy? = nil) throws(Fault) -> Cgroup {
    let hierarchy = if let hierarchy { hierarchy } else { try CgroupHierarchy.current() }
    var cgroup = try Cgroup(path: path, hierarchy: hierarchy)
    cgroup.findFolders()
    guard !cgroup.folders.isEmpty || cgroup.unified != nil else {
      throw Fault(.notFound, "no cgroup \(path) exists: the container was removed or never created")
    }
    return cgroup
  }

  /// Sets the parts of `resources` that are present, leaving all else as it is.
  ///
  /// Fails with the kernel's refusal (a memory limit below the use is `conflict`); earlier parts stay set.
  public func update(_ resources: RuntimeSpec.Resources) throws(Fault) {
    var cgroup = self
    try cgroup.addMissingFolders(for: resources)
    try cgroup.apply(resources, creating: false)
  }

  /// Moves the process `pid` and all its threads inside, from outside: simple, but slow on v1 (see the type's comment).
  public func add(pid: Int32) throws(Fault) {
    for folder in distinctFolders { try folder.write("cgroup.procs", String(pid), hint: Self.entryHint) }
  }

  /// A descriptor of the folder in the v2 tree for `clone3` with `CLONE_INTO_CGROUP` (Linux 5.7); nil without a v2 tree.
  ///
  /// On v2 the child then needs nothing more. On a hybrid it still needs `entrance()` for the v1 trees.
  /// `clone3` fails with EBUSY when the container has enabled controllers for cgroups of its own (systemd inside): then
  /// use `folderForClone(beside:)` with the container's init.
  public func folderForClone() throws(Fault) -> OwnedDescriptor? {
    guard let unified else { return nil }
    return try Self.openFolder(unified.path)
  }

  /// Like `folderForClone`, but the v2 cgroup that the process `pid` is in: where an exec can enter when the container
  /// divided its own cgroup. Fails with `notFound` when the process is not inside this cgroup.
  public func folderForClone(beside pid: Int32) throws(Fault) -> OwnedDescriptor? {
    guard let unified, let mount = hierarchy.unified else { return nil }
    let lines = (KernelFile.text("/proc/\(pid)/cgroup") ?? "").split(separator: "\n")
    let own = lines.first { $0.hasPrefix("0::/") }.map { String($0.dropFirst(3)) }
    let relative = own.map { CgroupHierarchy.relative($0, to: mount.root) }
    guard let relative, let range = Self.suffix(of: relative, below: unified.path, mount: mount.path) else {
      throw Fault(.notFound, "process \(pid) is not in the cgroup \(path): it has ended")
    }
    return try Self.openFolder(unified.path + range)
  }

  /// An existing cgroup below this one, in every tree that this one is in: a process that enters it stays below all limits
  /// of this one. Fails with `notFound` where a tree has no such folder, and with `invalidArgument` on a path that leads out.
  public func existing(below path: String) throws(Fault) -> Cgroup {
    let cgroup = try Cgroup.open(path: self.path + "/" + path, hierarchy: hierarchy)
    guard cgroup.distinctFolders.count == distinctFolders.count else {
      throw Fault(
        .notFound, "the cgroup \(path) exists below \(self.path) in some trees only: make it in all of them first")
    }
    return cgroup
  }

  /// Opens what a child needs to enter the v1 trees by itself. Empty on v2.
  public func entrance() throws(Fault) -> CgroupEntrance {
    try CgroupEntrance(folders: distinctFolders.filter { $0.version == .v1 })
  }

  /// The folder of `controller`, such as `/sys/fs/cgroup/memory/gantry/ID`; nil when the container has none.
  public func folder(of controller: Controller) -> FilePath? { (folders[controller]?.path).map { FilePath($0) } }

  /// The pids of every process inside, with those in cgroups that the container made below its own.
  public func processes() -> [Int32] {
    guard let folder = treeFolder else { return [] }
    return Self.processes(below: folder.path)
  }

  /// Whether no process is inside.
  public var isEmpty: Bool { processes().isEmpty }

  private static let entryHint = "the cgroup was removed, or the process has ended"
}

extension Cgroup {
  init(path: String, hierarchy: CgroupHierarchy) throws(Fault) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: true)
    guard !parts.isEmpty, !parts.contains(".."), !parts.contains("."), !path.utf8.contains(where: { $0 < 0x20 }) else {
      throw Fault(
        .invalidArgument,
        "\"\(path)\" is no cgroup path: give one below the root, without `.`, `..` or control characters")
    }
    self.path = (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    self.hierarchy = hierarchy
    self.folders = [:]
    self.unified = nil
  }

  /// The folder of this cgroup in `mount`.
  func folderPath(in mount: CgroupHierarchy.Mount) -> String {
    if path.hasPrefix("/") { return mount.path + path }
    return mount.path + (mount.own == "/" ? "" : mount.own) + "/" + path
  }

  /// One entry for each folder on disk, the v2 one last.
  var distinctFolders: [ControllerFolder] {
    var seen: Set<String> = []
    var result: [ControllerFolder] = []
    for controller in Controller.allCases {
      if let folder = folders[controller], folder.version == .v1, seen.insert(folder.path).inserted {
        result.append(folder)
      }
    }
    if let unified { result.append(unified) }
    return result
  }

  /// A folder in which every process of the container shows: the freezer's (on v2 the only one), else any.
  var treeFolder: ControllerFolder? { folders[.freezer] ?? distinctFolders.first }

  static func processes(below path: String) -> [Int32] {
    var pids: [Int32] = []
    for line in (KernelFile.text(path + "/cgroup.procs") ?? "").split(separator: "\n") {
      if let pid = Int32(line), pid > 0 { pids.append(pid) }
    }
    for name in KernelFile.folders(in: path) { pids += processes(below: "\(path)/\(name)") }
    return pids
  }

  /// The part of `own`, a path from the root of the v2 tree as this process sees it, below `folder`; nil when outside.
  static func suffix(of own: String, below folder: String, mount: String) -> String? {
    let base = String(folder.dropFirst(mount.count))
    if own == base { return "" }
    return own.hasPrefix(base + "/") ? String(own.dropFirst(base.count)) : nil
  }

  static func openFolder(_ path: String) throws(Fault) -> OwnedDescriptor {
    let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw Fault(.notFound, "cannot open the cgroup folder \(path): \(KernelFile.words(errno))")
    }
    return OwnedDescriptor(descriptor)
  }
}
