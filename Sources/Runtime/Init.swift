internal import CLinux
internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// What the child of clone3 does until it is the container's program. The order of the steps is the security property.
///
/// The handshake, over a pair of close-on-exec packet sockets:
///
///     parent (shim)                               child (process 1 of the container)
///     ─────────────                               ──────────────────────────────────
///     check the description; open binds,
///     overlay, namespaces, cgroup (detached)
///     clone3 ──────────────────────────────────▶  steps 1 to 4
///     write uid_map, gid_map; move interfaces
///     mapped ── user namespace, interfaces only ▶  steps 5 to 12
///       ◀──────────── with a terminal only ─────  console + its master's descriptor
///       ◀─────────────── with hooks only ───────  prepared
///     hooks of the runtime
///     hooked + the container's state ───────────▶  hooks of the container; step 13
///       ◀──────────── with waitForStart only ───  ready (after `Program` step 5)
///     (created)
///     go ───────────────────────────────────────▶ `Program` steps 6 and on
///       ◀───────────────────────────────────────  executing: only the filter and exec are left
///       ◀────────── with a supervisor only ─────  listener: a descriptor's number
///     copy it, give it away; go ────────────────▶
///     end of input: exec has succeeded            exec closes the socket
///       ◀─────────────── at any step ───────────  fault: code and words; the child exits
///
/// Between `ready` and `go` the parent may be replaced: a container that is created by one process and started by another
/// waits on a listening socket (`gate`), and whoever connects to it has the rest of the conversation.
///
/// An end of input without `executing` before it means that the child was ended (out of memory, killed).
enum Init {
  /// Becomes the container. Called in the child of a single-threaded parent; does not return (typed Void: the parent still owns values on this path).
  static func run(_ plan: InitPlan, channel: Int32, cgroup: borrowing CgroupEntry) {
    var channel = channel
    do throws(Fault) {
      try become(plan, &channel, cgroup)
    } catch {
      Handshake.report(channel, error)
    }
    cl_exit(1)
  }

  private static func become(
    _ plan: InitPlan, _ channel: inout Int32, _ cgroup: borrowing CgroupEntry
  ) throws(Fault) {
    // 1. Signals as a new program expects them; not dumpable, so that no process of the container can trace this one or
    //    open its /proc files before exec (CVE-2016-9962). A session and a session keyring of its own: keys of the caller
    //    cannot be read (possessor rights).
    cl_reset_signals()
    if !plan.ownsUserNamespace && plan.joinedUser == nil { try setOOMScore(plan.process.oomScoreAdj, pid: nil) }
    _ = cl_prctl(Int32(CL_PR_SET_DUMPABLE), 0, 0, 0, 0)
    _ = cl_prctl(Int32(CL_PR_SET_NAME), UInt(bitPattern: initName.utf8Start), 0, 0, 0)
    _ = setsid()
    if !plan.process.keepsKeyring { try SessionKeyring.make() }
    umask(0)

    // 2. Into the cgroup before anything is allocated on the container's behalf: limits hold from here on. (On v2 clone3
    //    has done it.) Only then its cgroup namespace, whose root is the cgroup that the process is in now.
    if plan.joinedUser == nil { try enter(cgroup) }
    if plan.ownsCgroupNamespace {
      try step("make a cgroup namespace") { () throws(Errno) in try NamespaceKinds.unshare(.cgroup) }
    }

    // 3. Namespaces that others share with this container. (With a user namespace among them, this process's maker has
    //    joined them, and entered the cgroup, which from inside it could not.)
    if plan.joinedUser == nil { try join(plan.joined) }
    if plan.newNamespaces.contains(.network) {
      try step("switch the loopback interface on") { () throws(Errno) in try check(cl_loopback_up()) }
    }

    // 4. With a user namespace: root inside from here on, which is nobody outside. Interfaces are here from now on.
    if plan.awaitsParent {
      guard let message = try? Handshake.receive(channel), message.kind == .mapped else { cl_exit(1) }
    }
    if plan.ownsUserNamespace { try becomeRootInside() }
    for interface in plan.interfaces { try interface.configure() }

    var state: [UInt8] = []
    let terminal =
      if plan.joinsMounts {
        try takeMounts(plan, channel, &state)
      } else {
        try makeMounts(plan, channel, &state)
      }
    try setNames(plan)
    if let persona = plan.persona {
      try step("set the personality") { () throws(Errno) in try check(cl_personality(persona)) }
    }
    try plan.memoryPolicy?.apply()
    try Program.run(
      plan.process, terminal: terminal, channel: &channel, useInit: plan.useInit, start: plan.start, state: state)
  }

