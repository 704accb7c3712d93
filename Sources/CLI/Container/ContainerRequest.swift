internal import Faults
internal import Linux
internal import Protocol
internal import SystemPackage

/// What the flags of `run` and `create` become on the wire: Docker's ContainerConfig and HostConfig.
struct ContainerRequest {
  var config: GatewayAPI.ContainerConfig
  var hostConfig: GatewayAPI.HostConfig

  /// Reads the files that the flags name and puts everything together.
  init(_ flags: ContainerFlags, attach: AttachStreams) throws {
    config = try Self.config(flags, attach: attach)
    hostConfig = try Self.hostConfig(flags)
  }

  private static func config(_ flags: ContainerFlags, attach: AttachStreams) throws -> GatewayAPI.ContainerConfig {
    var config = GatewayAPI.ContainerConfig()
    config.image = flags.image
    config.hostname = flags.hostname
    config.domainname = flags.domainname
    config.user = flags.user
    config.attachStdin = attach.stdin
    config.attachStdout = attach.stdout
    config.attachStderr = attach.stderr
    config.tty = flags.terminal
    config.openStdin = flags.interactive
    config.stdinOnce = flags.interactive && attach.stdin
    var environment: [String] = []
    for file in flags.environmentFiles { environment += try KeyValues.file(text(of: file), path: file) }
    environment += flags.environment
    if !environment.isEmpty { config.env = environment }
    if !flags.command.isEmpty { config.cmd = flags.command }
    config.workingDir = flags.workingDirectory
    config.entrypoint = flags.entrypoint.map { [$0] }
    var labels: [String: String] = [:]
    for file in flags.labelFiles {
      for line in try KeyValues.file(text(of: file), path: file, lookup: nil) {
        let (key, value) = try KeyValues.pair(line)
        labels[key] = value
      }
    }
    for label in flags.labels {
      let (key, value) = try KeyValues.pair(label)
      labels[key] = value
    }
    if !labels.isEmpty { config.labels = labels }
    if !flags.anonymousVolumes.isEmpty {
      config.volumes = Dictionary(flags.anonymousVolumes.map { ($0, GatewayAPI.Empty()) }) { first, _ in first }
    }
    config.stopSignal = flags.stopSignal
    config.stopTimeout = flags.stopTimeout
    config.healthcheck = try flags.supervision.health()
    if !flags.exposedPorts.isEmpty {
      config.exposedPorts = Dictionary(flags.exposedPorts.map { ($0, GatewayAPI.Empty()) }) { first, _ in first }
    }
    return config
  }

