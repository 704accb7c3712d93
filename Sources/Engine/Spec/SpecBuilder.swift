import Faults
import Linux
import OCI
import Protocol

/// What of the machine decides a container's specification.
struct Machine: Sendable {
  var capabilities: Capabilities
  /// Processors that containers may use.
  var cpuCount: Int
  /// 1 (also hybrid) or 2.
  var cgroupVersion: Int
  /// The host's own name, for containers on the host's network.
  var hostname: String
  /// Changes with every start of the machine.
  var boot = ""

  static func read() -> Machine {
    Machine(
      capabilities: .ofMachine(), cpuCount: HostFacts.cpuCount(), cgroupVersion: HostFacts.cgroupVersion(),
      hostname: HostFacts.hostname(), boot: (try? SmallFile.read("/proc/sys/kernel/random/boot_id")) ?? "")
  }
}

/// Turns a container's configuration into the specification that the task service runs. Nothing here touches the disk
/// but the host's device list for `--privileged` and `--device`.
struct SpecBuilder {
  /// Unreadable in a container unless it is privileged (Docker's list; each leaks or changes something of the host).
  static let maskedPaths = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
    "/sys/devices/virtual/powercap",
  ]
  /// Unwritable in a container unless it is privileged.
  static let readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  /// Size of /dev/shm unless told otherwise, as Docker's.
  static let shmSize: Int64 = 64 << 20

  let machine: Machine

  /// What belongs to one container.
  struct Input {
    var id: String
    /// Merged with the image's.
    var config: ContainerConfig
    var hostConfig: HostConfig
    var mounts: [PlannedMount]
    var files: ContainerFiles
    /// What its volumes are, by name; one that is not here is a folder of the engine.
    var volumes: [String: VolumeBacking] = [:]
    /// How the images of its mounts are mounted, by destination; those that are not here are left out.
    var images: [String: MountSpec] = [:]
  }

  /// The host name that a container sees.
  static func hostname(id: String, config: ContainerConfig, hostConfig: HostConfig, machine: Machine) -> String {
    if let hostname = config.hostname, !hostname.isEmpty { return hostname }
    if hostConfig.networkMode == "host" || hostConfig.utsMode == "host" { return machine.hostname }
    return String(id.prefix(12))
  }

  /// The specification of a container that passed `RequestCheck`.
  func build(_ input: Input) throws -> RuntimeSpec {
    let config = input.config
    let host = input.hostConfig
    let privileged = host.privileged ?? false
    let security = try SecurityOptions(host)
    let hostname = Self.hostname(id: input.id, config: config, hostConfig: host, machine: machine)
    var annotations = host.annotations ?? [:]
    if host.`init` ?? false { annotations["gantry.init"] = "true" }
    if privileged { annotations["gantry.privileged"] = "true" }
    let devices = try self.devices(host, privileged: privileged)
    let capabilities = try machine.capabilities.resolve(
      add: host.capAdd ?? [], drop: host.capDrop ?? [], privileged: privileged)

    var process = Self.process(
      arguments: ImageMerge.arguments(config), environment: ImageMerge.environment(config, hostname: hostname),
      user: config.user ?? "", workingDirectory: try ContainerPath.workingDirectory(config.workingDir ?? ""),
      terminal: config.tty ?? false, capabilities: capabilities)
    process.noNewPrivileges = security.noNewPrivileges ? true : nil
    process.rlimits = try Self.rlimits(host.ulimits ?? [])
    process.oomScoreAdj = (host.oomScoreAdj ?? 0) == 0 ? nil : Int(host.oomScoreAdj ?? 0)
    let groups = try Self.groups(host.groupAdd ?? [])
    if !groups.numbers.isEmpty { process.user.additionalGids = groups.numbers }
    if !groups.names.isEmpty { process.user.additionalGroupNames = groups.names }
    if let size = host.consoleSize, size.count == 2, size[0] > 0, size[1] > 0 {
      process.consoleSize = .init(height: .init(clamping: size[0]), width: .init(clamping: size[1]))
    }

    let hostNetwork = host.networkMode == "host"
    var linux = RuntimeSpec.Linux()
    linux.namespaces = namespaces(host)
    linux.resources = try resources(host, devices: devices.rules)
    linux.devices = devices.nodes.isEmpty ? nil : devices.nodes
    if let parent = host.cgroupParent, !parent.isEmpty {
      linux.cgroupsPath = ContainerPath.clean(parent) + "/" + input.id
    }
    var sysctls = host.sysctls ?? [:]
    if !hostNetwork, host.usernsMode ?? "" == "" {
      // As Docker: an ordinary user of the container may open low ports and ping; the namespace is the container's own.
      if sysctls["net.ipv4.ip_unprivileged_port_start"] == nil { sysctls["net.ipv4.ip_unprivileged_port_start"] = "0" }
      if sysctls["net.ipv4.ping_group_range"] == nil { sysctls["net.ipv4.ping_group_range"] = "0 2147483647" }
    }
    linux.sysctl = sysctls.isEmpty ? nil : sysctls
    if !privileged, !security.systemPathsUnconfined {
      linux.maskedPaths = host.maskedPaths ?? Self.maskedPaths
      linux.readonlyPaths = host.readonlyPaths ?? Self.readonlyPaths
    }
    return RuntimeSpec(
      process: process, root: .init(path: "rootfs", readonly: host.readonlyRootfs == true ? true : nil),
      hostname: host.utsMode == "host" ? nil : hostname,
      domainname: (config.domainname ?? "").isEmpty || host.utsMode == "host" ? nil : config.domainname,
      mounts: mounts(input, privileged: privileged), annotations: annotations.isEmpty ? nil : annotations, linux: linux)
  }

  /// A process of a container: the first one, or an exec.
  static func process(
    arguments: [String], environment: [String], user: String, workingDirectory: String, terminal: Bool,
    capabilities: [String]
  ) -> RuntimeSpec.Process {
    RuntimeSpec.Process(
      terminal: terminal ? true : nil, user: .init(uid: 0, gid: 0, username: user), args: arguments, env: environment,
      cwd: workingDirectory,
      // Never inheritable or ambient: CVE-2022-24769, CVE-2022-29162.
      capabilities: .init(bounding: capabilities, effective: capabilities, permitted: capabilities))
  }

  private func namespaces(_ host: HostConfig) -> [RuntimeSpec.Namespace] {
    var types = ["mount"]
    if host.pidMode != "host" { types.append("pid") }
    if host.networkMode != "host" { types.append("network") }
    if host.utsMode != "host" { types.append("uts") }
    if host.ipcMode != "host" { types.append("ipc") }
    if host.cgroupnsMode?.rawValue != "host" { types.append("cgroup") }
    return types.map { RuntimeSpec.Namespace(type: $0) }
  }

  // MARK: Mounts

  private func mounts(_ input: Input, privileged: Bool) -> [RuntimeSpec.Mount] {
    let host = input.hostConfig
    let own = Set(input.mounts.map(\.destination))
    let kernel = privileged ? "rw" : "ro"
    var mounts: [RuntimeSpec.Mount] = [
      .init(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
      .init(
        destination: "/dev", type: "tmpfs", source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      .init(
        destination: "/dev/pts", type: "devpts", source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      .init(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", kernel]),
      .init(
        destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", kernel]),
    ]
    if host.ipcMode == "host" {
      mounts.append(
        .init(destination: "/dev/mqueue", type: "bind", source: "/dev/mqueue", options: ["bind", "rprivate"]))
      mounts.append(.init(destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["bind", "rprivate"]))
    } else {
      let size = (host.shmSize ?? 0) > 0 ? Int64(host.shmSize ?? 0) : Self.shmSize
      mounts.append(
        .init(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]))
      mounts.append(
        .init(
          destination: "/dev/shm", type: "tmpfs", source: "shm",
          options: ["nosuid", "noexec", "nodev", "mode=1777", "size=\(size)"]))
    }
    mounts.removeAll { own.contains($0.destination) }
    let asked = input.mounts.compactMap { MountSpecification(input, $0).mount }
    // What covers the whole folder comes before the engine's files in it.
    mounts += asked.filter { $0.destination == "/etc" }
    for (destination, source) in [
      ("/etc/resolv.conf", input.files.resolvConf), ("/etc/hostname", input.files.hostname),
      ("/etc/hosts", input.files.hosts),
    ] where !own.contains(destination) {
      mounts.append(
        .init(
          destination: destination, type: "bind", source: source,
          options: ["bind", host.readonlyRootfs == true ? "ro" : "rw", "rprivate"]))
    }
    return mounts + asked.filter { $0.destination != "/etc" }
  }

  // MARK: Limits

  private func resources(_ host: HostConfig, devices: [RuntimeSpec.DeviceRule]) throws -> RuntimeSpec.Resources {
    var resources = RuntimeSpec.Resources(devices: devices)
    var memory = RuntimeSpec.Memory()
    if let limit = host.memory, limit > 0 {
      memory.limit = Int64(limit)
      // As Docker: twice the memory unless told otherwise.
      let swap = Int64(host.memorySwap ?? 0)
      memory.swap = swap == 0 ? Int64(limit) * 2 : swap
    }
    if let reservation = host.memoryReservation, reservation > 0 { memory.reservation = Int64(reservation) }
    if let swappiness = host.memorySwappiness, swappiness >= 0 { memory.swappiness = UInt64(swappiness) }
    if host.oomKillDisable ?? false { memory.disableOOMKiller = true }
    if memory != RuntimeSpec.Memory() { resources.memory = memory }

    var cpu = RuntimeSpec.CPU()
    if let shares = host.cpuShares, shares > 0 { cpu.shares = UInt64(shares) }
    if let nano = host.nanoCpus, nano > 0 {
      cpu.period = 100_000
      cpu.quota = Int64(nano) / 10_000
    }
    if let period = host.cpuPeriod, period > 0 { cpu.period = UInt64(period) }
    if let quota = host.cpuQuota, quota != 0 { cpu.quota = Int64(quota) }
    if let cpus = host.cpusetCpus, !cpus.isEmpty { cpu.cpus = cpus }
    if let mems = host.cpusetMems, !mems.isEmpty { cpu.mems = mems }
    if cpu != RuntimeSpec.CPU() { resources.cpu = cpu }

    if let blockIO = try blockIO(host) { resources.blockIO = blockIO }
    if let limit = host.pidsLimit, limit > 0 { resources.pids = .init(limit: Int64(limit)) }
    return resources
  }

  private func blockIO(_ host: HostConfig) throws -> RuntimeSpec.BlockIO? {
    var result = RuntimeSpec.BlockIO()
    if let weight = host.blkioWeight, weight > 0 { result.weight = UInt16(clamping: weight) }
    func throttles(_ field: String, _ devices: [GatewayAPI.ThrottleDevice]?) throws -> [RuntimeSpec.ThrottleDevice]? {
      guard let devices, !devices.isEmpty else { return nil }
      return try devices.map { device in
        let number = try HostDevices.block(device.path ?? "", field: field)
        return .init(major: number.major, minor: number.minor, rate: UInt64(clamping: device.rate ?? 0))
      }
    }
    result.throttleReadBpsDevice = try throttles("BlkioDeviceReadBps", host.blkioDeviceReadBps)
    result.throttleWriteBpsDevice = try throttles("BlkioDeviceWriteBps", host.blkioDeviceWriteBps)
    result.throttleReadIOPSDevice = try throttles("BlkioDeviceReadIOps", host.blkioDeviceReadIOps)
    result.throttleWriteIOPSDevice = try throttles("BlkioDeviceWriteIOps", host.blkioDeviceWriteIOps)
    if let weights = host.blkioWeightDevice, !weights.isEmpty {
      result.weightDevice = try weights.map { device in
        let number = try HostDevices.block(device.path ?? "", field: "BlkioWeightDevice")
        return .init(major: number.major, minor: number.minor, weight: UInt16(clamping: device.weight ?? 0))
      }
    }
    return result == RuntimeSpec.BlockIO() ? nil : result
  }

  static let rlimitNames: Set<String> = [
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime",
    "sigpending", "stack", "as",
  ]

  private static func rlimits(_ limits: [GatewayAPI.Ulimit]) throws -> [RuntimeSpec.Rlimit]? {
    if limits.isEmpty { return nil }
    return try limits.map { limit in
      let name = (limit.name ?? "").lowercased()
      guard rlimitNames.contains(name) else {
        throw Fault(
          .invalidArgument,
          "Ulimits: \"\(limit.name ?? "")\" is no limit: known are \(rlimitNames.sorted().joined(separator: ", "))")
      }
      let soft = Int64(limit.soft ?? 0)
      let hard = limit.hard.map { Int64($0) } ?? soft
      guard hard == -1 || (soft != -1 && soft <= hard) else {
        throw Fault(.invalidArgument, "Ulimits: \(name): the soft limit \(soft) is above the hard limit \(hard)")
      }
      return RuntimeSpec.Rlimit(
        type: "RLIMIT_" + name.uppercased(), hard: UInt64(bitPattern: hard), soft: UInt64(bitPattern: soft))
    }
  }

  private static func groups(_ groups: [String]) throws -> (numbers: [UInt32], names: [String]) {
    var numbers: [UInt32] = []
    var names: [String] = []
    for group in groups {
      try UserText.check(group, field: "GroupAdd")
      guard !group.isEmpty, !group.contains(":"), !group.contains(",") else {
        throw Fault(.invalidArgument, "GroupAdd: \"\(group)\" is no group: give one name or number")
      }
      if let number = UInt32(group) { numbers.append(number) } else { names.append(group) }
    }
    return (numbers, names)
  }
}
