import Faults
import OCI

extension RuntimeSpec.Memory {
  /// Whether any limit is asked for; 0 and -1 without a limit in place count as asking, because updates use them.
  var setsAnything: Bool {
    limit != nil || reservation != nil || swap != nil || swappiness != nil || disableOOMKiller == true
      || kernelTCP != nil
  }
}

/// The memory controller: limit, swap, reservation, swappiness, the OOM killer's switch.
///
/// Units are bytes; -1 is unlimited, 0 leaves a value as it is. `swap` is memory plus swap together, as on v1.
/// `kernel` is read by no current kernel and has no effect, as the runtime specification allows.
enum Memory {
  private static let usedHint = "the container uses more than that now; choose a higher limit or free memory first"

  static func apply(_ memory: RuntimeSpec.Memory, to folder: ControllerFolder) throws(Fault) {
    switch folder.version {
    case .v1: try applyV1(memory, to: folder)
    case .v2: try applyV2(memory, to: folder)
    }
  }

  // MARK: v1

  private static func applyV1(_ memory: RuntimeSpec.Memory, to folder: ControllerFolder) throws(Fault) {
    if memory.checkBeforeUpdate == true { try check(memory, usage: folder.number("memory.usage_in_bytes"), folder) }
    try applyLimitsV1(limit: nonzero(memory.limit), swap: nonzero(memory.swap), to: folder)
    if let reservation = nonzero(memory.reservation) {
      try folder.write("memory.soft_limit_in_bytes", String(reservation))
    }
    if let tcp = nonzero(memory.kernelTCP) { try folder.write("memory.kmem.tcp.limit_in_bytes", String(tcp)) }
    if let swappiness = memory.swappiness, swappiness != UInt64.max {
      guard swappiness <= 100 else {
        throw Fault(.invalidArgument, "memory: swappiness \(swappiness) is not between 0 and 100")
      }
      try folder.write("memory.swappiness", String(swappiness))
    }
    if let disable = memory.disableOOMKiller,
      disable || folder.read("memory.oom_control")?.contains("disable 1") == true
    {
      try folder.write("memory.oom_control", disable ? "1" : "0")
    }
  }

  /// The kernel demands limit ≤ memory+swap at all times, so the order of the two writes depends on the direction.
  private static func applyLimitsV1(limit: Int64?, swap: Int64?, to folder: ControllerFolder) throws(Fault) {
    var swap = swap
    // An unlimited memory limit makes any old memory+swap limit refuse it: lift that too unless a new one is given.
    if limit == -1, swap == nil, folder.has("memory.memsw.limit_in_bytes") { swap = -1 }
    let hasSwapFile = swap != nil && folder.has("memory.memsw.limit_in_bytes")
    if swap != nil, swap != -1, !hasSwapFile {
      throw Fault(
        .unsupported,
        "memory: this kernel keeps no account of swap; leave the swap limit out or boot with swapaccount=1")
    }
    func writeLimit() throws(Fault) {
      if let limit { try folder.write("memory.limit_in_bytes", String(limit), hint: usedHint) }
    }
    func writeSwap() throws(Fault) {
      if let swap, hasSwapFile {
        try folder.write(
          "memory.memsw.limit_in_bytes", String(swap),
          hint: "memory plus swap must be at least the memory limit and what the container uses now")
      }
    }
    let current = folder.number("memory.memsw.limit_in_bytes") ?? .max
    if let swap, swap == -1 || UInt64(max(swap, 0)) > current {
      try writeSwap()
      try writeLimit()
    } else {
      try writeLimit()
      try writeSwap()
    }
  }

  // MARK: v2

  private static func applyV2(_ memory: RuntimeSpec.Memory, to folder: ControllerFolder) throws(Fault) {
    if memory.disableOOMKiller == true { throw folder.unsupported("disabling the OOM killer") }
    if let swappiness = memory.swappiness, swappiness != UInt64.max { throw folder.unsupported("swappiness") }
    if memory.checkBeforeUpdate == true { try check(memory, usage: folder.number("memory.current"), folder) }
    let limit = nonzero(memory.limit)
    if let swap = try swapV2(swap: nonzero(memory.swap), limit: limit) {
      // Without swap accounting the file is missing; a limit that changes nothing is then no failure.
      if folder.has("memory.swap.max") || (swap != "max" && swap != "0") { try folder.write("memory.swap.max", swap) }
    }
    if let limit { try folder.write("memory.max", text(limit), hint: usedHint) }
    if let reservation = nonzero(memory.reservation) { try folder.write("memory.low", text(reservation)) }
  }

  /// The text for memory.swap.max, which counts swap alone; nil leaves it as it is.
  private static func swapV2(swap: Int64?, limit: Int64?) throws(Fault) -> String? {
    guard let swap else { return nil }
    if swap == -1 { return "max" }
    guard let limit, limit != -1 else {
      throw Fault(
        .invalidArgument, "memory: a swap limit of \(swap) bytes needs a memory limit beside it, because it counts both"
      )
    }
    guard swap >= limit else {
      throw Fault(
        .invalidArgument, "memory: the swap limit \(swap) counts memory too and must be at least the limit \(limit)")
    }
    return String(swap - limit)
  }

  // MARK: both

  private static func check(_ memory: RuntimeSpec.Memory, usage: UInt64?, _ folder: ControllerFolder) throws(Fault) {
    guard let limit = memory.limit, limit > 0, let usage, usage > UInt64(limit) else { return }
    throw Fault(.conflict, "memory: the limit of \(limit) bytes is below the \(usage) bytes in use in \(folder.path)")
  }

  private static func nonzero(_ value: Int64?) -> Int64? { value == 0 ? nil : value }

  private static func text(_ value: Int64) -> String { value < 0 ? "max" : String(value) }
}
