@testable import Seccomp

/// One system call as a filter sees it: `struct seccomp_data` of linux/seccomp.h.
struct FilteredCall: Sendable {
  static let x8664: UInt32 = 0xc000_003e
  static let x86: UInt32 = 0x4000_0003

  var number: UInt32
  var architecture = FilteredCall.x8664
  var arguments: [UInt64] = []

  /// The 32-bit word at `offset`.
  func word(_ offset: Int) -> UInt32? {
    switch offset {
    case 0: return number
    case 4: return architecture
    case 8, 12: return 0  // the instruction pointer
    case 16..<64 where offset % 4 == 0:
      let argument = (offset - 16) / 8
      let value = argument < arguments.count ? arguments[argument] : 0
      return UInt32(truncatingIfNeeded: offset % 8 == 0 ? value : value >> 32)
    default: return nil
    }
  }
}

/// As much of the kernel's BPF machine as seccomp filters use. Nil: the program is not valid.
enum FilterMachine {
  static func run(_ bytes: [UInt8], _ call: FilteredCall) -> UInt32? { run(BPFInstruction.decode(bytes), call) }

  static func run(_ program: [BPFInstruction], _ call: FilteredCall) -> UInt32? {
    program.withUnsafeBufferPointer { program in
      var position = 0
      var accumulator: UInt32 = 0
      while position < program.count {
        let step = program[position]
        var holds = false
        position += 1
        switch step.code {
        case 0x20:
          guard let word = call.word(Int(step.value)) else { return nil }
          accumulator = word
          continue
        case 0x54:
          accumulator &= step.value
          continue
        case 0x05:
          position += Int(step.value)
          continue
        case 0x06: return step.value
        case 0x15: holds = accumulator == step.value
        case 0x25: holds = accumulator > step.value
        case 0x35: holds = accumulator >= step.value
        case 0x45: holds = accumulator & step.value != 0
        default: return nil
        }
        position += Int(holds ? step.ifTrue : step.ifFalse)
      }
      return nil
    }
  }
}
