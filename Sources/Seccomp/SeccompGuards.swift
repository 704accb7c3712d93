import CSeccomp
import Glibc
import OCI

/// Instructions that run before libseccomp's code and close what it cannot express.
///
/// 1. A call that is newer than the installed libseccomp has no rule there and would get the default action, EPERM. C
///    libraries fall back to older calls on ENOSYS only, so such calls get ENOSYS, unless the profile allows them by name.
/// 2. Where the profile looks at `socket`'s address family (Docker's denies AF_ALG, CVE-2026-31431, and AF_VSOCK):
///    - the kernel takes the family as 32 bits, libseccomp compares 64: a family with a bit above would pass "greater than
///      40". Upper bits set are denied on 64-bit x86.
///    - 32-bit x86 makes sockets also with `socketcall`, whose family lies in memory that no filter can read, and
///      libseccomp lets that through. Making a socket that way is denied; `socket` itself (Linux 4.3) works. A 32-bit
///      program with an older C library needs another profile or none.
struct SeccompGuards {
  private(set) var instructions: [BPFInstruction] = []

  init(section: RuntimeSpec.Seccomp, fallback: UInt32, newer: [(name: String, action: UInt32)]) {
    let architectures = section.architectures ?? []
    let native = seccomp_arch_native()
    func covers(_ name: String, _ token: UInt32) -> Bool {
      architectures.contains(name) || (architectures.isEmpty && native == token)
    }
    let denies = fallback & 0xffff_0000 == 0x0005_0000 || fallback == 0 || fallback == 0x8000_0000
    guard denies else { return }
    let rules = section.syscalls ?? []
    let looksAtFamily = rules.contains { $0.names.contains("socket") && $0.args?.contains { $0.index == 0 } == true }
    var blocks: [(architecture: UInt32, code: [BPFInstruction])] = []
    if covers("SCMP_ARCH_X86_64", Architecture.x8664) {
      let code = Self.x8664(fallback: fallback, newer: newer, looksAtFamily: looksAtFamily)
      blocks.append((Architecture.x8664, code))
    }
    if covers("SCMP_ARCH_X86", Architecture.x86) {
      blocks.append((Architecture.x86, Self.x86(fallback: fallback, newer: newer, looksAtFamily: looksAtFamily)))
    }
    if covers("SCMP_ARCH_AARCH64", 0xc000_00b7) {
      let code = [.load(0)] + Self.newerCalls(newer, tables: [SyscallNumbers.everywhere], architecture: 0xc000_00b7)
      blocks.append((0xc000_00b7, code))
    }
    guard !blocks.isEmpty else { return }
    // Each block is entered with the architecture loaded and falls through to the end of all blocks.
    for (index, block) in blocks.enumerated() {
      var rest = 0
      for later in blocks[(index + 1)...] { rest += later.code.count + 3 }
      instructions.append(.load(4))
      instructions.append(.whenEqual(block.architecture, skip: 0, else: UInt8(block.code.count + 1)))
      instructions += block.code
      instructions.append(.jump(UInt32(rest)))
    }
  }

  private static func x8664(
    fallback: UInt32, newer: [(name: String, action: UInt32)], looksAtFamily: Bool
  ) -> [BPFInstruction] {
    var code: [BPFInstruction] = [.load(0)]
    let body =
      newerCalls(
        newer, tables: [SyscallNumbers.everywhere, SyscallNumbers.x8664], architecture: Architecture.x8664)
      + (looksAtFamily
        ? [
          .whenEqual(SyscallNumbers.socketX8664, skip: 0, else: 3),
          .load(20),  // the upper half of the family
          .whenEqual(0, skip: 1, else: 0),
          .leave(fallback),
        ] : [])
    // x32 calls have the same architecture and bit 30 set: libseccomp decides about them.
    code.append(.whenAtLeast(SyscallNumbers.x32Bit, skip: UInt8(body.count), else: 0))
    return code + body
  }

  private static func x86(
    fallback: UInt32, newer: [(name: String, action: UInt32)], looksAtFamily: Bool
  ) -> [BPFInstruction] {
    var code: [BPFInstruction] = [.load(0)]
    code += newerCalls(newer, tables: [SyscallNumbers.everywhere], architecture: Architecture.x86)
    if looksAtFamily {
      code += [
        .whenEqual(SyscallNumbers.socketcallX86, skip: 0, else: 3),
        .load(16),  // which call: 1 is SYS_SOCKET of linux/net.h
        .whenEqual(1, skip: 0, else: 1),
        .leave(fallback),
      ]
    }
    return code
  }

  /// With the number loaded: the action of each newer call that a rule names, ENOSYS for all others.
  private static func newerCalls(
    _ newer: [(name: String, action: UInt32)], tables: [[String: UInt32]], architecture: UInt32
  ) -> [BPFInstruction] {
    var actions: [UInt32: UInt32] = [:]
    for (name, action) in newer {
      for table in tables {
        if let number = table[name], actions[number] == nil { actions[number] = action }
      }
    }
    var code: [BPFInstruction] = []
    for (number, action) in actions.sorted(by: { $0.key < $1.key }) {
      code += [.whenEqual(number, skip: 0, else: 1), .leave(action)]
    }
    code += [
      .whenGreater(newestKnown(architecture), skip: 0, else: 1),
      .leave(0x0005_0000 | 38),  // ENOSYS
    ]
    return code
  }

  /// The highest number that libseccomp has a name for.
  private static func newestKnown(_ architecture: UInt32) -> UInt32 {
    for number in stride(from: Int32(1_000), to: 0, by: -1) {
      if let name = seccomp_syscall_resolve_num_arch(architecture, number) {
        free(name)
        return UInt32(number)
      }
    }
    return 0
  }
}
