internal import CISAL
internal import Faults
internal import Tar

/// gzip decompressed by ISA-L, one member after the other; header, CRC-32 and length of each are checked.
final class InflateSource: ByteSource {
  private let upstream: any ByteSource
  private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
  private let output: UnsafeMutableRawBufferPointer
  private var isBetweenMembers = false
  private var isInputAtEnd = false
  private var isAtEnd = false

  init(_ upstream: any ByteSource, chunkSize: Int = 256 << 10) {
    self.upstream = upstream
    output = .allocate(byteCount: chunkSize, alignment: 64)
    isal_inflate_init(state)
    state.pointee.crc_flag = UInt32(ISAL_GZIP)
    state.pointee.avail_in = 0
  }

  deinit {
    state.deallocate()
    output.deallocate()
  }

  func next() throws -> UnsafeRawBufferPointer {
    state.pointee.next_out = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
    state.pointee.avail_out = UInt32(output.count)
    while !isAtEnd, state.pointee.avail_out > 0 {
      if state.pointee.avail_in == 0 && !isInputAtEnd { try refill() }
      if isBetweenMembers {
        try startMember()
        continue
      }
      let result = isal_inflate(state)
      if result < 0 { throw Self.fault(result) }
      if state.pointee.block_state == ISAL_BLOCK_FINISH {
        isBetweenMembers = true
      } else if isInputAtEnd, state.pointee.avail_in == 0, state.pointee.avail_out > 0 {
        throw Fault(.corrupt, "the gzip data ends in the middle: the file was cut off")
      }
    }
    return UnsafeRawBufferPointer(rebasing: output[..<(output.count - Int(state.pointee.avail_out))])
  }

  private func refill() throws {
    let chunk = try upstream.next()
    isInputAtEnd = chunk.isEmpty
    state.pointee.next_in = UnsafeMutablePointer(mutating: chunk.baseAddress?.assumingMemoryBound(to: UInt8.self))
    state.pointee.avail_in = UInt32(chunk.count)
  }

  /// After a member: the end, another member, or padding of zeros (tapes, and tools that align).
  private func startMember() throws {
    while state.pointee.avail_in > 0, state.pointee.next_in.pointee == 0 {
      state.pointee.next_in += 1
      state.pointee.avail_in -= 1
    }
    if state.pointee.avail_in == 0 {
      isAtEnd = isInputAtEnd
      return
    }
    guard state.pointee.next_in.pointee == 0x1f else {
      throw Fault(.corrupt, "the gzip data is followed by something that is not gzip")
    }
    isal_inflate_reset(state)
    state.pointee.crc_flag = UInt32(ISAL_GZIP)
    isBetweenMembers = false
  }

  private static func fault(_ result: Int32) -> Fault {
    switch result {
    case ISAL_INCORRECT_CHECKSUM: Fault(.corrupt, "the gzip data does not have the checksum that it names")
    case ISAL_INVALID_WRAPPER, ISAL_UNSUPPORTED_METHOD: Fault(.corrupt, "the gzip data has an invalid header")
    default: Fault(.corrupt, "the gzip data is damaged")
    }
  }
}
