/// What a container has used, in the kernel's own numbers. Absent values are those that this kernel does not count.
public struct CgroupStatistics: Sendable, Codable, Equatable {
  public var cpu = CPUTime()
  public var memory = MemoryUse()
  public var pids = ProcessCount()
  public var blockIO: [BlockIOUse] = []
  public var hugePages: [HugePageUse] = []
  /// 1 or 2: whose names `memory.detail` uses.
  public var cgroupVersion = 1

  /// Processor time in nanoseconds.
  public struct CPUTime: Sendable, Codable, Equatable {
    public var usage: UInt64 = 0
    public var user: UInt64 = 0
    public var system: UInt64 = 0
    /// By processor; v1 only.
    public var perProcessor: [UInt64]?
    /// Enforcement periods that passed under a quota, and those in which the quota ran out.
    public var periods: UInt64 = 0
    public var throttledPeriods: UInt64 = 0
    /// Time spent waiting for the next period.
    public var throttledTime: UInt64 = 0
  }

  /// Memory in bytes.
  public struct MemoryUse: Sendable, Codable, Equatable {
    /// With page cache.
    public var usage: UInt64 = 0
    public var maximumUsage: UInt64?
    /// Absent when unlimited.
    public var limit: UInt64?
    /// Swap alone.
    public var swapUsage: UInt64?
    /// Swap alone; absent when unlimited or not counted.
    public var swapLimit: UInt64?
    /// How often the limit was hit.
    public var failures: UInt64 = 0
    public var oomKills: UInt64 = 0
    /// The lines of memory.stat.
    public var detail: [String: UInt64] = [:]
    /// What cannot be given back at once: usage less inactive file cache, as `docker stats` shows it.
    public var working: UInt64 {
      let cache = detail["total_inactive_file"] ?? detail["inactive_file"] ?? 0
      return usage > cache ? usage - cache : usage
    }
  }

  /// Processes and threads.
  public struct ProcessCount: Sendable, Codable, Equatable {
    public var current: UInt64 = 0
    /// Absent when unlimited.
    public var limit: UInt64?
  }

  /// One device and one direction.
  public struct BlockIOUse: Sendable, Codable, Equatable {
    public var major: UInt64
    public var minor: UInt64
    /// `read`, `write`, `discard`, `sync`, `async` or `total`.
    public var operation: String
    public var bytes: UInt64
    public var operations: UInt64
  }

  /// Huge pages of one size, in bytes.
  public struct HugePageUse: Sendable, Codable, Equatable {
    /// Such as `2MB`.
    public var pageSize: String
    public var usage: UInt64
    public var failures: UInt64
  }

  public init() {}
}

extension Cgroup {
  /// Reads all counters now: some 15 small files on v1, 8 on v2. Counters that cannot be read stay zero or absent.
  public func statistics() -> CgroupStatistics {
    var result = CgroupStatistics()
    result.cgroupVersion = version.rawValue
    readCPU(into: &result.cpu)
    if let folder = folders[.memory] { Self.readMemory(folder, into: &result.memory) }
    if let folder = folders[.pids] {
      result.pids.current = folder.number("pids.current") ?? 0
      result.pids.limit = folder.number("pids.max")
    }
    if let folder = folders[.blkio] { result.blockIO = Self.readBlockIO(folder) }
    if let folder = folders[.hugetlb] { result.hugePages = Self.readHugePages(folder) }
    return result
  }

  private func readCPU(into cpu: inout CgroupStatistics.CPUTime) {
    // On v2 cpu.stat has the times in every cgroup, also where the controller is not enabled.
    if let folder = (folders[.cpuacct] ?? folders[.cpu])?.version == .v2 ? folders[.cpu] : nil {
      let table = folder.table("cpu.stat")
      cpu.usage = (table["usage_usec"] ?? 0) * 1_000
      cpu.user = (table["user_usec"] ?? 0) * 1_000
      cpu.system = (table["system_usec"] ?? 0) * 1_000
      cpu.periods = table["nr_periods"] ?? 0
      cpu.throttledPeriods = table["nr_throttled"] ?? 0
      cpu.throttledTime = (table["throttled_usec"] ?? 0) * 1_000
      return
    }
    if let folder = folders[.cpuacct] {
      cpu.usage = folder.number("cpuacct.usage") ?? 0
      cpu.user = folder.number("cpuacct.usage_user") ?? 0
      cpu.system = folder.number("cpuacct.usage_sys") ?? 0
      cpu.perProcessor = folder.read("cpuacct.usage_percpu")?.split(separator: " ").compactMap { UInt64($0) }
    }
    if let folder = folders[.cpu] {
      let table = folder.table("cpu.stat")
      cpu.periods = table["nr_periods"] ?? 0
      cpu.throttledPeriods = table["nr_throttled"] ?? 0
      cpu.throttledTime = table["throttled_time"] ?? 0
    }
  }

