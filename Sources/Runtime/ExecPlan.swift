internal import CLinux
internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// One more program in a running container.
enum Exec {
  /// Everything that the child needs.
  struct Plan {
    var process: ProcessPlan
    /// The container's own namespaces; the pid namespace is entered by the parent before the clone.
    let namespaces: NamespaceKinds

    init(_ request: ExecRequest) throws(Fault) {
      process = try ProcessPlan(
        request.process, filter: request.seccompFilter, filterFlags: request.seccompFlags, io: request.io)
      process.passed = request.passedDescriptors
      process.keepsKeyring = request.keepsKeyring
      var kinds: NamespaceKinds = []
      for namespace in request.namespaces {
        guard let kind = InitPlan.kinds[namespace.type] else {
          throw Fault(.unsupported, "a namespace of the type \(namespace.type) is not supported")
        }
        kinds.insert(kind)
      }
      namespaces = kinds
    }
  }

  /// What the child does: the steps of `Init`, as far as they are not the container's already, in the same order.
  static func run(_ plan: Plan, container: Int32, channel: Int32, cgroup: borrowing CgroupEntry) {
    var channel = channel
    do throws(Fault) {
      // 1. As step 1 of `Init`. Not dumpable before the container's namespaces are joined: its processes see this one.
      cl_reset_signals()
      try Init.setOOMScore(plan.process.oomScoreAdj, pid: nil)
      if let label = plan.process.securityLabel {
        try step("set the security label") { () throws(Errno) in
          try Files.write("/proc/self/attr/" + label.file, label.text)
        }
      }
      _ = cl_prctl(Int32(CL_PR_SET_DUMPABLE), 0, 0, 0, 0)
      _ = setsid()
      if !plan.process.keepsKeyring { try SessionKeyring.make() }
      try plan.process.scheduling.applyInitialCPUs()
      umask(0)

      // 2. The cgroup. Then, before any process of the container can see this one, every descriptor goes that is not the
      //    program's, the handshake or the container's pidfd (CVE-2016-9962, CVE-2024-21626). Then all namespaces at once,
      //    of the process that the pidfd holds: none can be exchanged meanwhile.
      try Init.enter(cgroup)
      try plan.process.scheduling.applyFinalCPUs()
      var process = plan.process
      var container = container
      try StandardDescriptors.isolate(
        &process.io, passed: &process.passed, channel: &channel, kept: &container)
      let kinds = plan.namespaces.subtracting(.pid)
      let joined = container
      try step("join the container's namespaces", code: .conflict) { () throws(Errno) in
        try NamespaceKinds.join(joined, kinds)
      }
      Descriptors.close(container)
      if plan.namespaces.contains(.user) {
        try Init.becomeRootInside()
      }

      // 3. A terminal, from the container's devpts.
      var terminal: Int32?
      if case .terminal = process.io {
        let root = try step("open the container's root") { () throws(Errno) in
          try openat2(nil, "/", [.path, .directory])
        }
        terminal = try Console.open(root: root.rawValue, size: process.consoleSize, channel: channel)
      }
      try Program.run(process, terminal: terminal, channel: &channel)
    } catch {
      Handshake.report(channel, error)
    }
    cl_exit(1)
  }
}
