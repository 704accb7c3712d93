/// The limits that `run`, `create` and `update` can set.
struct ResourceFlags: Sendable, Equatable {
  /// Bytes.
  var memory: Int64?
  /// Bytes of memory and swap together; -1 is without a limit.
  var memorySwap: Int64?
  var memoryReservation: Int64?
  /// 0 to 100; -1 is the machine's own.
  var memorySwappiness: Int64?
  var oomKillDisable = false
  /// Billionths of a processor.
  var nanoCPUs: Int64?
  var cpuShares: Int64?
  /// Microseconds.
  var cpuPeriod: Int64?
  var cpuQuota: Int64?
  var realtimePeriod: Int64?
  var realtimeRuntime: Int64?
  var cpusetCPUs: String?
  var cpusetMemories: String?
  /// Processes; -1 is without a limit.
  var pids: Int64?
  /// 10 to 1,000.
  var blockWeight: Int64?
  var blockWeights: [DeviceRate] = []
  /// Bytes or operations a second of a device.
  var readBytes: [DeviceRate] = []
  var writeBytes: [DeviceRate] = []
  var readOperations: [DeviceRate] = []
  var writeOperations: [DeviceRate] = []
  var oomScoreAdjust: Int64?
  var cgroupParent: String?
}

extension ResourceFlags {
  /// What can also be changed later.
  static let changeable: [Flag<ResourceFlags>] = [
    .value("blkio-weight", nil, "uint16", "Block IO (relative weight), between 10 and 1000, or 0 to disable") {
      $0.blockWeight = try Quantity.integer($1, in: 0...65535)
    },
    .value("memory", "m", "bytes", "Memory limit") { $0.memory = try Quantity.bytes($1) },
    .value("memory-swap", nil, "bytes", "Memory and swap together: '-1' is without a limit") {
      $0.memorySwap = try Quantity.bytesOrUnlimited($1)
    },
    .value("memory-reservation", nil, "bytes", "Memory soft limit") { $0.memoryReservation = try Quantity.bytes($1) },
    .value("cpus", nil, "decimal", "Number of CPUs") { $0.nanoCPUs = try Quantity.nanoCPUs($1) },
    .value("cpu-shares", "c", "int", "CPU shares (relative weight)") { $0.cpuShares = try Quantity.integer($1) },
    .value("cpu-period", nil, "int", "CPU CFS period, in microseconds") { $0.cpuPeriod = try Quantity.integer($1) },
    .value("cpu-quota", nil, "int", "CPU CFS quota, in microseconds") { $0.cpuQuota = try Quantity.integer($1) },
    .value("cpu-rt-period", nil, "int", "CPU real-time period, in microseconds (cgroup v1)") {
      $0.realtimePeriod = try Quantity.integer($1)
    },
    .value("cpu-rt-runtime", nil, "int", "CPU real-time runtime, in microseconds (cgroup v1)") {
      $0.realtimeRuntime = try Quantity.integer($1)
    },
    .value("cpuset-cpus", nil, "string", "CPUs in which to allow execution (0-3, 0,1)") { $0.cpusetCPUs = $1 },
    .value("cpuset-mems", nil, "string", "MEMs in which to allow execution (0-3, 0,1)") { $0.cpusetMemories = $1 },
    .value("pids-limit", nil, "int", "Container pids limit (-1 for unlimited)") { $0.pids = try Quantity.integer($1) },
    .value("kernel-memory", nil, "bytes", "(refused: no kernel supports it any more; use --memory)") { _, value in
      throw CommandFailure(
        "--kernel-memory \(value): kernel memory limits are deprecated and no longer supported by the kernel: use --memory",
        code: ExitCode.engineFailed)
    },
  ]

  /// What is decided when a container is made.
  static let fixed: [Flag<ResourceFlags>] = [
    .value("memory-swappiness", nil, "int", "How readily memory is swapped out, 0 to 100 (cgroup v1)") { flags, value in
      let amount = try Quantity.integer(value)
      guard (-1...100).contains(amount) else {
        throw CommandFailure("valid memory swappiness range is 0-100")
      }
      flags.memorySwappiness = amount
    },
    .toggle("oom-kill-disable", nil, "Do not kill its processes when memory is used up (cgroup v1)") {
      $0.oomKillDisable = $1
    },
    .value("blkio-weight-device", nil, "list", "Block IO weight of a device: PATH:WEIGHT") {
      $0.blockWeights.append(try DeviceRate(weight: $1))
    },
    .value("device-read-bps", nil, "list", "Limit bytes a second read from a device: PATH:NUMBER[UNIT]") {
      $0.readBytes.append(try DeviceRate(bytes: $1))
    },
    .value("device-write-bps", nil, "list", "Limit bytes a second written to a device: PATH:NUMBER[UNIT]") {
      $0.writeBytes.append(try DeviceRate(bytes: $1))
    },
    .value("device-read-iops", nil, "list", "Limit reads a second from a device: PATH:NUMBER") {
      $0.readOperations.append(try DeviceRate(operations: $1))
    },
    .value("device-write-iops", nil, "list", "Limit writes a second to a device: PATH:NUMBER") {
      $0.writeOperations.append(try DeviceRate(operations: $1))
    },
    .value("oom-score-adj", nil, "int", "The host's OOM preference (-1000 to 1000)") {
      $0.oomScoreAdjust = try Quantity.integer($1, in: -1000...1000)
    },
    .value("cgroup-parent", nil, "string", "Parent cgroup for the container") { $0.cgroupParent = $1 },
  ]
}

/// A device's path with a number: `/dev/sda:1mb` of `--device-read-bps` and its kin.
struct DeviceRate: Sendable, Equatable {
  var path: String
  var value: Int64

  /// `PATH:WEIGHT`, from 10 to 1,000; 0 takes the weight away.
  init(weight text: String) throws {
    let (path, number) = try Self.parts(text)
    guard let weight = Int64(number), weight == 0 || (10...1000).contains(weight) else {
      throw CommandFailure("invalid weight for device: \(text) (it is a number from 10 to 1000)")
    }
    self.path = path
    value = weight
  }

  /// `PATH:NUMBER[UNIT]`, units of 1,024 as everywhere.
  init(bytes text: String) throws {
    let (path, number) = try Self.parts(text)
    guard let rate = try? Quantity.bytes(number) else {
      throw CommandFailure(
        "invalid rate for device: \(text). The correct format is <device-path>:<number>[<unit>]. Number must be a "
          + "positive integer. Unit is optional and can be kb, mb, or gb")
    }
    self.path = path
    value = rate
  }

  /// `PATH:NUMBER`.
  init(operations text: String) throws {
    let (path, number) = try Self.parts(text)
    guard let rate = Int64(number), rate >= 0 else {
      throw CommandFailure(
        "invalid rate for device: \(text). The correct format is <device-path>:<number>. Number must be a positive integer"
      )
    }
    self.path = path
    value = rate
  }

  private static func parts(_ text: String) throws -> (String, String) {
    guard let colon = text.lastIndex(of: ":"), colon != text.startIndex else {
      throw CommandFailure("bad format: \(text) (it is PATH:NUMBER)")
    }
    let path = String(text[..<colon])
    guard path.hasPrefix("/dev/") else { throw CommandFailure("bad format for device path: \(text)") }
    return (path, String(text[text.index(after: colon)...]))
  }
}
