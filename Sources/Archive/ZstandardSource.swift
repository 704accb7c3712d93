internal import CZstd
internal import Faults
internal import Tar

/// zstd frames decompressed with a bound on the window, which is the memory that a hostile frame could ask for.
final class ZstandardSource: ByteSource {
  private let upstream: any ByteSource
  private let stream: OpaquePointer
  private let output: UnsafeMutableRawBufferPointer
  private var input = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
  private var isInputAtEnd = false
  private var isInFrame = false
  private let windowLog: Int32

  init(_ upstream: any ByteSource, windowLog: Int32, chunkSize: Int = 256 << 10) throws {
    self.upstream = upstream
    self.windowLog = windowLog
    guard let stream = ZSTD_createDStream() else { throw Fault(.internal, "no memory is left for zstd") }
    self.stream = stream
    output = .allocate(byteCount: chunkSize, alignment: 64)
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, min(max(windowLog, 10), 31))
  }

  deinit {
    ZSTD_freeDStream(stream)
    output.deallocate()
  }

  func next() throws -> UnsafeRawBufferPointer {
    var out = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
    while out.pos < out.size {
      if input.pos == input.size, !isInputAtEnd {
        let chunk = try upstream.next()
        isInputAtEnd = chunk.isEmpty
        input = ZSTD_inBuffer(src: chunk.baseAddress, size: chunk.count, pos: 0)
      }
      if input.pos == input.size, isInputAtEnd, !isInFrame { break }
      let before = out.pos
      let result = ZSTD_decompressStream(stream, &out, &input)
      if ZSTD_isError(result) != 0 { throw fault(result) }
      isInFrame = result != 0
      if isInFrame, isInputAtEnd, out.pos == before {
        throw Fault(.corrupt, "the zstd data ends in the middle: the file was cut off")
      }
    }
    return UnsafeRawBufferPointer(rebasing: output[..<out.pos])
  }

  private func fault(_ result: Int) -> Fault {
    switch ZSTD_getErrorCode(result) {
    case ZSTD_error_frameParameter_windowTooLarge:
      Fault(.limitExceeded, "the zstd data needs a window of more than \(1 << Int64(windowLog)) bytes")
    case ZSTD_error_checksum_wrong: Fault(.corrupt, "the zstd data does not have the checksum that it names")
    default: Fault(.corrupt, "the zstd data is damaged", cause: [String(cString: ZSTD_getErrorName(result))])
    }
  }
}
