package import Cgroups
public import Protocol

extension TaskStats {
  /// The cgroup's counters as the protocol has them; a counter beyond 2^63 reads as 2^63 - 1.
  package init(_ from: CgroupStatistics) {
    func whole(_ value: UInt64) -> Int64 { Int64(clamping: value) }
    self.init(
      cpu: CPUUsage(
        usage: whole(from.cpu.usage), user: whole(from.cpu.user), system: whole(from.cpu.system),
        perProcessor: from.cpu.perProcessor?.map(whole), periods: whole(from.cpu.periods),
        throttledPeriods: whole(from.cpu.throttledPeriods), throttledTime: whole(from.cpu.throttledTime)),
      memory: MemoryUsage(
        usage: whole(from.memory.usage), maximumUsage: from.memory.maximumUsage.map(whole),
        limit: from.memory.limit.map(whole), swapUsage: from.memory.swapUsage.map(whole),
        swapLimit: from.memory.swapLimit.map(whole), failures: whole(from.memory.failures),
        oomKills: whole(from.memory.oomKills), detail: from.memory.detail.mapValues(whole)),
      pids: ProcessUsage(current: whole(from.pids.current), limit: from.pids.limit.map(whole)),
      blockIO: from.blockIO.map {
        BlockIOUsage(
          major: whole($0.major), minor: whole($0.minor), operation: $0.operation, bytes: whole($0.bytes),
          operations: whole($0.operations))
      },
      hugePages: from.hugePages.map {
        HugePageUsage(pageSize: $0.pageSize, usage: whole($0.usage), failures: whole($0.failures))
      },
      cgroupVersion: Int64(from.cgroupVersion))
  }
}
