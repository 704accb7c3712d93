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
    try applyRealtimeV1(cpu, to: folder)
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

  /// A group has as much as its parent lets it have, and new groups have nothing: parents of ours that have nothing get
  /// what theirs have, from the top down.
  private static func applyRealtimeV1(_ cpu: RuntimeSpec.CPU, to folder: ControllerFolder) throws(Fault) {
    let period = cpu.realtimePeriod ?? 0
    let runtime = cpu.realtimeRuntime ?? 0
    if runtime > 0 { raiseRealtimeParents(of: folder.path) }
    let hint =
      "the runtime is at most the period, and together with that of the cgroups beside it at most what cpu.rt_runtime_us "
      + "of the cgroup above gives"
    func writePeriod() throws(Fault) {
      if period != 0 { try folder.write("cpu.rt_period_us", String(period), hint: hint) }
    }
    // As with quotas: the ratio may be too high for a moment in one of the two orders.
    if period != 0, folder.attempt("cpu.rt_period_us", String(period)) == EINVAL, runtime != 0 {
      try folder.write("cpu.rt_runtime_us", String(runtime), hint: hint)
      return try writePeriod()
    }
    try writePeriod()
    if runtime != 0 { try folder.write("cpu.rt_runtime_us", String(runtime), hint: hint) }
  }

  private static func raiseRealtimeParents(of path: String) {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    let parent = ControllerFolder(controller: .cpu, version: .v1, path: String(path[..<slash]))
    guard parent.read("cpu.rt_runtime_us") == "0" else { return }
    raiseRealtimeParents(of: parent.path)
    guard let above = parent.path.lastIndex(of: "/"), above != parent.path.startIndex else { return }
    let source = ControllerFolder(controller: .cpu, version: .v1, path: String(parent.path[..<above]))
    // What cannot be raised shows in the refusal of the container's own value.
    guard let period = source.read("cpu.rt_period_us"), let runtime = source.read("cpu.rt_runtime_us") else { return }
    _ = parent.attempt("cpu.rt_period_us", period)
    _ = parent.attempt("cpu.rt_runtime_us", runtime)
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
