import Faults
import OCI
import Protocol

/// What a container may use: cgroup limits, resource limits of its processes, further groups.
extension SpecBuilder {
  /// The limits of `host`; `devices` are left as they are when nil (an update).
  func resources(_ host: HostConfig, devices: [RuntimeSpec.DeviceRule]?) throws -> RuntimeSpec.Resources {
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
    if let period = host.cpuRealtimePeriod, period > 0 { cpu.realtimePeriod = UInt64(period) }
    if let runtime = host.cpuRealtimeRuntime, runtime > 0 { cpu.realtimeRuntime = Int64(runtime) }
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
    "rttime", "sigpending", "stack", "as",
  ]

  static func rlimits(_ limits: [GatewayAPI.Ulimit]) throws -> [RuntimeSpec.Rlimit]? {
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

  static func groups(_ groups: [String]) throws -> (numbers: [UInt32], names: [String]) {
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
