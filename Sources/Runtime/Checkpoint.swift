internal import CLinux
public import Cgroups
public import Faults
internal import Glibc
internal import Linux
public import OCI
public import SystemPackage

/// What CRIU is told of a container, the same when its processes are written down and when they are put back.
///
/// CRIU writes down what is the container's own: memory, processes, pipes, namespaces, what is in its memory file systems.
/// What comes from outside is named only (`external`): binds, cgroup folders, the network namespace, the pipes to the shim.
/// When the processes are put back, each name is given what the container's own description says now. Nothing of a
/// checkpoint says where something is on the host.
public enum CheckpointPlan {
  /// Where mounts come from outside, in a fixed order: the n-th is `mn` to CRIU.
  ///
  /// Fails with `unsupported` for a container that cannot be written down.
  public static func externalMounts(_ spec: RuntimeSpec, _ cgroup: Cgroup?) throws(Fault) -> [String] {
    try refuse(spec)
    var places: [String] = []
    let ownsCgroupNamespace = (spec.linux?.namespaces ?? []).contains { $0.type == "cgroup" }
    for mount in spec.mounts ?? [] {
      let destination = "/" + ContainerTree.components(mount.destination).joined(separator: "/")
      let options = MountOptions(mount.options ?? [])
      if options.part != nil || options.isMadeByHost || mount.type == "overlay" { throw unknownMount(destination) }
      switch mount.type ?? "" {
      case "cgroup", "cgroup2":
        switch CgroupView(cgroup) {
        case .legacy(let trees, _): places += trees.map { "\(destination)/\($0.name)" }
        case .unified where !ownsCgroupNamespace: places.append(destination)
        case .unified, nil: break
        }
      case let type where type == "bind" || type == "rbind" || MountOptions(mount.options ?? []).isBind:
        places.append(destination)
      default: break
      }
    }
    for place in places where place.contains(where: { "[]:".contains($0) }) {
      throw Fault(.unsupported, "checkpoint: the mount on \(place) has one of the characters []: in its path")
    }
    return places
  }

  /// The name of the network namespace, where the container has one of its own.
  public static let network = "gantry-net"

  /// Whether the container has a network namespace of its own making.
  public static func ownsNetwork(_ spec: RuntimeSpec) -> Bool {
    (spec.linux?.namespaces ?? []).contains { $0.type == "network" && ($0.path ?? "").isEmpty }
  }

  /// Parts of volumes, images and file systems of the host's have no name that CRIU could be told.
  static func unknownMount(_ destination: String) -> Fault {
    Fault(
      .unsupported,
      "checkpoint: the mount on \(destination) is an image, a part of a volume or a file system of its own, which cannot "
        + "be written down yet")
  }

  private static func refuse(_ spec: RuntimeSpec) throws(Fault) {
    if spec.process?.terminal == true {
      throw Fault(.unsupported, "checkpoint: a container with a terminal (-t) cannot be written down yet")
    }
    for namespace in spec.linux?.namespaces ?? [] {
      if namespace.type == "user" {
        throw Fault(.unsupported, "checkpoint: a container with a user namespace cannot be written down yet")
      }
      if let path = namespace.path, !path.isEmpty {
        throw Fault(
          .unsupported,
          "checkpoint: a container that shares a \(namespace.type) namespace (\(path)) cannot be written down")
      }
    }
  }
}

/// Everything that puts a checkpoint's processes back.
public struct RestoreRequest: Sendable {
  /// The container that they go on in; `process` is not run.
  public var container: ContainerRequest
  /// The executable of CRIU.
  public var criu: FilePath
  /// The folder that CRIU wrote.
  public var images: FilePath
  /// An existing folder for CRIU's log (`restore.log`) and the pid (`restore.pid`).
  public var work: FilePath
  /// An existing empty folder that is mounted over, unseen by others, while CRIU works.
  public var stage: FilePath
  /// The names that descriptors 0, 1 and 2 had; nil for one that nobody has open.
  public var streams: [String?]

  /// A request.
  public init(
    container: ContainerRequest, criu: FilePath, images: FilePath, work: FilePath, stage: FilePath, streams: [String?]
  ) {
    self.container = container
    self.criu = criu
    self.images = images
    self.work = work
    self.stage = stage
    self.streams = streams
  }
}