  private static func readMemory(_ folder: ControllerFolder, into memory: inout CgroupStatistics.MemoryUse) {
    memory.detail = folder.table("memory.stat")
    memory.oomKills = oomKills(in: folder)
    switch folder.version {
    case .v1:
      // "Unlimited" reads as the largest number of whole pages.
      func limit(_ file: String) -> UInt64? { folder.number(file).flatMap { $0 >= 1 << 62 ? nil : $0 } }
      memory.usage = folder.number("memory.usage_in_bytes") ?? 0
      memory.maximumUsage = folder.number("memory.max_usage_in_bytes")
      memory.limit = limit("memory.limit_in_bytes")
      memory.failures = folder.number("memory.failcnt") ?? 0
      if let both = folder.number("memory.memsw.usage_in_bytes") { memory.swapUsage = both - min(both, memory.usage) }
      if let both = limit("memory.memsw.limit_in_bytes"), let own = memory.limit {
        memory.swapLimit = both - min(both, own)
      }
    case .v2:
      memory.usage = folder.number("memory.current") ?? 0
      memory.maximumUsage = folder.number("memory.peak")
      memory.limit = folder.number("memory.max")
      memory.failures = folder.table("memory.events")["max"] ?? 0
      memory.swapUsage = folder.number("memory.swap.current")
      memory.swapLimit = folder.number("memory.swap.max")
    }
  }

  private static func readBlockIO(_ folder: ControllerFolder) -> [CgroupStatistics.BlockIOUse] {
    var result: [CgroupStatistics.BlockIOUse] = []
    switch folder.version {
    case .v1:
      // BFQ keeps its own account and leaves the throttler's empty where it is the scheduler.
      for prefix in ["blkio.throttle.io", "blkio.bfq.io"] {
        let bytes = table(folder.read("\(prefix)_service_bytes_recursive"))
        let operations = table(folder.read("\(prefix)_serviced_recursive"))
        for (key, value) in bytes {
          result.append(
            .init(
              major: key.major, minor: key.minor, operation: key.operation, bytes: value,
              operations: operations[key] ?? 0))
        }
        if !result.isEmpty { break }
      }
      result.sort { ($0.major, $0.minor, $0.operation) < ($1.major, $1.minor, $1.operation) }
    case .v2:
      for line in (folder.read("io.stat") ?? "").split(separator: "\n") {
        let fields = line.split(separator: " ")
        let numbers = fields[0].split(separator: ":").compactMap { UInt64($0) }
        guard numbers.count == 2 else { continue }
        var values: [Substring: UInt64] = [:]
        for field in fields.dropFirst() {
          let pair = field.split(separator: "=")
          if pair.count == 2 { values[pair[0]] = UInt64(pair[1]) }
        }
        for (operation, bytes, count) in [
          ("read", "rbytes", "rios"), ("write", "wbytes", "wios"), ("discard", "dbytes", "dios"),
        ] {
          result.append(
            .init(
              major: numbers[0], minor: numbers[1], operation: operation, bytes: values[Substring(bytes)] ?? 0,
              operations: values[Substring(count)] ?? 0))
        }
      }
    }
    return result
  }

  private struct BlockKey: Hashable {
    var major: UInt64
    var minor: UInt64
    var operation: String
  }

  /// The lines `8:0 Read 4096` of v1's blkio files.
  private static func table(_ text: String?) -> [BlockKey: UInt64] {
    var result: [BlockKey: UInt64] = [:]
    for line in (text ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 3, let value = UInt64(fields[2]) else { continue }
      let numbers = fields[0].split(separator: ":").compactMap { UInt64($0) }
      guard numbers.count == 2 else { continue }
      result[BlockKey(major: numbers[0], minor: numbers[1], operation: fields[1].lowercased())] = value
    }
    return result
  }

  private static func readHugePages(_ folder: ControllerFolder) -> [CgroupStatistics.HugePageUse] {
    // Page sizes are the names of the kernel's own folders: hugepages-2048kB is 2MB.
    KernelFile.folders(in: "/sys/kernel/mm/hugepages").compactMap { name in
      guard let kilobytes = UInt64(name.dropFirst("hugepages-".count).dropLast(2)) else { return nil }
      let size =
        kilobytes >= 1 << 20 ? "\(kilobytes >> 20)GB" : kilobytes >= 1 << 10 ? "\(kilobytes >> 10)MB" : "\(kilobytes)KB"
      let files =
        folder.version == .v1
        ? (usage: "hugetlb.\(size).usage_in_bytes", failures: "hugetlb.\(size).failcnt")
        : (usage: "hugetlb.\(size).current", failures: "hugetlb.\(size).events")
      guard let usage = folder.number(files.usage) else { return nil }
      let failures = folder.version == .v1 ? folder.number(files.failures) : folder.table(files.failures)["max"]
      return .init(pageSize: size, usage: usage, failures: failures ?? 0)
    }
  }
}
