import Faults
import Protocol

extension RequestCheck {
  /// The limits, alone and beside each other, with Docker's words.
  func checkResources(_ host: HostConfig) throws {
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
    try checkRealtime(host)
    try checkBlockIO(host)
    if let swappiness = host.memorySwappiness, !(-1...100).contains(swappiness) {
      throw Fault(
        .invalidArgument, "MemorySwappiness: invalid value: \(swappiness), valid memory swappiness range is 0-100")
    }
    try StorageOptions(host).check()
  }

  private func checkRealtime(_ host: HostConfig) throws {
    let period = host.cpuRealtimePeriod ?? 0
    let runtime = host.cpuRealtimeRuntime ?? 0
    guard period >= 0, runtime >= 0 else {
      throw Fault(.invalidArgument, "CpuRealtimePeriod, CpuRealtimeRuntime: they are microseconds and not below 0")
    }
    if period > 0, runtime > period {
      throw Fault(.invalidArgument, "cpu real-time runtime cannot be higher than cpu real-time period")
    }
    if period > 0 || runtime > 0, machine.cgroupVersion == 2 {
      throw Fault(
        .unsupported,
        "CpuRealtimePeriod, CpuRealtimeRuntime: cgroup v2 has no real-time budgets (cpu controller): leave them out, or "
          + "boot with cgroup v1")
    }
  }

  private func checkBlockIO(_ host: HostConfig) throws {
    if let weight = host.blkioWeight, weight != 0, !(10...1000).contains(weight) {
      throw Fault(.invalidArgument, "BlkioWeight: \(weight): range of blkio weight is from 10 to 1000")
    }
    for device in host.blkioWeightDevice ?? [] {
      guard let weight = device.weight, weight == 0 || (10...1000).contains(weight) else {
        throw Fault(
          .invalidArgument, "BlkioWeightDevice: \(device.path ?? ""): range of blkio weight is from 10 to 1000")
      }
    }
    for (field, devices) in [
      ("BlkioDeviceReadBps", host.blkioDeviceReadBps), ("BlkioDeviceWriteBps", host.blkioDeviceWriteBps),
      ("BlkioDeviceReadIOps", host.blkioDeviceReadIOps), ("BlkioDeviceWriteIOps", host.blkioDeviceWriteIOps),
    ] {
      for device in devices ?? [] where (device.rate ?? 0) < 0 {
        throw Fault(.invalidArgument, "\(field): \(device.path ?? ""): a rate is not below 0")
      }
    }
  }

  /// What the caller should know about limits that are allowed.
  static func warnings(_ host: HostConfig) -> [String] {
    var warnings: [String] = []
    if host.oomKillDisable ?? false, (host.memory ?? 0) == 0 {
      warnings.append(
        "Disabling the OOM killer on containers without setting a '-m/--memory' limit may be dangerous.")
    }
    return warnings
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

/// The `--storage-opt` of a container.
struct StorageOptions: Sendable, Equatable {
  private let options: [String: String]

  init(_ host: HostConfig) { options = host.storageOpt ?? [:] }

  /// The most bytes that the container may write to its root; nil for no limit.
  var size: Int64? { options["size"].flatMap { LogSettings.bytes($0) } }

  func check() throws {
    for (name, value) in options.sorted(by: { $0.key < $1.key }) {
      guard name == "size" else {
        throw Fault(.invalidArgument, "StorageOpt: unknown option \(name): known is size")
      }
      guard let bytes = size, bytes >= 1 << 20 else {
        throw Fault(
          .invalidArgument, "StorageOpt: size=\(value) is no size of 1 MiB or more: give such as size=10g")
      }
    }
  }
}
