import Faults
import OCI
import Protocol

/// Refuses what a container cannot be, at create, with the field, its value and what is allowed. What this engine does not
/// do yet is refused by name: nothing is ignored.
struct RequestCheck {
  let machine: Machine

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
    _ = try SecurityOptions(host)
    _ = try machine.capabilities.resolve(
      add: host.capAdd ?? [], drop: host.capDrop ?? [], privileged: host.privileged ?? false)
    for key in (host.annotations ?? [:]).keys where key.hasPrefix("gantry.") {
      throw Fault(.invalidArgument, "Annotations: \"\(key)\": names that begin with gantry. belong to the engine")
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
    func one(_ field: String, _ value: String?, _ allowed: [String], later: [String] = []) throws {
      let value = value ?? ""
      if allowed.contains(value) { return }
      let known = allowed.filter { !$0.isEmpty }.joined(separator: ", ")
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
    try one("PidMode", host.pidMode, ["", "host"], later: ["container"])
    try one("IpcMode", host.ipcMode, ["", "private", "shareable", "host", "none"], later: ["container"])
    try one("UTSMode", host.utsMode, ["", "host"])
    try one("CgroupnsMode", host.cgroupnsMode?.rawValue, ["", "private", "host"])
    try one("UsernsMode", host.usernsMode, ["", "host"], later: ["private", "keep-id", "auto"])
    try one("Runtime", host.runtime, ["", "gantry", "runc", "io.containerd.runc.v2"])
    if host.privileged ?? false, host.usernsMode == "private" {
      throw Fault(.invalidArgument, "Privileged: privileged mode is incompatible with user namespaces")
    }
    if host.pidMode == "host", host.`init` ?? false {
      throw Fault(.invalidArgument, "Init: an init needs a pid namespace of its own: leave PidMode host out")
    }
    if let parent = host.cgroupParent, !parent.isEmpty {
      guard !parent.utf8.contains(0), !parent.split(separator: "/").contains(".."), !parent.hasSuffix(".slice") else {
        throw Fault(
          .invalidArgument, "CgroupParent: \"\(parent)\" is no path of a cgroup: give such as /mygroup, without ..")
      }
    }
  }

  /// What Docker's API knows and this engine does not do yet.
  private func refuseUnbuilt(_ config: ContainerConfig, _ host: HostConfig) throws {
    let asked: [(String, Bool)] = [
      ("StorageOpt", !(host.storageOpt ?? [:]).isEmpty), ("Links", !(host.links ?? []).isEmpty),
      ("DeviceRequests", !(host.deviceRequests ?? []).isEmpty), ("Cgroup", !(host.cgroup ?? "").isEmpty),
      ("CpuRealtimePeriod", (host.cpuRealtimePeriod ?? 0) != 0),
      ("CpuRealtimeRuntime", (host.cpuRealtimeRuntime ?? 0) != 0),
      ("KernelMemoryTCP", (host.kernelMemoryTCP ?? 0) > 0), ("CpuCount", (host.cpuCount ?? 0) != 0),
      ("CpuPercent", (host.cpuPercent ?? 0) != 0), ("IOMaximumIOps", (host.ioMaximumIOps ?? 0) != 0),
      ("IOMaximumBandwidth", (host.ioMaximumBandwidth ?? 0) != 0),
      ("Isolation", !["", "default"].contains(host.isolation ?? "")),
      ("MacAddress", !(config.macAddress ?? "").isEmpty),
    ]
    if let (field, _) = asked.first(where: \.1) {
      throw Fault(.unsupported, "\(field) is not built yet: leave it out")
    }
    if let swappiness = host.memorySwappiness, !(-1...100).contains(swappiness) {
      throw Fault(.invalidArgument, "MemorySwappiness: invalid value \(swappiness): from 0 to 100, or -1")
    }
    if let weight = host.blkioWeight, weight != 0, !(10...1000).contains(weight) {
      throw Fault(.invalidArgument, "BlkioWeight: Range of blkio weight is from 10 to 1000")
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

  private func checkResources(_ host: HostConfig) throws {
    let memory = host.memory ?? 0
    let swap = host.memorySwap ?? 0
    let reservation = host.memoryReservation ?? 0
    guard memory >= 0, reservation >= 0, swap >= -1 else {
      throw Fault(.invalidArgument, "Memory: limits are bytes and not below 0 (-1 for MemorySwap means no limit)")
    }
    if memory > 0, memory < 6 << 20 { throw Fault(.invalidArgument, "Minimum memory limit allowed is 6MB") }
    if memory > 0, swap > 0, swap < memory {
      throw Fault(
        .invalidArgument, "Minimum memoryswap limit should be larger than memory limit, see usage")
    }
    if memory == 0, swap > 0 {
      throw Fault(.invalidArgument, "You should always set the Memory limit when using Memoryswap limit, see usage")
    }
    if memory > 0, reservation > memory {
      throw Fault(.invalidArgument, "Minimum memory limit can not be less than memory reservation limit, see usage")
    }
    if reservation > 0, reservation < 6 << 20 {
      throw Fault(.invalidArgument, "Minimum memory reservation allowed is 6MB")
    }
    let nano = host.nanoCpus ?? 0
    if nano < 0 || nano > .init(machine.cpuCount) * 1_000_000_000 || (nano > 0 && nano < 10_000_000) {
      throw Fault(
        .invalidArgument,
        "range of CPUs is from 0.01 to \(machine.cpuCount).00, as there are only \(machine.cpuCount) CPUs available")
    }
    if nano > 0, (host.cpuPeriod ?? 0) > 0 {
      throw Fault(.invalidArgument, "Conflicting options: Nano CPUs and CPU Period cannot both be set")
    }
    if nano > 0, (host.cpuQuota ?? 0) > 0 {
      throw Fault(.invalidArgument, "Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    }
    let period = host.cpuPeriod ?? 0
    if period != 0, !(1000...1_000_000).contains(period) {
      throw Fault(
        .invalidArgument, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    }
    let quota = host.cpuQuota ?? 0
    if quota > 0, quota < 1000 {
      throw Fault(.invalidArgument, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    }
    let shares = host.cpuShares ?? 0
    if shares < 0 || shares == 1 || shares > 262_144 {
      throw Fault(.invalidArgument, "CpuShares: \(shares) is not from 2 to 262144")
    }
    for (field, value) in [("CpusetCpus", host.cpusetCpus ?? ""), ("CpusetMems", host.cpusetMems ?? "")] {
      guard value.isEmpty || Self.isList(value) else {
        throw Fault(.invalidArgument, "\(field): invalid value \(value): give a list such as 0-2,7")
      }
    }
    let score = host.oomScoreAdj ?? 0
    if !(-1000...1000).contains(score) {
      throw Fault(.invalidArgument, "Invalid value \(score), range for oom score adj is [-1000, 1000]")
    }
    if (host.shmSize ?? 0) < 0 { throw Fault(.invalidArgument, "ShmSize: SHM size can not be less than 0") }
    if (host.pidsLimit ?? 0) < -1 { throw Fault(.invalidArgument, "PidsLimit: give a number above 0, or -1 for none") }
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
    _ = try LogSettings(host)
  }

  /// Numbers and ranges: `0-3,7`.
  static func isList(_ text: String) -> Bool {
    text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { part in
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard (1...2).contains(ends.count), let first = UInt16(ends[0]), let last = UInt16(ends[ends.count - 1]) else {
        return false
      }
      return first <= last
    }
  }
}

/// How a container's output is kept.
struct LogSettings: Sendable, Equatable {
  /// Nothing is kept (`--log-driver none`).
  var disabled = false
  /// Bytes after which a new file is begun.
  var maxSize: Int64 = 10 << 20
  /// How many files there are at most.
  var maxFiles = 3

  init(_ host: HostConfig) throws {
    let driver = host.logConfig?.type ?? ""
    switch driver {
    case "none": disabled = true
    case "", "json-file", "local": break
    default:
      throw Fault(
        .unsupported, "LogConfig: the log driver \"\(driver)\" is not built yet: known are json-file and none")
    }
    for (name, value) in host.logConfig?.config ?? [:] {
      switch name {
      case "max-size":
        guard let size = LogSettings.bytes(value), size > 0 || value == "-1" else {
          throw Fault(
            .invalidArgument, "LogConfig: max-size \"\(value)\" is no size: give such as 10m, or -1 for no limit")
        }
        maxSize = value == "-1" ? 0 : size
      case "max-file":
        guard let count = Int(value), (1...1000).contains(count) else {
          throw Fault(.invalidArgument, "LogConfig: max-file \"\(value)\" is not a number from 1 to 1000")
        }
        maxFiles = count
      case "mode" where value == "non-blocking" || value == "blocking": break  // writing never blocks on a reader here
      default:
        throw Fault(
          .unsupported, "LogConfig: unknown log opt '\(name)' for json-file log driver: known are max-size and max-file"
        )
      }
    }
  }

  /// `10m` in bytes; units of 1024.
  static func bytes(_ text: String) -> Int64? {
    var digits = text.lowercased()
    if digits == "-1" { return -1 }
    if digits.hasSuffix("b") { digits.removeLast() }
    if digits.hasSuffix("i") { digits.removeLast() }
    var scale: Double = 1
    if let unit = digits.last, let power = ["k", "m", "g", "t"].firstIndex(of: unit) {
      digits.removeLast()
      for _ in 0...power { scale *= 1024 }
    }
    guard let value = Double(digits), value >= 0, value * scale < 9e18 else { return nil }
    return Int64(value * scale)
  }
}
