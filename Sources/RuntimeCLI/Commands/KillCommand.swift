internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux

/// `kill`.
enum KillCommand {
  static let command = Command(
    usage: "ID [SIGNAL]", help: "send a signal (TERM) to a container's first process",
    flags: [.toggle("all", "a", "to every process of the container")]
  ) { arguments, context throws(Fault) in
    try arguments.atMost(2)
    let folder = try context.root.container(try arguments.id())
    let signal = try Signals.number(arguments.operands.dropFirst().first ?? "TERM")
    let record = try folder.existing()
    let cgroup = try? Cgroup.open(path: record.cgroup)
    if arguments.isOn("all") {
      try cgroup?.signalAll(signal)
      return 0
    }
    guard let process = record.process() else { throw Fault(.conflict, "container not running") }
    do {
      try process.signal(signal)
    } catch {
      throw Fault(.conflict, "container not running", cause: ["\(error)"])
    }
    // A frozen process dies only when it thaws.
    if signal == SIGKILL, let cgroup, cgroup.isFrozen { try cgroup.thaw() }
    return 0
  }
}

/// Signals by number or name.
enum Signals {
  private static let names: [String: Int32] = [
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17, "CONT": 18,
    "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27,
    "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
  ]

  /// `9`, `KILL` and `SIGKILL`, in any case; 0 asks whether it could be sent.
  static func number(_ text: String) throws(Fault) -> Int32 {
    if let number = Int32(text), (0...64).contains(number) { return number }
    let upper = text.uppercased()
    let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
    if let number = names[name] { return number }
    for (base, sign) in [("RTMIN+", Int32(1)), ("RTMAX-", -1)] where name.hasPrefix(base) {
      if let offset = Int32(name.dropFirst(6)), (0...30).contains(offset) {
        return sign > 0 ? 34 + offset : 64 - offset
      }
    }
    throw Fault(.invalidArgument, "unknown signal \"\(text)\"")
  }
}
