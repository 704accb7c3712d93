import JSONRPC
import Protocol

/// One sample of a container and the machine's processor time at the same moment.
struct StatsMoment: Sendable {
  var read: Timestamp
  var task: TaskSample
  var machine: ProcessorTime
}

/// A container's use in the shape of Docker's `GET /containers/ID/stats` (ContainerStatsResponse).
enum DockerStats {
  /// The answer for a running container. `earlier` fills `precpu_stats`; nil is a single sample.
  static func json(
    id: String, name: String, _ moment: StatsMoment, earlier: StatsMoment?, machineMemory: Int64
  ) -> JSONValue {
    let stats = moment.task.stats
    var result: [String: JSONValue] = [
      "id": .string(id), "name": .string("/" + name), "read": .string(moment.read.text()),
      "preread": .string(earlier?.read.text() ?? Timestamp.zeroText), "num_procs": 0, "storage_stats": [:],
      "pids_stats": .object(pids(stats.pids)), "blkio_stats": .object(blocks(stats)),
      "cpu_stats": .object(processor(stats, moment.machine)),
      "precpu_stats": earlier.map { .object(processor($0.task.stats, $0.machine)) } ?? noProcessor,
      "memory_stats": .object(memory(stats, machineMemory)),
    ]
    if let networks = moment.task.networks, !networks.isEmpty {
      result["networks"] = .object(
        Dictionary(networks.map { ($0.name, interface($0)) }, uniquingKeysWith: { first, _ in first }))
    }
    return .object(result)
  }

  /// The answer for a container that does not run.
  static func json(stopped id: String, name: String) -> JSONValue {
    .object([
      "id": .string(id), "name": .string("/" + name), "read": .string(Timestamp.zeroText),
      "preread": .string(Timestamp.zeroText), "num_procs": 0, "storage_stats": [:], "pids_stats": [:],
      "blkio_stats": .object(blockFields.reduce(into: [:]) { $0[$1] = .null }), "cpu_stats": noProcessor,
      "precpu_stats": noProcessor, "memory_stats": [:],
    ])
  }

  private static let noProcessor: JSONValue = [
    "cpu_usage": ["total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0],
    "throttling_data": ["periods": 0, "throttled_periods": 0, "throttled_time": 0],
  ]

  private static let blockFields = [
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
  ]

  private static func pids(_ pids: ProcessUsage) -> [String: JSONValue] {
    var result: [String: JSONValue] = ["current": .int(pids.current)]
    if let limit = pids.limit { result["limit"] = .int(limit) }
    return result
  }

  private static func processor(_ stats: TaskStats, _ machine: ProcessorTime) -> [String: JSONValue] {
    var usage: [String: JSONValue] = [
      "total_usage": .int(stats.cpu.usage), "usage_in_kernelmode": .int(stats.cpu.system),
      "usage_in_usermode": .int(stats.cpu.user),
    ]
    if let each = stats.cpu.perProcessor { usage["percpu_usage"] = .array(each.map(JSONValue.int)) }
    return [
      "cpu_usage": .object(usage), "system_cpu_usage": .int(machine.total),
      "online_cpus": .int(Int64(machine.processors)),
      "throttling_data": [
        "periods": .int(stats.cpu.periods), "throttled_periods": .int(stats.cpu.throttledPeriods),
        "throttled_time": .int(stats.cpu.throttledTime),
      ],
    ]
  }

  private static func memory(_ stats: TaskStats, _ machineMemory: Int64) -> [String: JSONValue] {
    var result: [String: JSONValue] = [
      "usage": .int(stats.memory.usage), "limit": .int(min(stats.memory.limit ?? .max, machineMemory)),
      "stats": .object(stats.memory.detail.mapValues(JSONValue.int)),
    ]
    // Docker tells both on v1 alone.
    if stats.cgroupVersion == 1 {
      if let most = stats.memory.maximumUsage { result["max_usage"] = .int(most) }
      if stats.memory.failures > 0 { result["failcnt"] = .int(stats.memory.failures) }
    }
    return result
  }

  private static func blocks(_ stats: TaskStats) -> [String: JSONValue] {
    var result: [String: JSONValue] = [:]
    for field in blockFields { result[field] = stats.cgroupVersion == 1 ? [] : .null }
    func entries(_ value: KeyPath<BlockIOUsage, Int64>) -> JSONValue {
      .array(
        stats.blockIO.map { entry in
          // v1's names are the kernel's own, capitalised there.
          let operation =
            stats.cgroupVersion == 1
            ? entry.operation.prefix(1).uppercased() + entry.operation.dropFirst() : entry.operation
          return [
            "major": .int(entry.major), "minor": .int(entry.minor), "op": .string(operation),
            "value": .int(entry[keyPath: value]),
          ]
        })
    }
    result["io_service_bytes_recursive"] = entries(\.bytes)
    if stats.cgroupVersion == 1 { result["io_serviced_recursive"] = entries(\.operations) }
    return result
  }

  private static func interface(_ use: NetworkUsage) -> JSONValue {
    [
      "rx_bytes": .int(use.receivedBytes), "rx_packets": .int(use.receivedPackets),
      "rx_errors": .int(use.receiveErrors), "rx_dropped": .int(use.receiveDropped), "tx_bytes": .int(use.sentBytes),
      "tx_packets": .int(use.sentPackets), "tx_errors": .int(use.sendErrors), "tx_dropped": .int(use.sendDropped),
    ]
  }
}
