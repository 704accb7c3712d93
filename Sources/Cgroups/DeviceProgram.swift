/// Device rules as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE: cgroup v2's device controller.
///
/// The kernel runs it on every mknod and open of a device with a `struct bpf_cgroup_dev_ctx` (linux/bpf.h): `access_type`
/// (the kind of device in the low 16 bits, what is to be done in the high ones), `major`, `minor`. It returns 1 to allow.
///
/// Shape, with one block for each exception, in the order of `DeviceRules.sorted`:
///
///     r2 = kind   r3 = access   r4 = major   r5 = minor
///     block: does kind, major, minor match?  → no: next block
///            deny by default:  is the access within the exception's?  → no: next block;  return 1
///            allow by default: do access and exception share nothing? → yes: next block; return 0
///     return the default
struct DeviceProgram: Equatable {
  /// One eBPF instruction as the kernel reads it: opcode, registers (destination low, source high), offset, immediate.
  struct Instruction: Equatable {
    var opcode: UInt8
    var destination: UInt8 = 0
    var source: UInt8 = 0
    var offset: Int16 = 0
    var immediate: Int32 = 0

    /// The 8 bytes as a little-endian number, which is how they lie in memory on the machines that Gantry runs on.
    var encoded: UInt64 {
      UInt64(opcode) | UInt64(destination | source << 4) << 8 | UInt64(UInt16(bitPattern: offset)) << 16
        | UInt64(UInt32(bitPattern: immediate)) << 32
    }
  }

  /// The instructions in order.
  private(set) var instructions: [Instruction] = []

  /// What the kernel loads.
  var encoded: [UInt64] { instructions.map(\.encoded) }

  /// Compiles `rules`.
  init(_ rules: DeviceRules) {
    // LDX_MEM_W r, [r1 + offset]
    func load(_ register: UInt8, _ offset: Int16) -> Instruction {
      Instruction(opcode: 0x61, destination: register, source: 1, offset: offset)
    }
    instructions = [
      load(2, 0),
      Instruction(opcode: 0x54, destination: 2, immediate: 0xffff),  // AND32 r2, 0xffff: the kind
      load(3, 0),
      Instruction(opcode: 0x74, destination: 3, immediate: 16),  // RSH32 r3, 16: the access
      load(4, 4),
      load(5, 8),
    ]
    for (device, access) in rules.sorted {
      instructions += Self.block(device, access, allowsByDefault: rules.allowsByDefault)
    }
    instructions += Self.leave(rules.allowsByDefault)
  }

  private static func block(
    _ device: DeviceRules.Device, _ access: DeviceRules.Access, allowsByDefault: Bool
  ) -> [Instruction] {
    // JNE32 with the offset filled in below. Unlike a 64-bit compare it does not extend the sign of large minors.
    func unlessEqual(_ register: UInt8, _ value: Int64) -> Instruction {
      Instruction(opcode: 0x56, destination: register, immediate: Int32(truncatingIfNeeded: value))
    }
    var block = [unlessEqual(2, device.kind == "b" ? 1 : 2)]  // BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
    if let major = device.major { block.append(unlessEqual(4, major)) }
    if let minor = device.minor { block.append(unlessEqual(5, minor)) }
    if access != .all || allowsByDefault {
      block.append(Instruction(opcode: 0xbc, destination: 1, source: 3))  // MOV32 r1, r3
      if allowsByDefault {
        block.append(Instruction(opcode: 0x54, destination: 1, immediate: Int32(access.rawValue)))  // AND32 r1, access
        block.append(Instruction(opcode: 0x16, destination: 1, immediate: 0))  // JEQ32 r1, 0 → next block
      } else {
        // AND32 r1, ~access: what is asked for beyond the exception
        let beyond = DeviceRules.Access.all.subtracting(access).rawValue
        block.append(Instruction(opcode: 0x54, destination: 1, immediate: Int32(beyond)))
        block.append(unlessEqual(1, 0))
      }
    }
    block += leave(!allowsByDefault)
    for index in block.indices where block[index].opcode == 0x56 || block[index].opcode == 0x16 {
      block[index].offset = Int16(block.count - index - 1)
    }
    return block
  }

  /// MOV r0, verdict; EXIT
  private static func leave(_ verdict: Bool) -> [Instruction] {
    [Instruction(opcode: 0xb7, immediate: verdict ? 1 : 0), Instruction(opcode: 0x95)]
  }
}
