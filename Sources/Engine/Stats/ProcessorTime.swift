import Glibc

/// Time of all processors of the machine together, busy or idle: what a container's share is measured against.
struct ProcessorTime: Sendable, Equatable {
  /// Nanoseconds since boot, over all processors.
  var total: Int64
  /// Processors that are on.
  var processors: Int

  /// The time now; nil where /proc cannot be read.
  static func now() -> ProcessorTime? {
    (try? SmallFile.read("/proc/stat")).flatMap {
      ProcessorTime($0, ticksPerSecond: Int64(sysconf(Int32(_SC_CLK_TCK))))
    }
  }

  /// Reads proc_stat(5): user, nice, system, idle, iowait, irq and softirq of the line `cpu`, as Docker adds them up.
  init?(_ text: String, ticksPerSecond: Int64) {
    var ticks: Int64?
    processors = 0
    for line in text.split(separator: "\n") {
      guard line.hasPrefix("cpu") else { break }
      if line.hasPrefix("cpu ") {
        ticks = line.split(separator: " ").dropFirst().prefix(7).reduce(0) { $0 + (Int64($1) ?? 0) }
      } else {
        processors += 1
      }
    }
    guard let ticks, processors > 0, ticksPerSecond > 0 else { return nil }
    total = ticks * (1_000_000_000 / ticksPerSecond)
  }
}

/// What a share of processor time is computed from.
struct ProcessorUse: Sendable, Equatable {
  /// Nanoseconds that the container has used.
  var used: Int64
  /// The machine's at the same moment.
  var machine: ProcessorTime

  /// Percent of one processor since `earlier`: 200 is two of them. A container that was started again since begins at 0.
  func percent(since earlier: ProcessorUse) -> Double {
    let own = Double(used - earlier.used)
    let all = Double(machine.total - earlier.machine.total)
    guard own > 0, all > 0 else { return 0 }
    return own / all * Double(machine.processors) * 100
  }
}