  private static func hostConfig(_ flags: ContainerFlags) throws -> GatewayAPI.HostConfig {
    func some(_ list: [String]) -> [String]? { list.isEmpty ? nil : list }
    var host = GatewayAPI.HostConfig()
    host.autoRemove = flags.removesItself ? true : nil
    host.networkMode = flags.network
    host.restartPolicy = try flags.supervision.policy(removesItself: flags.removesItself)
    host.binds = some(flags.binds)
    host.volumesFrom = some(flags.volumesFrom)
    host.volumeDriver = flags.volumeDriver
    if !flags.mounts.isEmpty { host.mounts = try flags.mounts.map { try mount($0) } }
    if !flags.temporaryFileSystems.isEmpty {
      let pairs = flags.temporaryFileSystems.map { text in
        let parts = text.split(separator: ":", maxSplits: 1)
        return (String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
      }
      host.tmpfs = Dictionary(pairs) { _, last in last }
    }
    host.readonlyRootfs = flags.readOnlyRoot ? true : nil
    try setDevices(flags, &host)
    host.storageOpt = try pairs(flags.storageOptions)
    host.shmSize = flags.sharedMemory
    host.`init` = flags.initProcess
    host.groupAdd = some(flags.groups)
    host.pidMode = flags.pidMode
    host.ipcMode = flags.ipcMode
    host.utsMode = flags.utsMode
    host.usernsMode = flags.usernsMode
    host.cgroupnsMode = flags.cgroupNamespace.flatMap { $0.isEmpty ? nil : .init(rawValue: $0) }
    host.capAdd = some(flags.addedCapabilities)
    host.capDrop = some(flags.droppedCapabilities)
    host.privileged = flags.privileged ? true : nil
    try setSecurity(flags, &host)
    host.sysctls = try pairs(flags.sysctls)
    host.annotations = try pairs(flags.annotations)
    if flags.logDriver != nil || !flags.logOptions.isEmpty {
      host.logConfig = .init(type: flags.logDriver, config: try pairs(flags.logOptions))
    }
    host.runtime = flags.runtime
    if !flags.ulimits.isEmpty {
      host.ulimits = try flags.ulimits.map { text in
        let limit = try UlimitFlag(text)
        return .init(name: limit.name, soft: limit.soft, hard: limit.hard)
      }
    }
    setLimits(flags.limits, &host)
    return host
  }

  private static func setDevices(_ flags: ContainerFlags, _ host: inout GatewayAPI.HostConfig) throws {
    let nodes = flags.devices.filter { !DeviceFlag.isCDI($0) }
    if !nodes.isEmpty {
      host.devices = try nodes.map { text in
        let device = try DeviceFlag(text)
        return .init(
          pathOnHost: device.host, pathInContainer: device.container, cgroupPermissions: device.permissions)
      }
    }
    if !flags.deviceRules.isEmpty { host.deviceCgroupRules = flags.deviceRules }
    var requests = try flags.gpus.map { text in
      let gpu = try GPUFlag(text)
      return GatewayAPI.DeviceRequest(
        driver: gpu.driver, count: gpu.count, deviceIDs: gpu.devices.isEmpty ? nil : gpu.devices,
        capabilities: [gpu.capabilities], options: gpu.options.isEmpty ? nil : gpu.options)
    }
    let names = flags.devices.filter(DeviceFlag.isCDI)
    if !names.isEmpty { requests.append(.init(driver: "cdi", deviceIDs: names)) }
    if !requests.isEmpty { host.deviceRequests = requests }
  }

  private static func setLimits(_ limits: ResourceFlags, _ host: inout GatewayAPI.HostConfig) {
    host.memory = limits.memory
    host.memorySwap = limits.memorySwap
    host.memoryReservation = limits.memoryReservation
    host.memorySwappiness = limits.memorySwappiness
    host.oomKillDisable = limits.oomKillDisable ? true : nil
    host.nanoCpus = limits.nanoCPUs
    host.cpuShares = limits.cpuShares
    host.cpuPeriod = limits.cpuPeriod
    host.cpuQuota = limits.cpuQuota
    host.cpuRealtimePeriod = limits.realtimePeriod
    host.cpuRealtimeRuntime = limits.realtimeRuntime
    host.cpusetCpus = limits.cpusetCPUs
    host.cpusetMems = limits.cpusetMemories
    host.pidsLimit = limits.pids
    host.blkioWeight = limits.blockWeight
    if !limits.blockWeights.isEmpty {
      host.blkioWeightDevice = limits.blockWeights.map { .init(path: $0.path, weight: $0.value) }
    }
    func throttles(_ rates: [DeviceRate]) -> [GatewayAPI.ThrottleDevice]? {
      rates.isEmpty ? nil : rates.map { .init(path: $0.path, rate: $0.value) }
    }
    host.blkioDeviceReadBps = throttles(limits.readBytes)
    host.blkioDeviceWriteBps = throttles(limits.writeBytes)
    host.blkioDeviceReadIOps = throttles(limits.readOperations)
    host.blkioDeviceWriteIOps = throttles(limits.writeOperations)
    host.oomScoreAdj = limits.oomScoreAdjust
    host.cgroupParent = limits.cgroupParent
  }

  /// `--security-opt`: a seccomp profile is read here and sent whole; systempaths=unconfined clears the masked paths.
  private static func setSecurity(_ flags: ContainerFlags, _ host: inout GatewayAPI.HostConfig) throws {
    var options: [String] = []
    for option in flags.securityOptions {
      if option == "systempaths=unconfined" {
        host.maskedPaths = []
        host.readonlyPaths = []
      } else if let path = value(of: option, "seccomp"), !["unconfined", "builtin", "default"].contains(path),
        !path.hasPrefix("{")
      {
        options.append("seccomp=" + (try text(of: path)))
      } else {
        options.append(option)
      }
    }
    if !options.isEmpty { host.securityOpt = options }
  }

  private static func value(of option: String, _ name: String) -> String? {
    for separator in ["=", ":"] where option.hasPrefix(name + separator) {
      return String(option.dropFirst(name.count + 1))
    }
    return nil
  }

  private static func mount(_ text: String) throws -> GatewayAPI.Mount {
    let flag = try MountFlag(text, workingDirectory: WorkingFolder.path)
    var mount = GatewayAPI.Mount(
      target: flag.target, source: flag.source, type: .init(rawValue: flag.type),
      readOnly: flag.readOnly ? true : nil)
    let bind = GatewayAPI.BindOptions(
      propagation: flag.propagation, nonRecursive: flag.nonRecursive, createMountpoint: flag.createMountpoint,
      readOnlyNonRecursive: flag.readOnlyNonRecursive, readOnlyForceRecursive: flag.readOnlyForceRecursive)
    if bind != GatewayAPI.BindOptions() { mount.bindOptions = bind }
    let driver = GatewayAPI.VolumeDriverConfig(
      name: flag.driver, options: flag.driverOptions.isEmpty ? nil : flag.driverOptions)
    let volume = GatewayAPI.VolumeOptions(
      noCopy: flag.noCopy, labels: flag.labels.isEmpty ? nil : flag.labels,
      driverConfig: driver == .init() ? nil : driver, subpath: flag.volumeSubpath)
    if volume != GatewayAPI.VolumeOptions() { mount.volumeOptions = volume }
    if let subpath = flag.imageSubpath { mount.imageOptions = .init(subpath: subpath) }
    if flag.tmpfsSize != nil || flag.tmpfsMode != nil {
      mount.tmpfsOptions = .init(sizeBytes: flag.tmpfsSize, mode: flag.tmpfsMode)
    }
    return mount
  }

  private static func pairs(_ entries: [String]) throws -> [String: String]? {
    guard !entries.isEmpty else { return nil }
    return Dictionary(try entries.map { try KeyValues.pair($0) }) { _, last in last }
  }

  /// The text of a file that a flag names.
  private static func text(of path: String) throws -> String {
    do {
      return try Files.readText(path, limit: 4 << 20)
    } catch {
      throw CommandFailure("cannot read \(path): \(error)", code: ExitCode.engineFailed)
    }
  }
}
