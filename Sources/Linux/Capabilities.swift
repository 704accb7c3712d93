internal import CLinux
internal import Glibc

/// A set of capabilities (capabilities(7)) as one bit each.
public struct CapabilitySet: OptionSet, Sendable, Hashable {
  /// Bit N is capability number N.
  public let rawValue: UInt64
  /// Takes the bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The set of `names`, each with or without `CAP_`, in any case. Nil when one is not a capability.
  public init?(names: some Sequence<String>) {
    var bits: UInt64 = 0
    for name in names {
      guard let number = Capabilities.number(of: name) else { return nil }
      bits |= 1 << UInt64(number)
    }
    self.init(rawValue: bits)
  }

  /// The names, `CAP_CHOWN` first.
  public var names: [String] {
    Capabilities.names.indices.filter { rawValue & (1 << UInt64($0)) != 0 }.map { Capabilities.names[$0] }
  }
}

/// The kernel's capabilities, and those that this process may hand on.
public enum Capabilities {
  /// All names that exist up to Linux 6.18, by number.
  public static let names = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
  ]

  /// The number of `name`, with or without `CAP_`, in any case; nil when there is none of that name.
  public static func number(of name: String) -> Int? {
    let upper = name.uppercased()
    return names.firstIndex(of: upper.hasPrefix("CAP_") ? upper : "CAP_" + upper)
  }

  /// What this process's bounding set holds: nothing outside it can be given to a container on this machine.
  public static var bounding: CapabilitySet {
    var bits: UInt64 = 0
    for number in names.indices where cl_prctl(Int32(CL_PR_CAPBSET_READ), UInt(number), 0, 0, 0) == 1 {
      bits |= 1 << UInt64(number)
    }
    return CapabilitySet(rawValue: bits)
  }

  /// This thread's effective set.
  public static var effective: CapabilitySet { sets.effective }

  /// This thread's permitted set.
  public static var permitted: CapabilitySet { sets.permitted }

  private static var sets: (effective: CapabilitySet, permitted: CapabilitySet) {
    var effective: UInt64 = 0
    var permitted: UInt64 = 0
    var inheritable: UInt64 = 0
    _ = cl_capget(&effective, &permitted, &inheritable)
    return (CapabilitySet(rawValue: effective), CapabilitySet(rawValue: permitted))
  }
}
