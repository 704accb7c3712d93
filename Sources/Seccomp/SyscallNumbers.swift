/// Numbers of system calls that may be newer than the installed libseccomp (Debian 12's knows those up to Linux 5.17).
///
/// Source: include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls of Linux 6.18. From 424 on a number means the
/// same call on every architecture.
enum SyscallNumbers {
  static let everywhere: [String: UInt32] = [
    "futex_waitv": 449, "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453,
    "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456, "statmount": 457, "listmount": 458,
    "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463,
    "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468,
    "file_setattr": 469,
  ]

  /// x86-64 alone. `uretprobe` is the kernel's own trampoline: a process that is traced and may not call it is killed.
  static let x8664: [String: UInt32] = ["uretprobe": 335, "uprobe": 336]

  /// The numbers of `socket` on x86-64 and of `socketcall` on 32-bit x86.
  static let socketX8664: UInt32 = 41
  static let socketcallX86: UInt32 = 102
  /// Bit 30 marks a call of the x32 interface.
  static let x32Bit: UInt32 = 0x4000_0000
}
