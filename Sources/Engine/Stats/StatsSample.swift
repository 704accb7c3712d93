import Protocol

extension TaskStats {
  /// Memory less the file cache that can be dropped at once, as Docker's client counts it on both versions of cgroups.
  var workingMemory: Int64 {
    let cache = memory.detail["total_inactive_file"] ?? memory.detail["inactive_file"] ?? 0
    return cache < memory.usage ? memory.usage - cache : memory.usage
  }

  /// Bytes and requests of one direction (`read` or `write`) over all disks.
  func blocks(_ operation: String) -> (bytes: Int64, operations: Int64) {
    blockIO.reduce((0, 0)) { $1.operation == operation ? ($0.0 + $1.bytes, $0.1 + $1.operations) : $0 }
  }
}

extension GatewayAPI.StatsSample {
  /// A running container's sample. `earlier`: its processor use in the round before.
  init(_ task: TaskSample, name: String, use: ProcessorUse?, earlier: ProcessorUse?, machineMemory: Int64) {
    let networks = task.networks ?? []
    self.init(
      id: task.id, name: name, running: true,
      cpuPercent: earlier.flatMap { use?.percent(since: $0) }, cpuNanoseconds: task.stats.cpu.usage,
      memoryBytes: task.stats.workingMemory, memoryLimitBytes: min(task.stats.memory.limit ?? .max, machineMemory),
      networkReceivedBytes: networks.reduce(0) { $0 + $1.receivedBytes },
      networkSentBytes: networks.reduce(0) { $0 + $1.sentBytes }, blockReadBytes: task.stats.blocks("read").bytes,
      blockWrittenBytes: task.stats.blocks("write").bytes, processes: task.stats.pids.current)
  }

  /// The sample of a container that does not run.
  init(stopped id: String, name: String) {
    self.init(
      id: id, name: name, running: false, cpuNanoseconds: 0, memoryBytes: 0, memoryLimitBytes: 0,
      networkReceivedBytes: 0, networkSentBytes: 0, blockReadBytes: 0, blockWrittenBytes: 0, processes: 0)
  }
}

extension GatewayAPI.ContainerCounters {
  /// A running container's counters.
  init(_ task: TaskSample, _ container: Container, startedAt: Timestamp) {
    let (stats, networks) = (task.stats, task.networks ?? [])
    let (read, written) = (stats.blocks("read"), stats.blocks("write"))
    func sum(_ counter: KeyPath<NetworkUsage, Int64>) -> Int64 { networks.reduce(0) { $0 + $1[keyPath: counter] } }
    self.init(
      id: task.id, name: container.name, image: container.definition.image, startedAt: startedAt.text(),
      cpuNanoseconds: stats.cpu.usage, cpuUserNanoseconds: stats.cpu.user, cpuSystemNanoseconds: stats.cpu.system,
      cpuThrottledPeriods: stats.cpu.throttledPeriods, cpuThrottledNanoseconds: stats.cpu.throttledTime,
      memoryBytes: stats.memory.usage, memoryWorkingBytes: stats.workingMemory, memoryLimitBytes: stats.memory.limit,
      memorySwapBytes: stats.memory.swapUsage, memoryLimitFailures: stats.memory.failures,
      oomKills: stats.memory.oomKills, processes: stats.pids.current, processesLimit: stats.pids.limit,
      blockReadBytes: read.bytes, blockWrittenBytes: written.bytes, blockReads: read.operations,
      blockWrites: written.operations, networkReceivedBytes: sum(\.receivedBytes),
      networkReceivedPackets: sum(\.receivedPackets), networkReceiveErrors: sum(\.receiveErrors),
      networkReceiveDropped: sum(\.receiveDropped), networkSentBytes: sum(\.sentBytes),
      networkSentPackets: sum(\.sentPackets), networkSendErrors: sum(\.sendErrors),
      networkSendDropped: sum(\.sendDropped))
  }
}
