internal import CLinux
internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// The parent's part: clone, handshake, and cleaning up after a child that failed.
enum Launch {
  static func container(
    _ request: ContainerRequest, meanwhile: () throws(Fault) -> Void
  ) throws(Fault) -> ContainerProcess {
    try requireOneThread()
    // In a chroot the mount namespace's root would stay the machine's, and an exec would find itself there.
    guard (try? FileStatus("/"))?.isMountRoot == true else {
      throw Fault(
        .unsupported, "Gantry runs in a chroot, from where a container's root cannot be changed: start it outside of it"
      )
    }
    let plan = try InitPlan(request)
    let ends = try step("make the handshake's sockets") { () throws(Errno) in
      try UnixSocket.pair(.sequentialPackets)
    }
    let ours = ends.first.rawValue
    let theirs = ends.second.rawValue
    let cgroup = try CgroupEntry.open(request.cgroup)
    if let namespace = plan.joinedPID {
      try step("enter the pid namespace", code: .invalidArgument) { () throws(Errno) in
        try NamespaceKinds.join(namespace, .pid)
      }
    }
    try plan.clocks?.enter()
    var pidfd: Int32 = -1
    let pid = cl_clone3(plan.joinedUser == nil ? plan.newNamespaces.rawValue : 0, SIGCHLD, cgroup.folder, &pidfd)
    if pid == 0 {
      Descriptors.close(ours)
      if let user = plan.joinedUser { bear(plan, in: user, channel: theirs, cgroup: cgroup) }
      Init.run(plan, channel: theirs, cgroup: cgroup)
    }
    if plan.joinedPID != nil { try returnToOwnPIDNamespace() }
    try plan.clocks?.leave()
    guard pid > 0 else { throw cloneFault(pid) }
    Descriptors.close(ends.second.take())
    let channel = ends.first
    var container = pid
    let first = PidFD(OwnedDescriptor(pidfd))
    let process = plan.joinedUser == nil ? first : try born(channel.rawValue, maker: first, pid: &container)
    do throws(Fault) {
      if plan.awaitsParent { try prepareNamespaces(plan, request, pid: container, channel: channel.rawValue) }
      var conversation = Conversation(
        channel: channel.rawValue, pid: container, pidfd: process.descriptor.rawValue, supervisor: plan.listener)
      // Hooks in the child, and a supervisor that is asked, take the time that they take.
      if plan.awaitsHooks { conversation.patience = nil }
      if let identity = request.identity {
        conversation.prepared = { () throws(Fault) in
          let state = Array(identity.state("creating", pid: container, of: request.spec).utf8)
          for (name, hooks) in plan.runtimeHooks { try Hooks.run(hooks, name, state: state) }
          return state
        }
      }
      try meanwhile()
      let result = try conversation.outcome()
      let hooks = request.identity.map { (spec: request.spec, identity: $0) }
      guard result.isWaiting else {
        let warnings = Hooks.started(request.spec, request.identity, pid: container)
        return ContainerProcess(
          pid: container, pidFD: process, console: result.console.map { OwnedDescriptor($0) }, warnings: warnings)
      }
      let waiting: OwnedDescriptor? =
        if request.gate == nil {
          try step("keep the handshake", { () throws(Errno) in try channel.duplicate() })
        } else {
          nil
        }
      return ContainerProcess(
        pid: container, pidFD: process, console: result.console.map { OwnedDescriptor($0) }, channel: waiting,
        supervisor: plan.listener, hooks: hooks)
    } catch {
      try? process.signal(SIGKILL)
      _ = try? process.wait()
      throw error
    }
  }

