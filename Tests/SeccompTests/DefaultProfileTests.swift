import CLinux
import Faults
import Glibc
import OCI
import Testing

@testable import Seccomp

/// What the standard profile decides, by running its compiled filter.
struct DefaultProfileTests {
  /// Docker's default capabilities.
  static let ordinary: Set<String> = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
  ]
  static let allow: UInt32 = 0x7fff_0000
  static let refuse: UInt32 = 0x0005_0001
  static let missing: UInt32 = 0x0005_0026

  static func filter(
    _ capabilities: Set<String>, kernel: (major: Int, minor: Int) = (6, 18)
  ) throws -> SeccompProgram {
    try SeccompCompiler.compile(
      DockerProfile.standard().section(capabilities: capabilities, kernel: kernel, architecture: "amd64"))
  }

  static let program = Result { try filter(ordinary) }

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var call: FilteredCall
    var verdict: UInt32
    var testDescription: String { name }
    init(
      _ name: String, _ number: UInt32, with arguments: [UInt64] = [], on architecture: UInt32 = FilteredCall.x8664,
      _ verdict: UInt32
    ) {
      self.name = name
      call = FilteredCall(number: number, architecture: architecture, arguments: arguments)
      self.verdict = verdict
    }
  }

  static let cases: [Case] = [
    .init("read", 0, allow), .init("execve", 59, allow), .init("ptrace", 101, allow),
    .init("mount", 165, refuse), .init("umount2", 166, refuse), .init("unshare", 272, refuse),
    .init("setns", 308, refuse), .init("bpf", 321, refuse), .init("add_key", 248, refuse),
    .init("request_key", 249, refuse), .init("keyctl", 250, refuse), .init("userfaultfd", 323, refuse),
    .init("perf_event_open", 298, refuse), .init("kexec_load", 246, refuse), .init("init_module", 175, refuse),
    .init("open_by_handle_at", 304, refuse), .init("move_mount", 429, refuse), .init("pivot_root", 155, refuse),
    .init("io_uring_setup", 425, refuse), .init("reboot", 169, refuse), .init("settimeofday", 164, refuse),
    .init("clone3", 435, missing), .init("clone thread", 56, with: [0x3d0f00], allow),
    .init("clone new user", 56, with: [0x1000_0000], refuse), .init("clone new pid", 56, with: [0x2000_0011], refuse),
    .init("clone new namespace", 56, with: [0x0002_0000], refuse),
    .init("clone new cgroup", 56, with: [0x0200_0000], refuse),
    .init("socket inet", 41, with: [2], allow), .init("socket alg", 41, with: [38], refuse),
    .init("socket nfc", 41, with: [39], allow),
    .init("socket vsock", 41, with: [40], refuse), .init("socket kcm", 41, with: [41], allow),
    .init("socket alg with a bit above", 41, with: [1 << 32 | 38], refuse),
    .init("socket vsock with a bit above", 41, with: [1 << 63 | 40], refuse),
    .init("personality", 135, with: [0], allow), .init("personality asks", 135, with: [0xffff_ffff], allow),
    .init("personality without randomisation", 135, with: [0x0004_0000], refuse),
    .init("uretprobe", 335, allow), .init("fchmodat2", 452, allow), .init("mseal", 462, allow),
    .init("not yet invented", 600, missing),
    .init("i386 mount", 21, on: FilteredCall.x86, refuse), .init("i386 umount2", 52, on: FilteredCall.x86, refuse),
    .init("i386 unshare", 310, on: FilteredCall.x86, refuse), .init("i386 setns", 346, on: FilteredCall.x86, refuse),
    .init("i386 bpf", 357, on: FilteredCall.x86, refuse), .init("i386 keyctl", 288, on: FilteredCall.x86, refuse),
    .init("i386 clone3", 435, on: FilteredCall.x86, missing), .init("i386 read", 3, on: FilteredCall.x86, allow),
    .init("i386 clone new user", 120, with: [0x1000_0000], on: FilteredCall.x86, refuse),
    .init("i386 clone", 120, with: [17], on: FilteredCall.x86, allow),
    .init("i386 socket inet", 359, with: [2], on: FilteredCall.x86, allow),
    .init("i386 socket alg", 359, with: [38], on: FilteredCall.x86, refuse),
    .init("i386 socket vsock", 359, with: [40], on: FilteredCall.x86, refuse),
    .init("i386 socketcall socket", 102, with: [1], on: FilteredCall.x86, refuse),
    .init("i386 socketcall connect", 102, with: [3], on: FilteredCall.x86, allow),
    .init("i386 fchmodat2", 452, on: FilteredCall.x86, allow),
    .init("i386 unknown", 600, on: FilteredCall.x86, missing),
    .init("x32 read", 0x4000_0000, allow), .init("x32 mount", 0x4000_0000 + 165, refuse),
    .init("x32 unshare", 0x4000_0000 + 272, refuse), .init("x32 socket alg", 0x4000_0000 + 41, with: [38], refuse),
    .init("x32 socket vsock", 0x4000_0000 + 41, with: [40], refuse),
    .init("a foreign architecture", 0, on: 0xc000_00b7, 0),
  ]

  @Test(arguments: cases)
  func verdicts(_ one: Case) throws {
    #expect(FilterMachine.run(try Self.program.get().bytes, one.call) == one.verdict)
  }

  @Test func capabilitiesOpenCalls() throws {
    let admin = try Self.filter(Self.ordinary.union(["CAP_SYS_ADMIN"]))
    for number: UInt32 in [165, 272, 308, 321, 435] {
      #expect(FilterMachine.run(admin.bytes, FilteredCall(number: number)) == Self.allow)
    }
    #expect(FilterMachine.run(admin.bytes, FilteredCall(number: 56, arguments: [0x1000_0000])) == Self.allow)
    #expect(FilterMachine.run(admin.bytes, FilteredCall(number: 41, arguments: [38])) == Self.refuse)
    let nice = try Self.filter(["CAP_SYS_NICE"])
    #expect(FilterMachine.run(nice.bytes, FilteredCall(number: 450)) == Self.allow)
    #expect(FilterMachine.run(nice.bytes, FilteredCall(number: 161)) == Self.refuse, "chroot needs its capability")
  }

  @Test func oldKernels() throws {
    let old = try Self.filter(Self.ordinary, kernel: (4, 7))
    #expect(FilterMachine.run(old.bytes, FilteredCall(number: 101)) == Self.refuse, "ptrace before Linux 4.8")
  }

  @Test func itFitsTheKernel() throws {
    let program = try Self.program.get()
    #expect(program.bytes.count % 8 == 0)
    #expect(program.count <= 4_096)
    #expect(program.flags == 0)
  }

  @Test func otherMachines() throws {
    let section = try DockerProfile.standard().section(
      capabilities: [], kernel: (6, 1), architecture: "arm64")
    #expect(section.architectures == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
    #expect(section.syscalls?.contains { $0.names.contains("arm_fadvise64_64") } == true)
    #expect(section.syscalls?.contains { $0.names.contains("arch_prctl") } == false)
    #expect(throws: Never.self) { try SeccompCompiler.compile(section) }
  }

  /// Loads the filter into a child and tries.
  @Test(.enabled(if: geteuid() == 0, "needs root: loads a filter without no_new_privs"))
  func inTheKernel() throws {
    let program = try Self.program.get()
    var pidfd: Int32 = -1
    let child = cl_clone3(0, SIGCHLD, -1, &pidfd)
    if child == 0 {
      let loaded = program.bytes.withUnsafeBytes { cl_seccomp_filter($0.baseAddress!, UInt16($0.count / 8), 0) }
      guard loaded >= 0 else { _exit(1) }
      guard socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) >= 0 else { _exit(2) }
      guard socket(38, 5, 0) < 0, errno == EPERM else { _exit(3) }
      guard socket(40, 1, 0) < 0, errno == EPERM else { _exit(4) }
      guard mount("none", "/mnt", "tmpfs", 0, nil) < 0, errno == EPERM else { _exit(5) }
      _exit(0)
    }
    try #require(child > 0)
    close(pidfd)
    var status: Int32 = 0
    waitpid(child, &status, 0)
    #expect(status == 0)
  }
}
