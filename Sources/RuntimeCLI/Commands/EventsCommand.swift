internal import Cgroups
internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux

/// `events`: one JSON object a line, in runc's shape.
enum EventsCommand {
  static let command = Command(
    usage: "ID", help: "print a container's counters and OOM kills as they come",
    flags: [
      .toggle("stats", nil, "print the counters once"),
      .value("interval", nil, "how often, such as 5s or 500ms (5s)"),
    ]
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let folder = try context.root.container(try arguments.id())
    let record = try folder.existing()
    let interval = try milliseconds(arguments["interval"] ?? "5s")
    guard let process = record.process() else { throw Fault(.conflict, "container not running") }
    let cgroup = try Cgroup.open(path: record.cgroup)
    if arguments.isOn("stats") {
      try print(Event(type: "stats", id: record.id, data: RuncStatistics(cgroup.statistics())))
      return 0
    }
    try follow(record.id, cgroup, process, every: interval)
    return 0
  }

  private static func follow(
    _ id: String, _ cgroup: Cgroup, _ process: borrowing PidFD, every interval: Int32
  ) throws(Fault) {
    guard let watch = try cgroup.watchOOM() else {
      throw Fault(.unsupported, "this machine offers no memory cgroup controller: use --stats")
    }
    let wanted = Int16(truncatingIfNeeded: watch.epollEvents)
    var kills = cgroup.oomKills
    while true {
      var set = [
        pollfd(fd: process.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: watch.descriptor, events: wanted, revents: 0),
      ]
      let count = poll(&set, 2, interval)
      if set[0].revents != 0 { return }
      if set[1].revents != 0 {
        let now = watch.kills()
        if now > kills { try print(Event(type: "oom", id: id, data: nil)) }
        kills = now
      } else if count == 0 {
        try print(Event(type: "stats", id: id, data: RuncStatistics(cgroup.statistics())))
      }
    }
  }

  private static func print(_ event: Event) throws(Fault) {
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
      Output.line(String(decoding: try encoder.encode(event), as: UTF8.self))
    } catch {
      throw Fault(.internal, "the counters cannot be written as JSON", cause: ["\(error)"])
    }
  }

  /// Go's durations, as far as people write them: `5s`, `500ms`, `1m`.
  static func milliseconds(_ text: String) throws(Fault) -> Int32 {
    let units: [(String, Double)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
    for (unit, factor) in units where text.hasSuffix(unit) {
      if let number = Double(text.dropLast(unit.count)), number > 0, number * factor < Double(Int32.max) {
        return max(1, Int32(number * factor))
      }
    }
    throw Fault(.invalidArgument, "--interval is \"\(text)\": give a time such as 5s or 500ms")
  }
}

private struct Event: Encodable {
  var type: String
  var id: String
  var data: RuncStatistics?
}

/// The counters under the names that runc's `events` gives them.
private struct RuncStatistics: Encodable {
  struct CPU: Encodable {
    struct Usage: Encodable {
      var total, kernel, user: UInt64
      var percpu: [UInt64]?
    }
    struct Throttling: Encodable {
      var periods, throttledPeriods, throttledTime: UInt64
    }
    var usage: Usage
    var throttling: Throttling
  }
  struct Memory: Encodable {
    struct Entry: Encodable {
      var limit, usage, max, failcnt: UInt64
    }
    var cache: UInt64
    var usage, swap: Entry
    var raw: [String: UInt64]
  }
  struct Pids: Encodable {
    var current, limit: UInt64
  }
  struct BlockEntry: Encodable {
    var major, minor, value: UInt64
    var op: String
  }
  struct BlockIO: Encodable {
    var ioServiceBytesRecursive, ioServicedRecursive: [BlockEntry]
  }
  struct HugePages: Encodable {
    var usage, failcnt: UInt64
  }

  var cpu: CPU
  var memory: Memory
  var pids: Pids
  var blkio: BlockIO
  var hugetlb: [String: HugePages]

  init(_ from: CgroupStatistics) {
    cpu = CPU(
      usage: .init(
        total: from.cpu.usage, kernel: from.cpu.system, user: from.cpu.user, percpu: from.cpu.perProcessor),
      throttling: .init(
        periods: from.cpu.periods, throttledPeriods: from.cpu.throttledPeriods, throttledTime: from.cpu.throttledTime))
    let swap = (from.memory.swapUsage ?? 0, from.memory.swapLimit ?? .max)
    memory = Memory(
      cache: from.memory.detail["total_cache"] ?? from.memory.detail["file"] ?? 0,
      usage: .init(
        limit: from.memory.limit ?? .max, usage: from.memory.usage, max: from.memory.maximumUsage ?? 0,
        failcnt: from.memory.failures),
      swap: .init(limit: swap.1, usage: swap.0, max: 0, failcnt: 0), raw: from.memory.detail)
    pids = Pids(current: from.pids.current, limit: from.pids.limit ?? 0)
    blkio = BlockIO(
      ioServiceBytesRecursive: from.blockIO.map {
        BlockEntry(major: $0.major, minor: $0.minor, value: $0.bytes, op: Self.title($0.operation))
      },
      ioServicedRecursive: from.blockIO.map {
        BlockEntry(major: $0.major, minor: $0.minor, value: $0.operations, op: Self.title($0.operation))
      })
    hugetlb = Dictionary(
      uniqueKeysWithValues: from.hugePages.map { ($0.pageSize, HugePages(usage: $0.usage, failcnt: $0.failures)) })
  }
  /// `Read` for `read`.
  private static func title(_ word: String) -> String { word.prefix(1).uppercased() + word.dropFirst() }
}