extension Container {
  /// Puts the processes of a checkpoint back and lets them go on. The caller becomes the parent of the first one.
  ///
  /// Faults: `unsupported` without a CRIU that works here, `corrupt` for images that it cannot read, else as `create`.
  public static func restore(_ request: RestoreRequest) throws(Fault) -> ContainerProcess {
    try Restore.container(request)
  }
}

/// CRIU's restore, in a mount namespace of its own:
///
///     parent (shim)                               child                              CRIU, in its place
///     ─────────────                               ─────                              ──────────────────
///     open binds, overlay, cgroup (detached)
///     clone3 ──────────────────────────────────▶  cgroup, its namespace, keyring
///                                                  stage: the root and every bind
///                                                  descriptors, then exec ─────────▶ clone3(CLONE_PARENT) of process 1,
///       ◀──────────── fault, or end of input ────                                    its tree, its namespaces
///     wait for CRIU's end ◀───────────────────────────────────────────────────────── exit 0, the pid in a file
enum Restore {
  /// Milliseconds that CRIU may take.
  private static let patience: Int32 = 600_000
  /// Where descriptors for CRIU begin: above those that it opens itself.
  private static let firstDescriptor: Int32 = 100

  static func container(_ request: RestoreRequest) throws(Fault) -> ContainerProcess {
    guard case .descriptors(let input, let output, let error) = request.container.io else {
      throw Fault(.unsupported, "checkpoint: a container with a terminal (-t) cannot be put back yet")
    }
    let places = try CheckpointPlan.externalMounts(request.container.spec, request.container.cgroup)
    let ownsNetwork = CheckpointPlan.ownsNetwork(request.container.spec)
    let plan = try InitPlan(request.container)
    let cgroup = try CgroupEntry.open(request.container.cgroup)
    let ends = try step("make the handshake's sockets") { () throws(Errno) in
      try UnixSocket.pair(.sequentialPackets)
    }
    let (ours, theirs) = (ends.first.rawValue, ends.second.rawValue)
    var kinds: NamespaceKinds = .mount
    if ownsNetwork { kinds.insert(.network) }
    var pidfd: Int32 = -1
    let pid = cl_clone3(kinds.rawValue, SIGCHLD, cgroup.folder, &pidfd)
    if pid == 0 {
      Descriptors.close(ours)
      run(
        request, plan, places, streams: [input, output, error], ownsNetwork: ownsNetwork, cgroup: cgroup,
        channel: theirs)
    }
    guard pid > 0 else {
      throw Fault(.internal, "cannot start CRIU", cause: [Errno(rawValue: -pid).description])
    }
    let criu = PidFD(OwnedDescriptor(pidfd))
    Descriptors.close(ends.second.take())
    do throws(Fault) {
      let message = try step("hear from CRIU") { () throws(Errno) in try Handshake.receive(ours) }
      if let message { throw Handshake.fault(message.text) }
      return try finished(criu, request)
    } catch {
      try? criu.signal(SIGKILL)
      _ = try? criu.wait()
      throw error
    }
  }

  /// Waits for CRIU and takes over the process that it has put back.
  private static func finished(_ criu: borrowing PidFD, _ request: RestoreRequest) throws(Fault) -> ContainerProcess {
    let exit: ProcessExit? = try step("wait for CRIU") { () throws(Errno) in
      var events: UInt32 = 0
      guard try Polling.wait(criu.descriptor.rawValue, for: .readable, milliseconds: patience, events: &events) else {
        throw Errno.timedOut
      }
      return try criu.wait()
    }
    guard exit == .exited(0) else {
      let log = (try? Files.readText(request.work.appending("restore.log").string, limit: 64 << 20)) ?? ""
      throw CriuLog.fault("CRIU cannot put the checkpoint back", log)
    }
    let text = try step("read the pid that CRIU wrote") { () throws(Errno) in
      try Files.readText(request.work.appending("restore.pid").string, limit: 32)
    }
    guard let pid = Int32(text.filter(\.isNumber)), (try? ProcFiles.parent(pid: pid)) == getpid() else {
      throw Fault(.internal, "CRIU has put the checkpoint back, but its first process is not there")
    }
    let process = try step("watch the first process") { () throws(Errno) in try PidFD(pid: pid) }
    return ContainerProcess(pid: pid, pidFD: process, console: nil, channel: nil)
  }