  /// The parent's part for namespaces that the child is in already.
  private static func prepareNamespaces(
    _ plan: InitPlan, _ request: ContainerRequest, pid: Int32, channel: Int32
  ) throws(Fault) {
    if plan.ownsUserNamespace {
      // Inside, root owns nothing of the host's: pipes become its own here, so that it can open /dev/stdout again.
      if case .descriptors(let input, let output, let error) = plan.process.io, let root = plan.outsideRoot {
        Program.give([input, output, error], to: root.uid)
      }
      try Init.setOOMScore(plan.process.oomScoreAdj, pid: pid)
      try step("map the ids of the user namespace", code: .invalidArgument) { () throws(Errno) in
        try UserNamespace.writeMaps(pid: pid, userMap: plan.userMap, groupMap: plan.groupMap)
      }
    }
    if !plan.interfaces.isEmpty {
      // One that is joined is held by its descriptor: the child may not be in it yet.
      let held = plan.joined.first { $0.kind == .network }?.descriptor
      let opened = try step("open the container's network namespace") { () throws(Errno) in
        held == nil ? try openat2(nil, "/proc/\(pid)/ns/net", .readOnly) : OwnedDescriptor(-1)
      }
      for interface in plan.interfaces { try interface.move(to: held ?? opened.rawValue) }
    }
    try step("let the container go on") { () throws(Errno) in try Handshake.send(channel, .mapped) }
  }

  /// Child, when the user namespace is joined: joins all that is joined, and has the container's first process made in it
  /// as the caller's child. It is made here because new namespaces belong to the user namespace of their maker. Returns in
  /// that process only.
  private static func bear(_ plan: InitPlan, in user: Int32, channel: Int32, cgroup: borrowing CgroupEntry) {
    do throws(Fault) {
      try Init.setOOMScore(plan.process.oomScoreAdj, pid: nil)
      _ = cl_prctl(Int32(CL_PR_SET_DUMPABLE), 0, 0, 0, 0)
      try Init.enter(cgroup)
      try Init.join(plan.joined)
      try step("join the user namespace", code: .invalidArgument) { () throws(Errno) in
        try NamespaceKinds.join(user, .user)
      }
      try Init.becomeRootInside()
      var pidfd: Int32 = -1
      let pid = cl_clone3(plan.newNamespaces.rawValue | UInt64(CL_CLONE_PARENT), 0, -1, &pidfd)
      if pid == 0 { return }
      guard pid > 0 else { throw cloneFault(pid) }
      try step("tell of the container's first process") { () throws(Errno) in
        try Handshake.send(channel, .born, descriptor: pidfd)
      }
    } catch {
      Handshake.report(channel, error)
    }
    cl_exit(0)
  }

  /// Parent: the process that `bear` has made, which is our child, and its pid.
  private static func born(_ channel: Int32, maker: consuming PidFD, pid: inout Int32) throws(Fault) -> PidFD {
    defer { _ = try? maker.wait() }
    let message = try step("hear of the container's first process") { () throws(Errno) in
      try Handshake.receive(channel)
    }
    if message?.kind == .fault { throw Handshake.fault(message?.text ?? []) }
    guard message?.kind == .born, let descriptor = message?.descriptor else {
      throw Fault(.internal, "the container's first process was not made: its maker was ended")
    }
    let process = PidFD(OwnedDescriptor(descriptor))
    pid = try step("learn the pid of the container's first process") { () throws(Errno) in
      let lines = try Files.readText("/proc/self/fdinfo/\(descriptor)").split(separator: "\n")
      let line = lines.first { $0.hasPrefix("Pid:") }?.dropFirst(4).trimmingPrefix { $0 == " " || $0 == "\t" }
      guard let line, let pid = Int32(line), pid > 0 else { throw Errno.noSuchProcess }
      return pid
    }
    return process
  }

