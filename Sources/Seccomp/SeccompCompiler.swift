import CSeccomp
public import Faults
import Glibc
public import OCI

/// A compiled system-call filter: what `seccomp(SECCOMP_SET_MODE_FILTER)` loads.
public struct SeccompProgram: Sendable, Equatable {
  /// `struct sock_filter` entries, 8 bytes each.
  public var bytes: [UInt8]
  /// The SECCOMP_FILTER_FLAG_* bits that the section asks for (linux/seccomp.h).
  public var flags: UInt32

  /// A program that was compiled before.
  public init(bytes: [UInt8], flags: UInt32) {
    self.bytes = bytes
    self.flags = flags
  }

  /// How many instructions there are; the kernel takes 4,096 at most.
  public var count: Int { bytes.count / 8 }
}

/// Turns the `linux.seccomp` section of a runtime specification into BPF, through libseccomp.
///
/// What libseccomp cannot express is put before its code (`SeccompGuards`), and the whole is shortened (`FilterCompaction`). Names that neither libseccomp nor Gantry knows are
/// left out, as the runtime specification's users expect: profiles name calls of every architecture and of newer kernels.
public enum SeccompCompiler {
  /// The version of libseccomp that compiles, such as `2.5.4`.
  public static var libraryVersion: String {
    guard let version = seccomp_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.micro)"
  }

  /// The architectures that filters can be compiled for, by their names in specifications.
  public static var architectures: [String] {
    Architecture.names.filter { Architecture.token($0) != nil }
  }

  /// Compiles `section`; takes some milliseconds, so keep the result (`SeccompCache`).
  ///
  /// Fails with `invalidArgument` on an action, operator, flag or condition that does not exist, and with `unsupported` on
  /// an architecture that libseccomp does not know. A filter with `SCMP_ACT_NOTIFY` has the flag NEW_LISTENER: its loader
  /// gives the descriptor to a supervisor.
  public static func compile(_ section: RuntimeSpec.Seccomp) throws(Fault) -> SeccompProgram {
    let compact = FilterCompaction.compact(
      try instructions(section), architectures: Architecture.kernelNumbers(section.architectures ?? []))
    guard compact.count <= 4_096 else {
      throw Fault(
        .limitExceeded,
        "the seccomp profile becomes \(compact.count) instructions; the kernel takes 4,096: name fewer calls")
    }
    return SeccompProgram(
      bytes: compact.flatMap(\.bytes), flags: try flags(section.flags ?? [], asks: try asksSupervisor(section)))
  }

  /// The guards and libseccomp's code, before they are shortened.
  static func instructions(_ section: RuntimeSpec.Seccomp) throws(Fault) -> [BPFInstruction] {
    let fallback = try action(section.defaultAction, errnoRet: section.defaultErrnoRet)
    guard let context = seccomp_init(fallback) else {
      throw Fault(.internal, "libseccomp refuses the default action \(section.defaultAction)")
    }
    defer { seccomp_release(context) }
    try addArchitectures(section.architectures ?? [], to: context)
    var newer: [(name: String, action: UInt32)] = []
    for rule in section.syscalls ?? [] {
      try add(rule, fallback: fallback, newer: &newer, to: context)
    }
    let guards = SeccompGuards(section: section, fallback: fallback, newer: newer)
    return guards.instructions + BPFInstruction.decode(try export(context))
  }

  private static func addArchitectures(_ names: [String], to context: scmp_filter_ctx) throws(Fault) {
    guard !names.isEmpty else { return }
    let native = seccomp_arch_native()
    var hasNative = false
    for name in names {
      guard let token = Architecture.token(name) else {
        throw Fault(.unsupported, "the seccomp architecture \(name) is not known to the installed libseccomp")
      }
      if token == native {
        hasNative = true
        continue
      }
      let error = seccomp_arch_add(context, token)
      if error != 0 && error != -EEXIST {
        throw Fault(.unsupported, "libseccomp cannot add the architecture \(name): \(words(error))")
      }
    }
    if !hasNative { _ = seccomp_arch_remove(context, native) }
  }

  private static func add(
    _ rule: RuntimeSpec.SeccompRule, fallback: UInt32, newer: inout [(name: String, action: UInt32)],
    to context: scmp_filter_ctx
  ) throws(Fault) {
    let action = try action(rule.action, errnoRet: rule.errnoRet)
    // libseccomp refuses a rule that does what would happen without it.
    if action == fallback { return }
    let sets = try conditions(rule)
    for name in rule.names {
      let number = seccomp_syscall_resolve_name(name)
      if number == __NR_SCMP_ERROR {
        if rule.args?.isEmpty != false { newer.append((name, action)) }
        continue
      }
      for set in sets {
        let error = set.withUnsafeBufferPointer {
          seccomp_rule_add_array(context, action, number, UInt32($0.count), $0.baseAddress)
        }
        // The same rule twice is no error of the profile.
        if error != 0 && error != -EEXIST {
          throw Fault(.invalidArgument, "libseccomp refuses the rule for \(name): \(words(error))")
        }
      }
    }
  }

  /// The conditions of `rule` as libseccomp takes them: one set, or, when an argument is compared more than once, one set
  /// for each condition (any of them suffices). That is what Docker's users have always got for such rules.
  private static func conditions(_ rule: RuntimeSpec.SeccompRule) throws(Fault) -> [[scmp_arg_cmp]] {
    let args = rule.args ?? []
    var compared: [scmp_arg_cmp] = []
    for arg in args {
      guard arg.index < 6 else {
        throw Fault(.invalidArgument, "a seccomp condition is about argument \(arg.index); system calls have 0 to 5")
      }
      guard let operation = operators[arg.op] else {
        throw Fault(.invalidArgument, "\"\(arg.op)\" is no seccomp operator such as SCMP_CMP_EQ")
      }
      // For a masked comparison libseccomp takes the mask first, then the value to compare with, as OCI does.
      compared.append(
        scmp_arg_cmp(arg: arg.index, op: operation, datum_a: arg.value, datum_b: arg.valueTwo ?? 0))
    }
    if Set(args.map(\.index)).count < args.count { return compared.map { [$0] } }
    return [compared]
  }

  private static let operators: [String: scmp_compare] = [
    "SCMP_CMP_NE": SCMP_CMP_NE, "SCMP_CMP_LT": SCMP_CMP_LT, "SCMP_CMP_LE": SCMP_CMP_LE, "SCMP_CMP_EQ": SCMP_CMP_EQ,
    "SCMP_CMP_GE": SCMP_CMP_GE, "SCMP_CMP_GT": SCMP_CMP_GT, "SCMP_CMP_MASKED_EQ": SCMP_CMP_MASKED_EQ,
  ]

  /// libseccomp's number of an OCI action; the errno of `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE` is EPERM when not given.
  static func action(_ name: String, errnoRet: UInt32?) throws(Fault) -> UInt32 {
    let code = errnoRet ?? UInt32(EPERM)
    guard code <= 4_095 || errnoRet == nil else {
      throw Fault(.invalidArgument, "errnoRet \(code) of a seccomp rule is no errno; 4,095 is the largest")
    }
    switch name {
    case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": return 0
    case "SCMP_ACT_KILL_PROCESS": return 0x8000_0000
    case "SCMP_ACT_TRAP": return 0x0003_0000
    case "SCMP_ACT_ERRNO": return 0x0005_0000 | code
    case "SCMP_ACT_TRACE": return 0x7ff0_0000 | code
    case "SCMP_ACT_LOG": return 0x7ffc_0000
    case "SCMP_ACT_ALLOW": return 0x7fff_0000
    case "SCMP_ACT_NOTIFY": return 0x7fc0_0000
    default: throw Fault(.invalidArgument, "\"\(name)\" is no seccomp action such as SCMP_ACT_ALLOW")
    }
  }

  /// Whether a rule asks a supervisor. `write` cannot be supervised: the process tells of its supervisor's descriptor by it.
  private static func asksSupervisor(_ section: RuntimeSpec.Seccomp) throws(Fault) -> Bool {
    let asking = (section.syscalls ?? []).filter { $0.action == "SCMP_ACT_NOTIFY" }
    guard section.defaultAction != "SCMP_ACT_NOTIFY", !asking.contains(where: { $0.names.contains("write") }) else {
      throw Fault(
        .invalidArgument,
        "SCMP_ACT_NOTIFY can be neither the default action nor that of the call write: name other calls")
    }
    return !asking.isEmpty
  }

  /// The bits of the section's flags. TSYNC is left out: init has one thread when it loads the filter.
  private static func flags(_ names: [String], asks: Bool) throws(Fault) -> UInt32 {
    var bits: UInt32 = asks ? 8 : 0
    for name in names {
      switch name {
      case "SECCOMP_FILTER_FLAG_TSYNC": break
      case "SECCOMP_FILTER_FLAG_LOG": bits |= 2
      case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": bits |= 4
      case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" where asks: bits |= 32
      default: throw Fault(.unsupported, "the seccomp flag \(name) is not supported; leave it out")
      }
    }
    return bits
  }

  /// libseccomp 2.5 can only write its BPF to a descriptor. The largest filter, 32 KiB, fits a pipe (64 KiB).
  private static func export(_ context: scmp_filter_ctx) throws(Fault) -> [UInt8] {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw Fault(.limitExceeded, "cannot make a pipe: \(words(errno))") }
    defer { close(ends[0]) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    let error = seccomp_export_bpf(context, ends[1])
    close(ends[1])
    guard error == 0 else { throw Fault(.invalidArgument, "libseccomp cannot compile the profile: \(words(error))") }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    var length = 0
    while true {
      let got = bytes.withUnsafeMutableBytes { read(ends[0], $0.baseAddress! + length, $0.count - length) }
      if got < 0 && errno == EINTR { continue }
      if got <= 0 { break }
      length += got
    }
    return Array(bytes.prefix(length))
  }

  private static func words(_ error: Int32) -> String { String(cString: strerror(abs(error))) }
}