  /// Becomes CRIU. Does not return (typed Void: the parent still owns values on this path).
  private static func run(
    _ request: RestoreRequest, _ plan: InitPlan, _ places: [String], streams: [Int32], ownsNetwork: Bool,
    cgroup: borrowing CgroupEntry, channel: Int32
  ) {
    do throws(Fault) {
      try become(request, plan, places, streams: streams, ownsNetwork: ownsNetwork, cgroup: cgroup)
    } catch {
      Handshake.report(channel, error)
    }
    cl_exit(1)
  }

  /// The child: everything that CRIU finds is made here, then CRIU. Returns by a fault only.
  private static func become(
    _ request: RestoreRequest, _ plan: InitPlan, _ places: [String], streams: [Int32], ownsNetwork: Bool,
    cgroup: borrowing CgroupEntry
  ) throws(Fault) {
    // 1. As an init: default signals, a keyring of its own, which the processes inherit. CRIU ends with the shim.
    cl_reset_signals()
    _ = cl_prctl(Int32(CL_PR_SET_PDEATHSIG), UInt(SIGKILL), 0, 0, 0)
    _ = setsid()
    try SessionKeyring.make()
    umask(0o077)

    // 2. The container's cgroup and the namespace that has it as root: CRIU leaves its children where it is itself.
    let refused = cgroup.enter()
    guard refused == 0 else {
      throw Fault(.internal, "cannot enter the container's cgroup", cause: [Errno(rawValue: refused).description])
    }
    if plan.ownsCgroupNamespace {
      try step("make a cgroup namespace") { () throws(Errno) in try NamespaceKinds.unshare(.cgroup) }
    }
    if ownsNetwork {
      try step("switch the loopback interface on") { () throws(Errno) in try check(cl_loopback_up()) }
    }

    // 3. The stage: a memory file system that only this namespace sees, with the root and everything from outside.
    try step("make all mounts private") { () throws(Errno) in try Mounts.setPropagation(ofAll: .private) }
    let stage = request.stage.string
    try step("mount the stage for CRIU") { () throws(Errno) in
      let made = try Mounts.make("tmpfs", source: "tmpfs", parameters: [("mode", "700")])
      try Mounts.attach(made.rawValue, at: nil, stage)
      try Files.makeDirectory(stage + "/root", mode: 0o755)
    }
    try mountRoot(plan, at: stage + "/root")
    var number = 0
    for mount in plan.mounts {
      switch mount.action {
      case .bind(let descriptor, let kind):
        try place(descriptor, kind, at: "\(stage)/m\(number)")
        number += 1
      case .cgroup:
        for path in cgroupFolders(plan) {
          let copy = try step("open the cgroup folder \(path)") { () throws(Errno) in
            let copy = try Mounts.clone(path)
            try Mounts.change(copy.rawValue, set: mount.options.set, propagation: .private)
            return copy
          }
          try place(copy.rawValue, .directory, at: "\(stage)/m\(number)")
          number += 1
        }
      case .part: throw CheckpointPlan.unknownMount(mount.destination)
      case .proc, .sysfs, .tmpfs, .other: break
      }
    }
    guard number == places.count else {
      throw Fault(.internal, "\(number) mounts come from outside, not \(places.count)")
    }

    // 4. Descriptors: the streams under the names that they had, the network namespace, and nothing else.
    var arguments = arguments(request, root: stage + "/root", stage: stage, mounts: number)
    try step("connect the streams for CRIU") { () throws(Errno) in
      var lent: [Int32] = []
      for (descriptor, name) in zip(streams, request.streams) {
        guard let name else { continue }
        let copy = try check(cl_dup_from(descriptor, firstDescriptor))
        lent.append(copy)
        arguments += ["--inherit-fd", "fd[\(copy)]:\(name)"]
      }
      if ownsNetwork {
        let own = try openat2(nil, "/proc/self/ns/net", .readOnly)
        let copy = try check(cl_dup_from(own.rawValue, firstDescriptor))
        lent.append(copy)
        arguments += ["--inherit-fd", "fd[\(copy)]:\(CheckpointPlan.network)"]
      }
      let null = try openat2(nil, "/dev/null", .readWrite)
      for number in Int32(0)...2 where dup2(null.rawValue, number) < 0 { throw Errno(rawValue: errno) }
      try Descriptors.closeAll(from: 3, closeOnExec: true)
      for descriptor in lent { try Descriptors.setCloseOnExec(descriptor, false) }
    }

    // 5. CRIU.
    let argv = CStrings(arguments)
    let envp = CStrings(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
    let result = cl_execve(request.criu.string, argv.pointers, envp.pointers)
    throw Fault(
      .unsupported, "CRIU (\(request.criu)) cannot be run: install it (Debian: apt-get install criu)",
      cause: [Errno(rawValue: -result).description])
  }

  private static func mountRoot(_ plan: InitPlan, at path: String) throws(Fault) {
    try step("mount the container's root file system for CRIU") { () throws(Errno) in
      switch plan.root {
      case nil: throw Errno.invalidArgument
      case .detached(let mount):
        if plan.rootIsReadOnly { try Mounts.change(mount, set: .readOnly) }
        try Mounts.attach(mount, at: nil, path)
      case .legacy(let folder, let data, let attributes):
        // The layers are named relative to their folder.
        if Glibc.chdir(folder) != 0 { throw Errno(rawValue: errno) }
        try Mounts.mount(source: "overlay", target: path, type: "overlay", data: data)
        if Glibc.chdir("/") != 0 { throw Errno(rawValue: errno) }
        let root = try openat2(nil, path, [.path, .directory])
        try Mounts.change(root.rawValue, set: plan.rootIsReadOnly ? attributes.union(.readOnly) : attributes)
      }
    }
  }

  /// Attaches a detached mount at a new place of the stage.
  private static func place(_ mount: Int32, _ kind: ContainerTree.Target, at path: String) throws(Fault) {
    try step("put a mount on the stage for CRIU") { () throws(Errno) in
      switch kind {
      case .directory: try Files.makeDirectory(path, mode: 0o755)
      case .file: _ = try openat2(nil, path, [.writeOnly, .create, .exclusive], mode: 0o644)
      }
      try Mounts.attach(mount, at: nil, path)
    }
  }

  /// In the order of `CheckpointPlan.externalMounts`.
  private static func cgroupFolders(_ plan: InitPlan) -> [String] {
    switch plan.cgroupView {
    case .legacy(let trees, _): trees.map(\.path)
    case .unified(let path): plan.ownsCgroupNamespace ? [] : [path]
    case nil: []
    }
  }

  private static func arguments(_ request: RestoreRequest, root: String, stage: String, mounts: Int) -> [String] {
    var arguments = [
      "criu", "restore", "--images-dir", request.images.string, "--work-dir", request.work.string,
      "--log-file", "restore.log", "-v2", "--root", root, "--manage-cgroups=ignore", "--file-locks",
      "--restore-detached", "--restore-sibling", "--pidfile", request.work.appending("restore.pid").string,
    ]
    for number in 0..<mounts { arguments += ["--external", "mnt[m\(number)]:\(stage)/m\(number)"] }
    return arguments
  }
}

/// What CRIU wrote about a failure.
public enum CriuLog {
  /// Lines that are kept of it.
  private static let mostLines = 6

  /// The fault for a failed run: its errors, and what to do where they tell that.
  public static func fault(_ what: String, _ log: String) -> Fault {
    let errors = log.split(separator: "\n").filter {
      // A limit that CRIU may not raise is no failure.
      $0.contains("Error (") && !$0.contains("RLIMIT_NOFILE")
    }.map { line in String(line.drop { $0 != "E" }) }
    let causes = Array(errors.prefix(mostLines))
    if errors.contains(where: { $0.lowercased().contains("vdso") || $0.contains("kerndat") }) {
      return Fault(
        .unsupported,
        "\(what): this CRIU is too old for the kernel \(KernelFeatures.release) (`criu check` says more): install a newer "
          + "one, 4.1 for Linux 6.13 and later", cause: causes)
    }
    return Fault(.internal, "\(what): see CRIU's own words", cause: causes.isEmpty ? ["it has left no log"] : causes)
  }
}
