internal import CISAL
internal import Glibc

/// gzip from descriptor to descriptor, by ISA-L, in constant memory.
public enum GzipFile {
  private static let chunk = 256 << 10

  /// Compresses what `input` holds into `output`, which gets its time of change. Returns 0 or an errno.
  public static func compress(_ input: Int32, into output: Int32) -> Int32 {
    let stream = UnsafeMutablePointer<isal_zstream>.allocate(capacity: 1)
    let level = UnsafeMutableRawPointer.allocate(byteCount: Int(isal_level1_buffer_size), alignment: 64)
    let buffers = Buffers()
    defer {
      stream.deallocate()
      level.deallocate()
    }
    isal_deflate_init(stream)
    stream.pointee.avail_in = 0  // which it leaves as it was
    stream.pointee.gzip_flag = UInt16(IGZIP_GZIP)
    stream.pointee.level = 1
    stream.pointee.level_buf = level.assumingMemoryBound(to: UInt8.self)
    stream.pointee.level_buf_size = UInt32(isal_level1_buffer_size)
    while stream.pointee.internal_state.state != ZSTATE_END {
      if stream.pointee.avail_in == 0, stream.pointee.end_of_stream == 0 {
        let count = fill(input, buffers.input)
        if count < 0 { return errno }
        stream.pointee.next_in = buffers.input
        stream.pointee.avail_in = UInt32(count)
        stream.pointee.end_of_stream = count == 0 ? 1 : 0
      }
      stream.pointee.next_out = buffers.output
      stream.pointee.avail_out = UInt32(chunk)
      guard isal_deflate(stream) == COMP_OK else { return EIO }
      let failure = write(output, buffers.output, chunk - Int(stream.pointee.avail_out))
      if failure != 0 { return failure }
    }
    return copyTime(input, output)
  }

  /// Inflates what `input` holds into `output`. Returns 0, or the errno of what went wrong after part of it.
  static func inflate(_ input: Int32, into output: Int32) -> Int32 {
    let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
    let buffers = Buffers()
    defer { state.deallocate() }
    isal_inflate_init(state)
    state.pointee.crc_flag = UInt32(ISAL_GZIP)
    state.pointee.avail_in = 0
    var isAtEnd = false
    while state.pointee.block_state != ISAL_BLOCK_FINISH {
      if state.pointee.avail_in == 0, !isAtEnd {
        let count = fill(input, buffers.input)
        if count < 0 { return errno }
        isAtEnd = count == 0
        state.pointee.next_in = buffers.input
        state.pointee.avail_in = UInt32(count)
      }
      state.pointee.next_out = buffers.output
      state.pointee.avail_out = UInt32(chunk)
      let result = isal_inflate(state)
      let failure = write(output, buffers.output, chunk - Int(state.pointee.avail_out))
      if failure != 0 { return failure }
      // All input is used up, and what it means is written: the file was cut off.
      let isStuck = isAtEnd && state.pointee.avail_in == 0 && state.pointee.avail_out > 0
      if result < 0 || (isStuck && state.pointee.block_state != ISAL_BLOCK_FINISH) { return EIO }
    }
    return 0
  }

  private final class Buffers {
    let input = UnsafeMutablePointer<UInt8>.allocate(capacity: chunk)
    let output = UnsafeMutablePointer<UInt8>.allocate(capacity: chunk)
    deinit {
      input.deallocate()
      output.deallocate()
    }
  }

  private static func fill(_ descriptor: Int32, _ buffer: UnsafeMutablePointer<UInt8>) -> Int {
    while true {
      let count = Glibc.read(descriptor, buffer, chunk)
      if count >= 0 || errno != EINTR { return count }
    }
  }

  private static func write(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var done = 0
    while done < count {
      let written = Glibc.write(descriptor, bytes + done, count - done)
      if written < 0, errno == EINTR { continue }
      if written <= 0 { return written == 0 ? EIO : errno }
      done += written
    }
    return 0
  }

  private static func copyTime(_ from: Int32, _ to: Int32) -> Int32 {
    var status = stat()
    guard fstat(from, &status) == 0 else { return errno }
    var times = (status.st_atim, status.st_mtim)
    return withUnsafePointer(to: &times) {
      $0.withMemoryRebound(to: timespec.self, capacity: 2) { futimens(to, $0) == 0 ? 0 : errno }
    }
  }
}
