import CSeccomp

/// The machine architectures that filters are written for.
enum Architecture {
  /// All that the runtime specification names (`defs-linux.json`, SeccompArch).
  static let names = [
    "X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",
    "PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64",
  ].map { "SCMP_ARCH_" + $0 }

  /// The OCI name of the native architecture of a machine in Go's names; nil when unknown.
  static func nativeName(go name: String) -> String? {
    switch name {
    case "amd64": "SCMP_ARCH_X86_64"
    case "386": "SCMP_ARCH_X86"
    case "arm64": "SCMP_ARCH_AARCH64"
    case "arm": "SCMP_ARCH_ARM"
    case "mips64": "SCMP_ARCH_MIPS64"
    case "mips64n32": "SCMP_ARCH_MIPS64N32"
    case "mips64le": "SCMP_ARCH_MIPSEL64"
    case "ppc64": "SCMP_ARCH_PPC64"
    case "ppc64le": "SCMP_ARCH_PPC64LE"
    case "riscv64": "SCMP_ARCH_RISCV64"
    case "s390x": "SCMP_ARCH_S390X"
    default: nil
    }
  }

  /// libseccomp's number for an OCI name; nil when the library does not know the architecture.
  static func token(_ name: String) -> UInt32? {
    // libseccomp's own names are OCI's without the prefix, in lower case.
    guard name.hasPrefix("SCMP_ARCH_") else { return nil }
    let token = seccomp_arch_resolve_name(name.dropFirst("SCMP_ARCH_".count).lowercased())
    return token == 0 ? nil : token
  }

  /// The kernel's numbers (AUDIT_ARCH_*) of the architectures that filters for `names` tell apart.
  static func kernelNumbers(_ names: [String]) -> [UInt32] {
    let tokens = names.isEmpty ? [seccomp_arch_native()] : names.compactMap(token)
    var numbers: [UInt32] = []
    for token in tokens {
      // x32 is a range of numbers on x86-64; libseccomp's token for it is not the kernel's.
      let number = token == 0x4000_003e ? x8664 : token
      if !numbers.contains(number) { numbers.append(number) }
    }
    return numbers
  }

  /// AUDIT_ARCH_X86_64 of linux/audit.h, which x32 shares.
  static let x86: UInt32 = 0x4000_0003
  static let x8664: UInt32 = 0xc000_003e
}
