import Faults
import OCI
import Protocol

/// Refuses what a container cannot be, at create, with the field, its value and what is allowed. What this engine does not
/// do yet is refused by name: nothing is ignored.
struct RequestCheck {
  let machine: Machine
  /// Whether containers have a user namespace unless they ask for the host's.
  var hasRemap = false

  /// Checks a configuration that was merged with its image's.
  func check(_ config: ContainerConfig, _ host: HostConfig) throws {
    try checkProcess(config)
    try checkHostnames(config, host)
    try checkModes(config, host)
    try checkResources(host)
    try checkSysctls(host)
    try checkLog(host)
    try checkSupervision(config, host)
    try refuseUnbuilt(config, host)
    if let profile = try SecurityOptions(host).appArmor, !machine.hasAppArmor {
      throw Fault(
        .unsupported,
        "SecurityOpt: apparmor=\(profile) needs AppArmor, which is not switched on in this machine's kernel: leave it out"
      )
    }
    _ = try machine.capabilities.resolve(
      add: host.capAdd ?? [], drop: host.capDrop ?? [], privileged: host.privileged ?? false)
    for key in (host.annotations ?? [:]).keys where ImageMerge.isReserved(key) {
      throw Fault(
        .invalidArgument, "Annotations: \"\(key)\": names that begin with gantry. or io.gantry. belong to the engine")
    }
  }

  private func checkProcess(_ config: ContainerConfig) throws {
    let arguments = ImageMerge.arguments(config)
    guard let program = arguments.first else {
      throw Fault(.invalidArgument, "no command specified: the image has none, so name one after it")
    }
    guard !program.isEmpty else { throw Fault(.invalidArgument, "Cmd: the name of the program is empty") }
    for text in arguments where text.utf8.contains(0) {
      throw Fault(.invalidArgument, "Cmd: an argument holds a NUL byte")
    }
    for variable in config.env ?? [] {
      guard !variable.isEmpty, variable.first != "=", !variable.utf8.contains(0) else {
        throw Fault(.invalidArgument, "invalid environment variable: \(variable): give NAME=VALUE")
      }
    }
    _ = try ContainerPath.workingDirectory(config.workingDir ?? "")
    try UserText.check(config.user ?? "")
    if let signal = config.stopSignal, !signal.isEmpty { _ = try Signals.number(signal) }
  }

