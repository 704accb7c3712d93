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
  /// Whether the kernel limits swap.
  var accountsSwap = true
  /// Whether profiles of AppArmor confine processes.
  var hasAppArmor = false
  /// The host's own name, for containers on the host's network.
  var hostname: String
  /// Changes with every start of the machine.
  var boot = ""

  static func read() -> Machine {
    Machine(
      capabilities: .ofMachine(), cpuCount: HostFacts.cpuCount(), cgroupVersion: HostFacts.cgroupVersion(),
      accountsSwap: HostFacts.accountsSwap(), hasAppArmor: HostFacts.hasAppArmor(), hostname: HostFacts.hostname(),
      boot: (try? SmallFile.read("/proc/sys/kernel/random/boot_id")) ?? "")
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
  /// The devices that vendors describe on this machine.
  var cdi = CDIRegistry()

  /// What belongs to one container.
  struct Input {
    var id: String
    /// Merged with the image's.
    var config: ContainerConfig
    var hostConfig: HostConfig
    var mounts: [PlannedMount]
    var files: ContainerFiles
    /// Its ids outside; nil when they are the host's.
    var userNamespace: UserNamespace? = nil
    /// The processes of other containers whose namespaces it joins.
    var shared = SharedNamespaces()
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
    let edits = try DeviceRequests(host.deviceRequests ?? []).edits(from: cdi)
    let capabilities = try machine.capabilities.resolve(
      add: host.capAdd ?? [], drop: host.capDrop ?? [], privileged: privileged)

    let user = config.user ?? ""
    var process = Self.process(
      arguments: ImageMerge.arguments(config),
      environment: ImageMerge.overlay(ImageMerge.environment(config, hostname: hostname), edits.environment),
      user: user.isEmpty ? input.userNamespace?.user ?? "" : user,
      workingDirectory: try ContainerPath.workingDirectory(config.workingDir ?? ""),
      terminal: config.tty ?? false, capabilities: capabilities)
    process.noNewPrivileges = security.noNewPrivileges ? true : nil
    process.apparmorProfile = security.appArmor
    process.rlimits = try Self.rlimits(host.ulimits ?? [])
    process.oomScoreAdj = (host.oomScoreAdj ?? 0) == 0 ? nil : Int(host.oomScoreAdj ?? 0)
    let groups = try Self.groups(host.groupAdd ?? [])
    let numbers = groups.numbers + edits.groups.filter { !groups.numbers.contains($0) }
    if !numbers.isEmpty { process.user.additionalGids = numbers }
    if !groups.names.isEmpty { process.user.additionalGroupNames = groups.names }
    if let size = host.consoleSize, size.count == 2, size[0] > 0, size[1] > 0 {
      process.consoleSize = .init(height: .init(clamping: size[0]), width: .init(clamping: size[1]))
    }

    let hostNetwork = host.networkMode == "host"
    var linux = RuntimeSpec.Linux()
    linux.namespaces = namespaces(input)
    if let namespace = input.userNamespace {
      linux.uidMappings = namespace.uids
      linux.gidMappings = namespace.gids
    }
    linux.resources = try resources(host, devices: devices.rules + edits.rules)
    let nodes = devices.nodes.filter { node in !edits.nodes.contains { $0.path == node.path } } + edits.nodes
    linux.devices = nodes.isEmpty ? nil : nodes
    if let parent = host.cgroupParent, !parent.isEmpty {
      linux.cgroupsPath = ContainerPath.clean(parent) + "/" + input.id
    }
    var sysctls = host.sysctls ?? [:]
    if !hostNetwork {
      // As Docker: an ordinary user of the container may open low ports and ping; the namespace is the container's own.
      if sysctls["net.ipv4.ip_unprivileged_port_start"] == nil { sysctls["net.ipv4.ip_unprivileged_port_start"] = "0" }
      let last = input.userNamespace.map { Int64($0.countFromZero($0.gids)) - 1 } ?? 2_147_483_647
      if sysctls["net.ipv4.ping_group_range"] == nil, last >= 0 { sysctls["net.ipv4.ping_group_range"] = "0 \(last)" }
    }
    linux.sysctl = sysctls.isEmpty ? nil : sysctls
    if !privileged, !security.systemPathsUnconfined {
      linux.maskedPaths = host.maskedPaths ?? Self.maskedPaths
      linux.readonlyPaths = host.readonlyPaths ?? Self.readonlyPaths
    }
    var mounts = try self.mounts(input, privileged: privileged)
    mounts.removeAll { mount in edits.mounts.contains { $0.destination == mount.destination } }
    return RuntimeSpec(
      process: process, root: .init(path: "rootfs", readonly: host.readonlyRootfs == true ? true : nil),
      hostname: host.utsMode == "host" ? nil : hostname,
      domainname: (config.domainname ?? "").isEmpty || host.utsMode == "host" ? nil : config.domainname,
      mounts: mounts + edits.mounts, hooks: edits.hooks, annotations: annotations.isEmpty ? nil : annotations,
      linux: linux)
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

  private func namespaces(_ input: Input) -> [RuntimeSpec.Namespace] {
    let host = input.hostConfig
    var namespaces = [RuntimeSpec.Namespace(type: "mount")]
    func add(_ type: String, _ mode: String?, of process: Int? = nil) {
      if mode == "host" { return }
      namespaces.append(.init(type: type, path: process.map { "/proc/\($0)/ns/\(type)" }))
    }
    add("pid", host.pidMode, of: input.shared.pid)
    add("network", host.networkMode)
    add("uts", host.utsMode)
    add("ipc", host.ipcMode, of: input.shared.ipc)
    add("cgroup", host.cgroupnsMode?.rawValue)
    if input.userNamespace != nil { add("user", nil) }
    return namespaces
  }

  // MARK: Mounts

  private func mounts(_ input: Input, privileged: Bool) throws -> [RuntimeSpec.Mount] {
    let host = input.hostConfig
    let namespace = input.userNamespace
    let own = Set(input.mounts.map(\.destination))
    let kernel = privileged ? "rw" : "ro"
    var mounts: [RuntimeSpec.Mount] = [
      .init(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
      .init(
        destination: "/dev", type: "tmpfs", source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      .init(
        destination: "/dev/pts", type: "devpts", source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
          // The group tty, where the container has it at all.
          + (namespace.map { $0.countFromZero($0.gids) > 5 } ?? true ? ["gid=5"] : [])),
      .init(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", kernel]),
      .init(
        destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", kernel]),
    ]
    mounts += sharedMemory(input)
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
          options: ["bind", host.readonlyRootfs == true ? "ro" : "rw", "rprivate"] + (namespace == nil ? [] : ["idmap"])
        ))
    }
    return mounts + asked.filter { $0.destination != "/etc" }
  }

  /// /dev/mqueue and /dev/shm, which belong to the ipc namespace.
  private func sharedMemory(_ input: Input) -> [RuntimeSpec.Mount] {
    let host = input.hostConfig
    let queues = RuntimeSpec.Mount(
      destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"])
    let bind = ["bind", "rprivate"]
    switch host.ipcMode ?? "" {
    case "host":
      return ["/dev/mqueue", "/dev/shm"].map { .init(destination: $0, type: "bind", source: $0, options: bind) }
    case "none": return [queues]
    case let mode where mode.hasPrefix("container:"):
      // As that container sees it: its own mount namespace says what /dev/shm is.
      let process = input.shared.ipc.map { ["namespace=/proc/\($0)/ns/mnt"] } ?? []
      return [queues, .init(destination: "/dev/shm", type: "bind", source: "/dev/shm", options: bind + process)]
    default:
      let size = (host.shmSize ?? 0) > 0 ? Int64(host.shmSize ?? 0) : Self.shmSize
      return [
        queues,
        .init(
          destination: "/dev/shm", type: "tmpfs", source: "shm",
          options: ["nosuid", "noexec", "nodev", "mode=1777", "size=\(size)"]),
      ]
    }
  }
}