  /// The steps that make the container's view of files; returns its terminal.
  private static func makeMounts(_ plan: InitPlan, _ channel: Int32, _ state: inout [UInt8]) throws(Fault) -> Int32? {
    // 5. No mount made below reaches the host, and none of the host's later ones comes in.
    try step("make all mounts private") { () throws(Errno) in try Mounts.setPropagation(ofAll: .private) }

    // 6. The root file system, over the old root: it needs no folder on the host.
    guard let root = plan.root else { throw Fault(.invalidArgument, "the container has no root file system") }
    let tree = ContainerTree(root: try InitMounts.attachRoot(root, at: plan.rootPlace))

    // 7. The mounts of the description in order. Every target is resolved inside the root by the kernel.
    let proc = try InitMounts.make(plan, in: tree)

    // 8. Device files and links, unless /dev is the host's or the image's own.
    if plan.mounts.contains(where: { $0.destination == "/dev" && !$0.isBind }) {
      for device in plan.devices { try device.make(in: tree) }
      try PlannedDevice.makeLinks(in: tree)
    }

    // 9. The terminal, from the container's devpts.
    let terminal = try Console.make(plan.process, in: tree, channel: channel)

    // 10. Settings of the kernel, through a procfs that nothing can be mounted over (CVE-2025-52881).
    try set(plan, proc: proc)

    // 11. What may not be written and what may not be seen.
    for path in plan.readOnlyPaths { try Masks.makeReadOnly(path, in: tree) }
    try Masks.hide(plan.maskedPaths, in: tree)

    // 12. The folder to start in, made when the image lacks it; then the root read-only.
    try Program.makeWorkingDirectory(plan.process.cwd, in: tree)
    if plan.rootIsReadOnly {
      try step("make the root read-only") { () throws(Errno) in try Mounts.change(tree.root, set: .readOnly) }
    }

    // 13. Hooks that want the old root. Then it goes: nothing of the host can be reached by path any more.
    try awaitHooks(plan, channel, &state)
    try InitMounts.changeRoot(
      to: tree.root, pivots: plan.pivots, place: plan.rootPlace, propagation: plan.rootPropagation)
    return terminal
  }

  /// With a mount namespace that others use: its root and mounts as they are; settings and a terminal from there.
  private static func takeMounts(_ plan: InitPlan, _ channel: Int32, _ state: inout [UInt8]) throws(Fault) -> Int32? {
    if !plan.settings.isEmpty || plan.process.securityLabel != nil {
      let proc = try step("open a procfs of our own") { () throws(Errno) in try Mounts.make("proc", source: "proc") }
      try set(plan, proc: proc.rawValue)
    }
    try awaitHooks(plan, channel, &state)
    guard case .terminal = plan.process.io else { return nil }
    let root = try step("open the container's root") { () throws(Errno) in try openat2(nil, "/", [.path, .directory]) }
    return try Console.open(root: root.rawValue, size: plan.process.consoleSize, channel: channel)
  }

  /// Lets the parent run its hooks, learns the container's state, and runs the container's hooks.
  private static func awaitHooks(_ plan: InitPlan, _ channel: Int32, _ state: inout [UInt8]) throws(Fault) {
    guard plan.awaitsHooks else { return }
    try step("tell that the container is prepared") { () throws(Errno) in try Handshake.send(channel, .prepared) }
    guard let message = try? Handshake.receive(channel), message.kind == .hooked else { cl_exit(1) }
    state = message.text
    try Hooks.run(plan.containerHooks, "createContainer", state: state)
  }

  /// Writes the kernel's settings and the label for exec, through `proc`.
  private static func set(_ plan: InitPlan, proc: Int32) throws(Fault) {
    for setting in plan.settings { try setting.write(proc: proc) }
    if let label = plan.process.securityLabel {
      try step("set the security label") { () throws(Errno) in
        try ProcWrite.write(proc: proc, "thread-self/attr/" + label.file, label.text)
      }
    }
  }

  private static func setNames(_ plan: InitPlan) throws(Fault) {
    if let hostname = plan.hostname, !hostname.isEmpty {
      try step("set the host name \(hostname)") { () throws(Errno) in
        try check(cl_sethostname(hostname, hostname.utf8.count))
      }
    }
    if let domainname = plan.domainname, !domainname.isEmpty {
      try step("set the domain name \(domainname)") { () throws(Errno) in
        try check(cl_setdomainname(domainname, domainname.utf8.count))
      }
    }
  }

  /// Moves the caller into the container's cgroup.
  static func enter(_ cgroup: borrowing CgroupEntry) throws(Fault) {
    let refused = cgroup.enter()
    guard refused == 0 else {
      throw Fault(.internal, "cannot enter the container's cgroup", cause: [Errno(rawValue: refused).description])
    }
  }

  /// Joins namespaces that were named by path.
  static func join(_ namespaces: [(descriptor: Int32, kind: NamespaceKinds)]) throws(Fault) {
    for (descriptor, kind) in namespaces {
      try step("join a namespace that was named by path", code: .invalidArgument) { () throws(Errno) in
        try NamespaceKinds.join(descriptor, kind)
      }
    }
  }

  /// Root of the user namespace that the caller is in. Groups cannot be dropped where the namespace denies setgroups.
  static func becomeRootInside() throws(Fault) {
    try step("become root of the user namespace") { () throws(Errno) in
      let groups = cl_setgroups(0, nil)
      if groups != -EPERM { try check(groups) }
      try check(cl_setresgid(0))
      try check(cl_setresuid(0))
    }
  }

  private static let initName: StaticString = "gantry-init"

  /// Writes the score of `pid` (nil: the caller) through the host's procfs. Before the session of a hostile container
  /// begins, that procfs is the host's own.
  static func setOOMScore(_ score: Int?, pid: Int32?) throws(Fault) {
    guard let score else { return }
    try step(
      "set oomScoreAdj to \(score) (below the caller's own it needs CAP_SYS_RESOURCE)", code: .invalidArgument
    ) { () throws(Errno) in
      try Files.write("/proc/\(pid.map(String.init) ?? "self")/oom_score_adj", String(score))
    }
  }
}

/// Session keyrings.
enum SessionKeyring {
  /// A new, empty one. Kernels without keys (ENOSYS) have nothing to protect; EDQUOT means that root's quota of keys is
  /// used up, which must not stop containers from starting: the old keyring is then left by an anonymous one's failure.
  static func make() throws(Fault) {
    let result = cl_join_session_keyring(nil)
    guard result < 0, result != -ENOSYS else { return }
    throw Fault(
      .internal, "cannot make a session keyring", cause: [Errno(rawValue: -result).description])
  }
}