  private func checkHostnames(_ config: ContainerConfig, _ host: HostConfig) throws {
    for (field, value) in [("Hostname", config.hostname ?? ""), ("Domainname", config.domainname ?? "")]
    where !value.isEmpty {
      let allowed = value.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 45 || $0 == 46 || $0 == 95
      }
      guard allowed, value.utf8.count <= (field == "Hostname" ? 64 : 253), !value.hasPrefix("-"), !value.hasPrefix(".")
      else {
        throw Fault(
          .invalidArgument, "\(field): invalid hostname format: \"\(value)\": letters, digits, - . and _ make a name")
      }
      if host.utsMode == "host" {
        throw Fault(.invalidArgument, "conflicting options: \(field.lowercased()) and the UTS mode")
      }
    }
  }

  private func checkModes(_ config: ContainerConfig, _ host: HostConfig) throws {
    func one(
      _ field: String, _ value: String?, _ allowed: [String], container: Bool = false, later: [String] = []
    ) throws {
      let value = value ?? ""
      if allowed.contains(value) || (container && value.hasPrefix("container:") && value.utf8.count > 10) { return }
      let known = (allowed.filter { !$0.isEmpty } + (container ? ["container:NAME"] : [])).joined(separator: ", ")
      if later.contains(where: { value == $0 || value.hasPrefix($0 + ":") }) {
        throw Fault(.unsupported, "\(field): \"\(value)\" is not built yet: allowed are \(known)")
      }
      throw Fault(.invalidArgument, "\(field): \"\(value)\" is not known: allowed are \(known)")
    }
    let network = host.networkMode ?? ""
    if !["", "default", "none", "host"].contains(network) {
      throw Fault(
        .unsupported,
        "NetworkMode: \"\(network)\" is not built yet: a container can have no network (none) or the host's (host)")
    }
    if (host.portBindings ?? [:]).values.contains(where: { !($0 ?? []).isEmpty }) || host.publishAllPorts ?? false {
      throw Fault(.unsupported, "PortBindings: publishing ports is not built yet: use --network host")
    }
    try one("PidMode", host.pidMode, ["", "host"], container: true)
    try one("IpcMode", host.ipcMode, ["", "private", "shareable", "host", "none"], container: true)
    try one("UTSMode", host.utsMode, ["", "host"])
    try one("CgroupnsMode", host.cgroupnsMode?.rawValue, ["", "private", "host"])
    try one("Runtime", host.runtime, ["", "gantry", "runc", "io.containerd.runc.v2"])
    let mode = try UserNamespaceMode(host.usernsMode ?? "")
    if mode != .host, mode != .standard || hasRemap {
      try checkUserNamespace(host)
    }
    if !(host.pidMode ?? "").isEmpty, host.`init` ?? false {
      throw Fault(
        .invalidArgument, "Init: an init needs a pid namespace of its own: leave PidMode \(host.pidMode ?? "") out")
    }
    if let parent = host.cgroupParent, !parent.isEmpty {
      guard !parent.utf8.contains(0), !parent.split(separator: "/").contains(".."), !parent.hasSuffix(".slice") else {
        throw Fault(
          .invalidArgument, "CgroupParent: \"\(parent)\" is no path of a cgroup: give such as /mygroup, without ..")
      }
    }
  }

  /// What cannot be together with ids of the container's own.
  private func checkUserNamespace(_ host: HostConfig) throws {
    let hint = "use --userns=host"
    if host.privileged ?? false {
      throw Fault(.invalidArgument, "Privileged: privileged mode is incompatible with user namespaces: \(hint)")
    }
    for (field, mode, name) in [("PidMode", host.pidMode, "PID"), ("IpcMode", host.ipcMode, "IPC")] {
      if mode == "host" {
        throw Fault(
          .invalidArgument,
          "\(field): cannot share the host's \(name) namespace when user namespaces are enabled: \(hint)")
      }
    }
  }

  /// What Docker's API knows and this engine does not do yet.
  private func refuseUnbuilt(_ config: ContainerConfig, _ host: HostConfig) throws {
    let asked: [(String, Bool)] = [
      ("Links", !(host.links ?? []).isEmpty),
      ("Cgroup", !(host.cgroup ?? "").isEmpty),
      ("KernelMemoryTCP", (host.kernelMemoryTCP ?? 0) > 0),
      ("MacAddress", !(config.macAddress ?? "").isEmpty),
    ]
    if let (field, _) = asked.first(where: \.1) {
      throw Fault(.unsupported, "\(field) is not built yet: leave it out")
    }
    let windows: [(String, Bool)] = [
      ("CpuCount", (host.cpuCount ?? 0) != 0), ("CpuPercent", (host.cpuPercent ?? 0) != 0),
      ("IOMaximumIOps", (host.ioMaximumIOps ?? 0) != 0), ("IOMaximumBandwidth", (host.ioMaximumBandwidth ?? 0) != 0),
      ("Isolation", !["", "default"].contains(host.isolation ?? "")),
    ]
    if let (field, _) = windows.first(where: \.1) {
      throw Fault(
        .invalidArgument, "\(field): it is for Windows containers, and Gantry runs Linux ones: leave it out")
    }
  }

  private func checkSupervision(_ config: ContainerConfig, _ host: HostConfig) throws {
    let policy = try RestartPolicy(host.restartPolicy)
    let isRemoved = host.autoRemove ?? false
    if isRemoved, policy != .never {
      throw Fault(.invalidArgument, "can't create 'AutoRemove' container with restart policy")
    }
    _ = try HealthPlan(config)
    if isRemoved, config.healthcheck?.onUnhealthy == .restart {
      throw Fault(
        .invalidArgument, "OnUnhealthy in Healthcheck is \"restart\": a container that is removed when it ends cannot be")
    }
  }

  private func checkSysctls(_ host: HostConfig) throws {
    let ipc: Set<String> = [
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
      "kernel.shmmni", "kernel.shm_rmid_forced",
    ]
    for (name, value) in host.sysctls ?? [:] {
      let dotted = name.replacing("/", with: ".")
      guard !dotted.contains(".."), !name.utf8.contains(0), !value.utf8.contains(0) else {
        throw Fault(.invalidArgument, "Sysctls: \"\(name)\" is no name of a kernel setting")
      }
      if ipc.contains(dotted) || dotted.hasPrefix("fs.mqueue.") {
        guard host.ipcMode != "host" else {
          throw Fault(.invalidArgument, "Sysctls: '\(name)' is not allowed as IPC namespace is the host's")
        }
      } else if dotted.hasPrefix("net.") {
        guard host.networkMode != "host" else {
          throw Fault(.invalidArgument, "Sysctls: '\(name)' is not allowed as network namespace is the host's")
        }
      } else {
        throw Fault(
          .invalidArgument,
          "Sysctls: '\(name)' is not whitelisted: it would change the host; allowed are net.*, fs.mqueue.*, "
            + ipc.sorted().joined(separator: ", "))
      }
    }
  }

  private func checkLog(_ host: HostConfig) throws {
    try LogSettings(host).check()
  }
}
