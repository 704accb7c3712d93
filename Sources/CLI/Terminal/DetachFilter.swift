/// Watches what is typed for the keys that detach, and holds back what may be their beginning.
struct DetachFilter {
  private let keys: [UInt8]
  private var matched = 0

  /// Watches for `keys`; none when they are empty.
  init(_ keys: DetachKeys) { self.keys = keys.bytes }

  /// The bytes to pass on, and whether the keys are complete (then nothing after them counts).
  mutating func feed(_ bytes: UnsafeRawBufferPointer) -> (pass: [UInt8], detached: Bool) {
    guard !keys.isEmpty else { return (Array(bytes), false) }
    var pass: [UInt8] = []
    pass.reserveCapacity(bytes.count + matched)
    for byte in bytes {
      if byte == keys[matched] {
        matched += 1
        if matched == keys.count {
          matched = 0
          return (pass, true)
        }
        continue
      }
      pass += keys[..<matched]
      matched = byte == keys[0] ? 1 : 0
      if matched == 0 {
        pass.append(byte)
      } else if keys.count == 1 {
        return (pass, true)
      }
    }
    return (pass, false)
  }
}
