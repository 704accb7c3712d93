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
    var pidfd: Int32 = -1
    let pid = cl_clone3(plan.newNamespaces.rawValue, SIGCHLD, cgroup.folder, &pidfd)
    if pid == 0 {
      Descriptors.close(ours)
      Init.run(plan, channel: theirs, cgroup: cgroup)
    }
    if plan.joinedPID != nil { try returnToOwnPIDNamespace() }
    guard pid > 0 else { throw cloneFault(pid) }
    let process = PidFD(OwnedDescriptor(pidfd))
    Descriptors.close(ends.second.take())
    let channel = ends.first
    do throws(Fault) {
      if plan.ownsUserNamespace {
        // Inside, root owns nothing of the host's: pipes become its own here, so that it can open /dev/stdout again.
        if case .descriptors(let input, let output, let error) = plan.process.io, let root = plan.outsideRoot {
          Program.give([input, output, error], to: root.uid)
        }
        try Init.setOOMScore(plan.process.oomScoreAdj, pid: pid)
        try step("map the ids of the user namespace", code: .invalidArgument) { () throws(Errno) in
          try UserNamespace.writeMaps(pid: pid, userMap: plan.userMap, groupMap: plan.groupMap)
        }
        try step("let the container go on") { () throws(Errno) in try Handshake.send(channel.rawValue, .mapped) }
      }
      try meanwhile()
      let result = try outcome(channel.rawValue)
      let waiting =
        result.isWaiting ? try step("keep the handshake", { () throws(Errno) in try channel.duplicate() }) : nil
      return ContainerProcess(
        pid: pid, pidFD: process, console: result.console.map { OwnedDescriptor($0) }, channel: waiting)
    } catch {
      _ = cl_pidfd_send_signal(pidfd, SIGKILL)
      _ = try? process.wait()
      throw error
    }
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
      let result = try outcome(channel.rawValue)
      return ContainerProcess(
        pid: pid, pidFD: process, console: result.console.map { OwnedDescriptor($0) }, channel: nil)
    } catch {
      _ = cl_pidfd_send_signal(pidfd, SIGKILL)
      _ = try? process.wait()
      throw error
    }
  }

  /// Lets a waiting container go on. Its process is reaped when it fails.
  static func letRun(_ channel: Int32, pid: Int32) throws(Fault) {
    do throws(Fault) {
      try step("start the container: its init has ended", code: .conflict) { () throws(Errno) in
        try Handshake.send(channel, .go)
      }
      let result = try outcome(channel)
      if let console = result.console { Descriptors.close(console) }
    } catch {
      _ = kill(pid, SIGKILL)
      _ = try? Children.wait(pid: pid)
      throw error
    }
  }

  /// How long a child may be silent, in milliseconds: a container whose files are served by a hostile or dead file system
  /// must not hold its shim for ever.
  private static let patience: Int32 = 60_000

  /// Reads the child's messages until it waits, runs or has failed.
  private static func outcome(_ channel: Int32) throws(Fault) -> (console: Int32?, isWaiting: Bool) {
    var console: Int32?
    var executing = false
    do throws(Fault) {
      while true {
        let message = try step("hear from the container's init") { () throws(Errno) in
          var events: UInt32 = 0
          guard try Polling.wait(channel, for: .readable, milliseconds: patience, events: &events) else {
            throw Errno.timedOut
          }
          return try Handshake.receive(channel)
        }
        switch message?.kind {
        case .console: console = message?.descriptor
        case .ready: return (console, true)
        case .executing: executing = true
        case .fault: throw Handshake.fault(message?.text ?? [])
        case .mapped, .go: throw Fault(.internal, "the container's init said something out of turn")
        case nil:
          guard executing else {
            throw Fault(
              .internal,
              "the container's init was ended before its program ran: is its memory limit too small to start at all?")
          }
          return (console, false)
        }
      }
    } catch {
      if let console { Descriptors.close(console) }
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
