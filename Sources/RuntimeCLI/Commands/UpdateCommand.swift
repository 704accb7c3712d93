internal import Cgroups
internal import Faults
internal import FoundationEssentials
internal import Linux
internal import OCI
internal import QuickJSON

/// `update`.
enum UpdateCommand {
  static let command = Command(
    usage: "ID", help: "change a container's limits",
    flags: [
      .value(
        "resources", "r", "a file (- for standard input) with the limits, as linux.resources; other flags are not read"),
      .value("blkio-weight", nil, "10 to 1000"),
      .value("cpu-period", nil, "microseconds"),
      .value("cpu-quota", nil, "microseconds a period, -1 for no limit"),
      .value("cpu-burst", nil, "microseconds that may be saved up"),
      .value("cpu-share", nil, "weight, 2 to 262144"),
      .value("cpu-idle", nil, "1: only when nothing else runs"),
      .value("cpu-rt-period", nil, "microseconds"),
      .value("cpu-rt-runtime", nil, "microseconds"),
      .value("cpuset-cpus", nil, "a list such as 0-3,7"),
      .value("cpuset-mems", nil, "a list of memory nodes"),
      .value("memory", nil, "bytes, or with b, k, m, g; -1 for no limit"),
      .value("memory-reservation", nil, "likewise"),
      .value("memory-swap", nil, "memory and swap together, likewise"),
      .value("kernel-memory", nil, "likewise (obsolete in kernels)"),
      .value("kernel-memory-tcp", nil, "likewise"),
      .value("pids-limit", nil, "processes, -1 for no limit"),
      .value("l3-cache-schema", nil, "refused: resctrl is not managed"),
      .value("mem-bw-schema", nil, "refused: resctrl is not managed"),
    ]
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let folder = try context.root.container(try arguments.id())
    let record = try folder.existing()
    guard record.isAlive else { throw Fault(.conflict, "container not running") }
    for name in ["l3-cache-schema", "mem-bw-schema"] where arguments[name] != nil {
      throw Fault(.unsupported, "--\(name) is not supported: set it with resctrl on the machine itself")
    }
    let resources = if let path = arguments["resources"] { try file(path) } else { try flags(arguments) }
    try Cgroup.open(path: record.cgroup).update(resources)
    return 0
  }

  /// Reads limits as JSON. Rules for devices are not among what can be updated, as with runc.
  private static func file(_ path: String) throws(Fault) -> RuntimeSpec.Resources {
    do {
      let bytes = try path == "-" ? Files.read(0, limit: 1 << 20) : Files.read(path)
      var resources: RuntimeSpec.Resources
      if let quick = try? QuickDecoder.decode(RuntimeSpec.Resources.self, from: bytes) {
        resources = quick
      } else {
        resources = try JSONDecoder().decode(RuntimeSpec.Resources.self, from: Data(bytes))
      }
      if resources.devices?.isEmpty == true { resources.devices = nil }
      return resources
    } catch {
      throw Fault(.invalidArgument, "the limits in \(path) cannot be read", cause: ["\(error)"])
    }
  }

  private static func flags(_ arguments: Arguments) throws(Fault) -> RuntimeSpec.Resources {
    func whole<Number: FixedWidthInteger>(_ name: String) throws(Fault) -> Number? {
      guard let text = arguments[name] else { return nil }
      guard let number = Number(text) else { throw Fault(.invalidArgument, "--\(name) is \"\(text)\": a whole number") }
      return number
    }
    func size(_ name: String) throws(Fault) -> Int64? {
      guard let text = arguments[name] else { return nil }
      guard let bytes = bytes(text) else {
        throw Fault(.invalidArgument, "--\(name) is \"\(text)\": bytes, or a number with b, k, m, g or t")
      }
      return bytes
    }
    var memory = RuntimeSpec.Memory()
    memory.limit = try size("memory")
    memory.reservation = try size("memory-reservation")
    memory.swap = try size("memory-swap")
    memory.kernel = try size("kernel-memory")
    memory.kernelTCP = try size("kernel-memory-tcp")
    var cpu = RuntimeSpec.CPU()
    cpu.shares = try whole("cpu-share")
    cpu.quota = try whole("cpu-quota")
    cpu.burst = try whole("cpu-burst")
    cpu.period = try whole("cpu-period")
    cpu.idle = try whole("cpu-idle")
    cpu.realtimePeriod = try whole("cpu-rt-period")
    cpu.realtimeRuntime = try whole("cpu-rt-runtime")
    cpu.cpus = arguments["cpuset-cpus"]
    cpu.mems = arguments["cpuset-mems"]
    var resources = RuntimeSpec.Resources()
    if memory != RuntimeSpec.Memory() { resources.memory = memory }
    if cpu != RuntimeSpec.CPU() { resources.cpu = cpu }
    if let limit: Int64 = try whole("pids-limit") { resources.pids = RuntimeSpec.Pids(limit: limit) }
    if let weight: UInt16 = try whole("blkio-weight") { resources.blockIO = RuntimeSpec.BlockIO(weight: weight) }
    guard resources != RuntimeSpec.Resources() else {
      throw Fault(.invalidArgument, "no limit was given: see gantry-runtime update --help")
    }
    return resources
  }

  /// `512`, `64m`, `1g`, `-1`.
  static func bytes(_ text: String) -> Int64? {
    let lower = text.lowercased()
    if lower == "-1" { return -1 }
    let digits = lower.prefix { $0.isNumber }
    let shifts: [Substring: Int64] = [
      "": 0, "b": 0, "k": 10, "kb": 10, "m": 20, "mb": 20, "g": 30, "gb": 30, "t": 40, "tb": 40,
    ]
    guard let number = Int64(digits), let shift = shifts[lower.dropFirst(digits.count)] else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : product
  }
}
