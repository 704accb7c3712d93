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
  static func run(_ bytes: [UInt8], _ call: FilteredCall) -> UInt32? {
    var position = 0
    var accumulator: UInt32 = 0
    while position * 8 + 8 <= bytes.count {
      let step = bytes[(position * 8)..<(position * 8 + 8)]
      let at = step.startIndex
      let code = UInt16(step[at]) | UInt16(step[at + 1]) << 8
      let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(step[at + 4 + $1]) << UInt32(8 * $1) }
      let skip: (Bool) -> Int = { Int(step[at + ($0 ? 2 : 3)]) }
      position += 1
      switch code {
      case 0x20:
        guard let word = call.word(Int(value)) else { return nil }
        accumulator = word
      case 0x54: accumulator &= value
      case 0x05: position += Int(value)
      case 0x15: position += skip(accumulator == value)
      case 0x25: position += skip(accumulator > value)
      case 0x35: position += skip(accumulator >= value)
      case 0x45: position += skip(accumulator & value != 0)
      case 0x06: return value
      default: return nil
      }
    }
    return nil
  }
}