  static func exec(_ request: ExecRequest) throws(Fault) -> ContainerProcess {
    try requireOneThread()
    let plan = try Exec.Plan(request)
    let notRunning = Fault(.conflict, "the container is not running")
    guard let container = try? PidFD(pid: request.containerPID), container.isAlive() else { throw notRunning }
    let ends = try step("make the handshake's sockets") { () throws(Errno) in
      try UnixSocket.pair(.sequentialPackets)
    }
    let ours = ends.first.rawValue
    let theirs = ends.second.rawValue
    let cgroup = try CgroupEntry.open(
      request.cgroup, exec: request.execCgroup, beside: request.containerPID)
    if plan.namespaces.contains(.pid) {
      do throws(Errno) {
        try NamespaceKinds.join(container.descriptor.rawValue, .pid)
      } catch {
        throw notRunning
      }
    }
    let listener: SeccompListener? =
      if let known = request.container {
        try SeccompListener(flags: request.seccompFlags, spec: known.spec, identity: known.identity)
      } else {
        try SeccompListener(flags: request.seccompFlags, spec: RuntimeSpec(), identity: nil)
      }
    var pidfd: Int32 = -1
    let pid = cl_clone3(0, SIGCHLD, cgroup.folder, &pidfd)
    if pid == 0 {
      Descriptors.close(ours)
      Exec.run(plan, container: container.descriptor.rawValue, channel: theirs, cgroup: cgroup)
    }
    if plan.namespaces.contains(.pid) { try returnToOwnPIDNamespace() }
    // ENOMEM: the pid namespace has lost its process 1.
    if pid == -ENOMEM { throw notRunning }
    guard pid > 0 else { throw cloneFault(pid) }
    let process = PidFD(OwnedDescriptor(pidfd))
    Descriptors.close(ends.second.take())
    let channel = ends.first
    do throws(Fault) {
      let conversation = Conversation(channel: channel.rawValue, pid: pid, pidfd: pidfd, supervisor: listener)
      let result = try conversation.outcome()
      return ContainerProcess(pid: pid, pidFD: process, console: result.console.map { OwnedDescriptor($0) })
    } catch {
      _ = cl_pidfd_send_signal(pidfd, SIGKILL)
      _ = try? process.wait()
      throw error
    }
  }

  /// Lets a waiting container go on. Its process is ended, and reaped if it is ours, when it fails.
  static func letRun(
    _ channel: Int32, pid: Int32, pidfd: Int32, _ supervisor: SeccompListener?
  ) throws(Fault) {
    do throws(Fault) {
      try step("start the container: its init has ended", code: .conflict) { () throws(Errno) in
        try Handshake.send(channel, .go)
      }
      var conversation = Conversation(channel: channel, pid: pid, pidfd: pidfd, supervisor: supervisor)
      conversation.patience = nil  // hooks of the container may be run first
      let result = try conversation.outcome()
      if let console = result.console { Descriptors.close(console) }
    } catch {
      _ = cl_pidfd_send_signal(pidfd, SIGKILL)
      _ = try? Children.wait(pid: pid)
      throw error
    }
  }

  /// Between clone and exec the child runs Swift: with a second thread, a lock could be held for ever in it.
  private static func requireOneThread() throws(Fault) {
    let threads = ProcFiles.threadCount()
    guard threads == 1 || threads < 0 else {
      throw Fault(.internal, "containers are made by a process with one thread; this one has \(threads)")
    }
  }

  private static func returnToOwnPIDNamespace() throws(Fault) {
    try step("return to our own pid namespace") { () throws(Errno) in
      let own = try openat2(nil, "/proc/self/ns/pid", .readOnly)
      try NamespaceKinds.join(own.rawValue, .pid)
    }
  }

  private static func cloneFault(_ result: Int32) -> Fault {
    let error = Errno(rawValue: -result)
    let hint: String
    switch error {
    case .noSpace: hint = ": a limit of namespaces is reached (see /proc/sys/user)"
    case .resourceTemporarilyUnavailable: hint = ": a limit of processes is reached"
    case .notPermitted: hint = ": the shim must be root"
    default: hint = ""
    }
    return Fault(.internal, "cannot make the container's first process\(hint)", cause: [error.description])
  }
}
