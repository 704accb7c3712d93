import OCI
import Testing

@testable import Cgroups

/// Device rules, what v1 is told, and what the v2 program decides.
struct DeviceTests {
  /// What Docker sends for an ordinary container.
  static let ordinary: [RuntimeSpec.DeviceRule] = [
    .init(allow: false, access: "rwm"),
    .init(allow: true, type: "c", major: 5, minor: 1, access: "rwm"),
    .init(allow: true, type: "c", major: 10, minor: 200, access: "rwm"),
    .init(allow: false, type: "c", major: 10, minor: 200, access: "rwm"),
    .init(allow: true, type: "b", major: 7, minor: -1, access: "r"),
  ]
  static let privileged: [RuntimeSpec.DeviceRule] = [.init(allow: true, access: "rwm")]
  static let allButOne: [RuntimeSpec.DeviceRule] = [
    .init(allow: true, type: "a", access: "rwm"), .init(allow: false, type: "b", major: 8, minor: 0, access: "w"),
  ]

  struct Question: Sendable {
    var rules: [RuntimeSpec.DeviceRule]
    var kind: Character
    var major: UInt32
    var minor: UInt32
    var access: DeviceRules.Access
    var allowed: Bool
  }

  static let questions: [Question] = [
    .init(rules: ordinary, kind: "c", major: 1, minor: 3, access: [.read, .write], allowed: true),
    .init(rules: ordinary, kind: "c", major: 1, minor: 1, access: .read, allowed: false),
    .init(rules: ordinary, kind: "c", major: 1, minor: 1, access: .makeNode, allowed: true),
    .init(rules: ordinary, kind: "c", major: 5, minor: 1, access: .all, allowed: true),
    .init(rules: ordinary, kind: "c", major: 136, minor: 999_999, access: [.read, .write], allowed: true),
    .init(rules: ordinary, kind: "c", major: 10, minor: 200, access: [.read, .write], allowed: false),
    .init(rules: ordinary, kind: "b", major: 7, minor: 3, access: .read, allowed: true),
    .init(rules: ordinary, kind: "b", major: 7, minor: 3, access: [.read, .write], allowed: false),
    .init(rules: ordinary, kind: "b", major: 8, minor: 0, access: .read, allowed: false),
    .init(rules: ordinary, kind: "b", major: 8, minor: 0, access: .makeNode, allowed: true),
    .init(rules: [], kind: "b", major: 8, minor: 0, access: .read, allowed: false),
    .init(rules: [], kind: "c", major: 1, minor: 9, access: .read, allowed: true),
    .init(rules: privileged, kind: "b", major: 8, minor: 0, access: .all, allowed: true),
    .init(rules: allButOne, kind: "b", major: 8, minor: 0, access: .write, allowed: false),
    .init(rules: allButOne, kind: "b", major: 8, minor: 0, access: [.read, .write], allowed: false),
    .init(rules: allButOne, kind: "b", major: 8, minor: 0, access: .read, allowed: true),
    .init(rules: allButOne, kind: "c", major: 8, minor: 0, access: .write, allowed: true),
  ]

  @Test(arguments: questions)
  func program(question: Question) {
    let program = DeviceProgram(DeviceRules(question.rules))
    let kind: UInt32 = question.kind == "b" ? 1 : 2
    let verdict = EBPF.run(
      program.instructions, context: [kind | question.access.rawValue << 16, question.major, question.minor])
    #expect(verdict == (question.allowed ? 1 : 0))
  }

  /// `struct bpf_insn` as the kernel reads it: opcode, registers, offset, immediate.
  @Test func golden() {
    let program = DeviceProgram(DeviceRules(Self.privileged))
    #expect(
      program.encoded == [
        0x0000_0000_0000_1261,  // r2 = *(u32 *)(r1 + 0)
        0x0000_ffff_0000_0254,  // w2 &= 0xffff
        0x0000_0000_0000_1361,  // r3 = *(u32 *)(r1 + 0)
        0x0000_0010_0000_0374,  // w3 >>= 16
        0x0000_0000_0004_1461,  // r4 = *(u32 *)(r1 + 4)
        0x0000_0000_0008_1561,  // r5 = *(u32 *)(r1 + 8)
        0x0000_0001_0000_00b7,  // r0 = 1
        0x0000_0000_0000_0095,  // exit
      ])
  }

  @Test func v1Creation() throws {
    let files = Fixture(["devices.allow": "", "devices.deny": "", "devices.list": "a *:* rwm"])
    try DevicesV1.apply(DeviceRules(Self.ordinary), to: files.folder(.devices, .v1), creating: true)
    #expect(files["devices.deny"] == "a\n")
    #expect(
      files["devices.allow"]
        == "b *:* m\nb 7:* r\nc *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:1 rwm\nc 5:2 rwm\nc 136:* rwm\n"
    )
  }

  @Test func v1UpdateWritesTheDifferenceAlone() throws {
    let files = Fixture(["devices.allow": "", "devices.deny": "", "devices.list": "c 1:3 rwm\nc 9:9 rw"])
    let rules = DeviceRules([.init(allow: true, type: "c", major: 9, minor: 9, access: "r")])
    try DevicesV1.apply(rules, to: files.folder(.devices, .v1), creating: false)
    #expect(files["devices.deny"] == "c 9:9 w\n")
    #expect(files["devices.allow"]?.contains("1:3") == false)
    #expect(files["devices.allow"]?.contains("c 1:5 rwm") == true)
  }

  @Test func v1Privileged() throws {
    let files = Fixture(["devices.allow": "", "devices.deny": ""])
    try DevicesV1.apply(DeviceRules(Self.allButOne), to: files.folder(.devices, .v1), creating: true)
    #expect(files["devices.allow"] == "")
    #expect(files["devices.deny"] == "b 8:0 w\n")
  }
}

/// As much of an eBPF machine as the device program uses.
enum EBPF {
  static func run(_ program: [DeviceProgram.Instruction], context: [UInt32]) -> UInt64? {
    var registers = [UInt64](repeating: 0, count: 11)
    var position = 0
    while program.indices.contains(position) {
      let step = program[position]
      let target = Int(step.destination)
      let low = UInt32(truncatingIfNeeded: registers[target])
      let immediate = UInt32(bitPattern: step.immediate)
      position += 1
      switch step.opcode {
      case 0x61: registers[target] = UInt64(context[Int(step.offset) / 4])
      case 0x54: registers[target] = UInt64(low & immediate)
      case 0x74: registers[target] = UInt64(low >> immediate)
      case 0xbc: registers[target] = registers[Int(step.source)] & 0xffff_ffff
      case 0xb7: registers[target] = UInt64(bitPattern: Int64(step.immediate))
      case 0x56: if low != immediate { position += Int(step.offset) }
      case 0x16: if low == immediate { position += Int(step.offset) }
      case 0x95: return registers[0]
      default: return nil
      }
    }
    return nil
  }
}
