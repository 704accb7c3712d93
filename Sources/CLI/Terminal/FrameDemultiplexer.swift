/// Takes Docker's 8-byte frames apart: one byte that names the stream, three zero, four of big-endian length, payload.
///
/// Frames may be cut anywhere. Neighbouring small payloads of the same stream are put together in the buffer, so that a
/// container that writes line by line costs one write for many lines.
struct FrameDemultiplexer {
  /// Payloads from this size on are passed on where they lie.
  private static let largePayload = 8192

  private var header = [UInt8](repeating: 0, count: 8)
  private var headerCount = 0
  private var stream: UInt8 = 0
  private var remaining = 0

  /// Whether the input so far ends between two frames.
  var isAtBoundary: Bool { headerCount == 0 && remaining == 0 }

  /// Takes `buffer` apart, which it may rearrange, and calls `emit` with each stretch of payload.
  ///
  /// - Parameter emit: the stream (1 standard output, 2 standard error) and the bytes, valid during the call.
  mutating func feed(
    _ buffer: UnsafeMutableRawBufferPointer, emit: (UInt8, UnsafeRawBufferPointer) throws -> Void
  ) throws {
    guard let base = buffer.baseAddress else { return }
    var position = 0
    var pending = Pending()
    while position < buffer.count {
      if remaining == 0 {
        position += try takeHeader(UnsafeRawBufferPointer(rebasing: buffer[position...]))
        continue
      }
      let count = min(remaining, buffer.count - position)
      if pending.stream != stream || count >= Self.largePayload || pending.start == pending.end {
        if pending.start < pending.end { try emit(pending.stream, pending.bytes(of: buffer)) }
        pending = Pending(stream: stream, start: position, end: position + count)
      } else {
        (base + pending.end).copyMemory(from: base + position, byteCount: count)
        pending.end += count
      }
      remaining -= count
      position += count
    }
    if pending.start < pending.end { try emit(pending.stream, pending.bytes(of: buffer)) }
  }

  /// Payload of one stream that has not been passed on yet.
  private struct Pending {
    var stream: UInt8 = 0
    var start = 0
    var end = 0

    func bytes(of buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[start..<end])
    }
  }

  /// Takes what there is of a frame's header and returns how many bytes that was.
  private mutating func takeHeader(_ bytes: UnsafeRawBufferPointer) throws -> Int {
    let count = min(8 - headerCount, bytes.count)
    for index in 0..<count { header[headerCount + index] = bytes[index] }
    headerCount += count
    guard headerCount == 8 else { return count }
    headerCount = 0
    stream = header[0]
    guard stream <= 2, header[1] == 0, header[2] == 0, header[3] == 0 else {
      throw CommandFailure("the container's output is not in frames: the engine and this gantry do not fit together")
    }
    remaining = Int(header[4]) << 24 | Int(header[5]) << 16 | Int(header[6]) << 8 | Int(header[7])
    return count
  }
}
