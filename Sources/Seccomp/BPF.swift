/// One classic BPF instruction of a seccomp filter (linux/filter.h, `struct sock_filter`).
struct BPFInstruction: Equatable {
  var code: UInt16
  var ifTrue: UInt8 = 0
  var ifFalse: UInt8 = 0
  var value: UInt32

  /// Loads the 32-bit word at `offset` of `struct seccomp_data`: 0 number, 4 architecture, 16 + 8n argument n.
  static func load(_ offset: UInt32) -> BPFInstruction { BPFInstruction(code: 0x20, value: offset) }

  /// Ends with `action`.
  static func leave(_ action: UInt32) -> BPFInstruction { BPFInstruction(code: 0x06, value: action) }

  /// Continues `distance` instructions after the next.
  static func jump(_ distance: UInt32) -> BPFInstruction { BPFInstruction(code: 0x05, value: distance) }

  /// Skips `ifTrue` or `ifFalse` instructions after comparing the loaded word for equality.
  static func whenEqual(_ value: UInt32, skip ifTrue: UInt8, else ifFalse: UInt8) -> BPFInstruction {
    BPFInstruction(code: 0x15, ifTrue: ifTrue, ifFalse: ifFalse, value: value)
  }

  /// As `whenEqual`, for unsigned greater.
  static func whenGreater(_ value: UInt32, skip ifTrue: UInt8, else ifFalse: UInt8) -> BPFInstruction {
    BPFInstruction(code: 0x25, ifTrue: ifTrue, ifFalse: ifFalse, value: value)
  }

  /// As `whenEqual`, for unsigned greater or equal.
  static func whenAtLeast(_ value: UInt32, skip ifTrue: UInt8, else ifFalse: UInt8) -> BPFInstruction {
    BPFInstruction(code: 0x35, ifTrue: ifTrue, ifFalse: ifFalse, value: value)
  }

  /// The instructions that `bytes` hold.
  static func decode(_ bytes: [UInt8]) -> [BPFInstruction] {
    var result: [BPFInstruction] = []
    for at in stride(from: 0, to: bytes.count - bytes.count % 8, by: 8) {
      var value: UInt32 = 0
      for index in (0..<4).reversed() { value = value << 8 | UInt32(bytes[at + 4 + index]) }
      let code = UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
      result.append(BPFInstruction(code: code, ifTrue: bytes[at + 2], ifFalse: bytes[at + 3], value: value))
    }
    return result
  }

  /// The 8 bytes in little-endian order, that of every machine in `Architecture` that Gantry is built for.
  var bytes: [UInt8] {
    [UInt8(code & 0xff), UInt8(code >> 8), ifTrue, ifFalse]
      + (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
  }
}
