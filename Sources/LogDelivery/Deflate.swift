internal import CISAL

/// Compression of one message in memory, by ISA-L.
enum Deflate {
  enum Form { case gzip, zlib }

  /// `bytes` compressed; nil when the library fails. Levels as zlib's: 0 and 1 are quick, the rest is thorough.
  static func compress(_ bytes: [UInt8], _ form: Form, level: Int = 1) -> [UInt8]? {
    let stream = UnsafeMutablePointer<isal_zstream>.allocate(capacity: 1)
    let working = UnsafeMutableRawPointer.allocate(byteCount: Int(isal_level1_buffer_size), alignment: 64)
    defer {
      stream.deallocate()
      working.deallocate()
    }
    var input = bytes
    return input.withUnsafeMutableBufferPointer { input -> [UInt8]? in
      // Stored blocks add five bytes in 64 kB; header and checksum come on top.
      let most = input.count + input.count / 1024 + 512
      var result: Int32 = -1
      let output = [UInt8](unsafeUninitializedCapacity: most) { buffer, count in
        isal_deflate_init(stream)
        stream.pointee.gzip_flag = UInt16(form == .gzip ? IGZIP_GZIP : IGZIP_ZLIB)
        stream.pointee.level = level == 0 ? 0 : 1
        stream.pointee.level_buf = working.assumingMemoryBound(to: UInt8.self)
        stream.pointee.level_buf_size = UInt32(isal_level1_buffer_size)
        stream.pointee.end_of_stream = 1
        stream.pointee.next_in = input.baseAddress
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = buffer.baseAddress
        stream.pointee.avail_out = UInt32(buffer.count)
        result = isal_deflate(stream)
        count = buffer.count - Int(stream.pointee.avail_out)
      }
      return result == COMP_OK && stream.pointee.internal_state.state == ZSTATE_END ? output : nil
    }
  }
}
