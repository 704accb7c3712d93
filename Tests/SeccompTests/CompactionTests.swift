import OCI
import Testing

@testable import Seccomp

/// The shortened filter decides exactly as the one that it was made from.
struct CompactionTests {
  static let sections: [RuntimeSpec.Seccomp] = {
    let profile = try? DockerProfile.standard()
    let capabilities: [Set<String>] = [
      [], DefaultProfileTests.ordinary, ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_SYS_NICE"],
    ]
    var sections = capabilities.compactMap {
      try? profile?.section(capabilities: $0, kernel: (6, 18), architecture: "amd64")
    }
    sections.append(
      .init(
        defaultAction: "SCMP_ACT_LOG", architectures: ["SCMP_ARCH_X86_64"],
        syscalls: [
          .init(names: ["read", "write"], action: "SCMP_ACT_ALLOW"),
          .init(
            names: ["ioctl"], action: "SCMP_ACT_ERRNO", errnoRet: 25,
            args: [.init(index: 1, value: 0xf0f0, valueTwo: 0x1010, op: "SCMP_CMP_MASKED_EQ")]),
          .init(
            names: ["mmap"], action: "SCMP_ACT_KILL",
            args: [.init(index: 2, value: 1 << 40, op: "SCMP_CMP_GE"), .init(index: 5, value: 7, op: "SCMP_CMP_NE")]),
        ]))
    sections.append(.init(defaultAction: "SCMP_ACT_ALLOW"))
    return sections
  }()

  @Test(arguments: sections.indices)
  func sameVerdicts(index: Int) throws {
    let old = try SeccompCompiler.instructions(Self.sections[index])
    let new = BPFInstruction.decode(try SeccompCompiler.compile(Self.sections[index]).bytes)
    if index < 3 { #expect(new.count * 2 < old.count, "\(old.count) → \(new.count) instructions") }
    let numbers: [UInt32] =
      Array(0...480) + [600, 0x3fff_ffff, 0x8000_0000, .max] + (0...480).map { 0x4000_0000 + $0 }
    let values: [UInt64] = [
      0, 1, 8, 38, 39, 40, 41, 0x1010, 0x1000_0000, 0x0002_0008, 0xffff_ffff, 1 << 32 | 38, 1 << 40,
    ]
    var wrong: [String] = []
    for architecture in [FilteredCall.x8664, FilteredCall.x86, 0xc000_00b7] {
      for number in numbers {
        for value in values {
          var call = FilteredCall(number: number, architecture: architecture)
          call.arguments = [value, value, value, value, value, 7]
          let one = FilterMachine.run(old, call)
          let other = FilterMachine.run(new, call)
          if one != other || other == nil { wrong.append("\(architecture) \(number) \(value)") }
        }
      }
    }
    #expect(wrong.prefix(5) == [])
  }

  @Test func whatDoesNotFitIsLeftAlone() {
    // Loads by an index register are no part of seccomp filters that libseccomp writes.
    let strange = [BPFInstruction(code: 0x40, value: 0), .leave(0x7fff_0000)]
    #expect(FilterCompaction.compact(strange, architectures: [FilteredCall.x8664]) == strange)
    #expect(FilterCompaction.compact([], architectures: [FilteredCall.x8664]).isEmpty)
  }
}
