import Faults
import Glibc
import OCI

extension RuntimeSpec.CPU {
  /// Whether a share, quota or the like is asked for; 0 leaves a value as it is.
  var setsTime: Bool {
    (shares ?? 0) != 0 || (quota ?? 0) != 0 || (period ?? 0) != 0 || burst != nil || idle != nil
      || (realtimeRuntime ?? 0) != 0 || (realtimePeriod ?? 0) != 0
  }
}

/// The cpu controller: shares, quota, period, burst, idle and real-time budget. Times are microseconds.
enum CPU {
  /// The period that the kernel starts with.
  private static let defaultPeriod: UInt64 = 100_000

  static func apply(_ cpu: RuntimeSpec.CPU, to folder: ControllerFolder) throws(Fault) {
    switch folder.version {
    case .v1: try applyV1(cpu, to: folder)
    case .v2: try applyV2(cpu, to: folder)
    }
  }

  private static func applyV1(_ cpu: RuntimeSpec.CPU, to folder: ControllerFolder) throws(Fault) {
    if let shares = cpu.shares, shares != 0 { try folder.write("cpu.shares", String(shares)) }
    if let period = cpu.realtimePeriod, period != 0 { try folder.write("cpu.rt_period_us", String(period)) }
    if let runtime = cpu.realtimeRuntime, runtime != 0 { try folder.write("cpu.rt_runtime_us", String(runtime)) }
    let period = cpu.period.flatMap { $0 == 0 ? nil : String($0) }
    let quota = cpu.quota.flatMap { $0 == 0 ? nil : String($0) }
    let hint = "the period is 1,000 to 1,000,000 µs, the quota at least 1,000 µs and no more than the parent's"
    // The ratio of quota to period may not pass the parent's at any moment, so either order can be refused (EINVAL).
    if let period, quota != nil, folder.attempt("cpu.cfs_period_us", period) == EINVAL {
      try folder.write("cpu.cfs_quota_us", quota ?? "-1", hint: hint)
      try folder.write("cpu.cfs_period_us", period, hint: hint)
    } else {
      if let period, quota == nil { try folder.write("cpu.cfs_period_us", period, hint: hint) }
      if let quota { try folder.write("cpu.cfs_quota_us", quota, hint: hint) }
    }
    if let burst = cpu.burst {
      try folder.write("cpu.cfs_burst_us", String(burst), hint: "the burst is at most the quota")
    }
    if let idle = cpu.idle { try folder.write("cpu.idle", String(idle)) }
  }

  private static func applyV2(_ cpu: RuntimeSpec.CPU, to folder: ControllerFolder) throws(Fault) {
    if (cpu.realtimePeriod ?? 0) != 0 || (cpu.realtimeRuntime ?? 0) != 0 {
      throw folder.unsupported("a real-time budget")
    }
    if let idle = cpu.idle { try folder.write("cpu.idle", String(idle)) }
    if let shares = cpu.shares, shares != 0, (cpu.idle ?? 0) == 0 {
      try folder.write("cpu.weight", String(weight(shares: shares)))
    }
    if (cpu.quota ?? 0) != 0 || (cpu.period ?? 0) != 0 {
      let current = (folder.read("cpu.max") ?? "").split(separator: " ").map(String.init)
      let quota: String =
        switch cpu.quota ?? 0 {
        case 0: current.first ?? "max"
        case ..<0: "max"
        case let quota: String(quota)
        }
      let period = (cpu.period ?? 0) != 0 ? String(cpu.period!) : current.dropFirst().first ?? String(defaultPeriod)
      try folder.write(
        "cpu.max", "\(quota) \(period)", hint: "the period is 1,000 to 1,000,000 µs, the quota at least 1,000 µs")
    }
    if let burst = cpu.burst {
      try folder.write("cpu.max.burst", String(burst), hint: "the burst is at most the quota")
    }
  }

  /// v1's shares (2 to 262,144, usual 1,024) on v2's scale (1 to 10,000, usual 100), linear as runtimes for OCI agree on.
  static func weight(shares: UInt64) -> UInt64 {
    let shares = min(max(shares, 2), 262_144)
    return 1 + (shares - 2) * 9_999 / 262_142
  }
}
