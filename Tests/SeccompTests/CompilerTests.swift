import Faults
import OCI
import Testing

@testable import Seccomp

/// Profiles of a person's own: what compiles, to what, and what is refused in which words.
struct CompilerTests {
  private func verdict(_ section: RuntimeSpec.Seccomp, _ call: FilteredCall) throws -> UInt32? {
    FilterMachine.run(try SeccompCompiler.compile(section).bytes, call)
  }

  @Test func allowByDefaultAddsNothing() throws {
    let section = RuntimeSpec.Seccomp(
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [.init(names: ["mkdir", "no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 13)])
    #expect(try verdict(section, .init(number: 83)) == 0x0005_000d)
    #expect(try verdict(section, .init(number: 600)) == 0x7fff_0000)
  }

  @Test(
    arguments: [
      ("SCMP_CMP_EQ", 5, 0, [5], [4, 6]), ("SCMP_CMP_NE", 5, 0, [4, 6], [5]), ("SCMP_CMP_LT", 5, 0, [4], [5, 6]),
      ("SCMP_CMP_LE", 5, 0, [4, 5], [6]), ("SCMP_CMP_GT", 5, 0, [6], [5]), ("SCMP_CMP_GE", 5, 0, [5, 6], [4]),
      ("SCMP_CMP_MASKED_EQ", 6, 4, [4, 5, 12], [2, 6]),
    ] as [(String, UInt64, UInt64, [UInt64], [UInt64])])
  func operators(name: String, value: UInt64, two: UInt64, matching: [UInt64], other: [UInt64]) throws {
    let section = RuntimeSpec.Seccomp(
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [
        .init(
          names: ["close"], action: "SCMP_ACT_ALLOW", args: [.init(index: 0, value: value, valueTwo: two, op: name)])
      ])
    for argument in matching { #expect(try verdict(section, .init(number: 3, arguments: [argument])) == 0x7fff_0000) }
    for argument in other { #expect(try verdict(section, .init(number: 3, arguments: [argument])) == 0x0005_0001) }
  }

  @Test func conditionsOnDifferentArgumentsMustAllHold() throws {
    let section = RuntimeSpec.Seccomp(
      defaultAction: "SCMP_ACT_KILL_PROCESS",
      syscalls: [
        .init(
          names: ["dup2"], action: "SCMP_ACT_LOG",
          args: [.init(index: 0, value: 1, op: "SCMP_CMP_EQ"), .init(index: 1, value: 2, op: "SCMP_CMP_EQ")])
      ])
    #expect(try verdict(section, .init(number: 33, arguments: [1, 2])) == 0x7ffc_0000)
    #expect(try verdict(section, .init(number: 33, arguments: [1, 3])) == 0x8000_0000)
  }

  @Test func conditionsOnOneArgumentAreAlternatives() throws {
    let section = RuntimeSpec.Seccomp(
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [
        .init(
          names: ["close"], action: "SCMP_ACT_ALLOW",
          args: [.init(index: 0, value: 1, op: "SCMP_CMP_EQ"), .init(index: 0, value: 2, op: "SCMP_CMP_EQ")])
      ])
    #expect(try verdict(section, .init(number: 3, arguments: [2])) == 0x7fff_0000)
    #expect(try verdict(section, .init(number: 3, arguments: [3])) == 0x0005_0001)
  }

  @Test func supervisedCallsAskTheirSupervisor() throws {
    let section = RuntimeSpec.Seccomp(
      defaultAction: "SCMP_ACT_ALLOW", syscalls: [.init(names: ["read"], action: "SCMP_ACT_NOTIFY")])
    #expect(try verdict(section, .init(number: 0)) == 0x7fc0_0000)
    #expect(try verdict(section, .init(number: 1)) == 0x7fff_0000)
    #expect(try SeccompCompiler.compile(section).flags == 8)  // NEW_LISTENER
  }

  @Test(arguments: [
    RuntimeSpec.Seccomp(defaultAction: "SCMP_ACT_SING"),
    .init(defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 70_000),
    .init(defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_WHATEVER"]),
    .init(defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_ABACUS"]),
    .init(defaultAction: "SCMP_ACT_ALLOW", syscalls: [.init(names: ["write"], action: "SCMP_ACT_NOTIFY")]),
    .init(defaultAction: "SCMP_ACT_NOTIFY"),
    .init(
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        .init(names: ["read"], action: "SCMP_ACT_ERRNO", args: [.init(index: 6, value: 0, op: "SCMP_CMP_EQ")])
      ]),
    .init(
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        .init(names: ["read"], action: "SCMP_ACT_ERRNO", args: [.init(index: 0, value: 0, op: "SCMP_CMP_APPROX")])
      ]),
  ])
  func refused(_ section: RuntimeSpec.Seccomp) {
    #expect(throws: Fault.self) { try SeccompCompiler.compile(section) }
  }

  @Test func flags() throws {
    let section = RuntimeSpec.Seccomp(
      defaultAction: "SCMP_ACT_ALLOW",
      flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])
    #expect(try SeccompCompiler.compile(section).flags == 6)
  }

  @Test(arguments: [
    "", "[]", "{}", #"{"defaultAction":5}"#,
    #"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#,
  ])
  func notAProfile(text: String) {
    #expect(throws: Fault.self) { try DockerProfile(json: Array(text.utf8)) }
  }

  @Test func profilesOfOneCallARule() throws {
    let text = """
      {"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"name":"mkdir","action":"SCMP_ACT_ERRNO","args":[]},
        {"names":["rmdir"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_CHOWN"]}},
        {"names":["unlink"],"action":"SCMP_ACT_ERRNO","includes":{"arches":["arm64"]}}]}
      """
    let profile = try DockerProfile(json: Array(text.utf8))
    let section = try profile.section(capabilities: ["CAP_CHOWN"], kernel: (6, 1), architecture: "amd64")
    #expect(section.syscalls == [.init(names: ["mkdir"], action: "SCMP_ACT_ERRNO")])
    #expect(section.architectures == nil)
  }

  @Test func badKernelVersions() throws {
    let text =
      #"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","includes":{"minKernel":"x"}}]}"#
    let profile = try DockerProfile(json: Array(text.utf8))
    #expect(throws: Fault.self) { try profile.section(capabilities: [], kernel: (6, 1), architecture: "amd64") }
  }
}
