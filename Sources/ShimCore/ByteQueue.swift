internal import Glibc

/// Bytes that a slow reader has not taken yet; holds no memory while empty.
struct ByteQueue {
  private var bytes: [UInt8] = []
  private var start = 0

  var count: Int { bytes.count - start }
  var isEmpty: Bool { count == 0 }

  mutating func append(_ more: UnsafeRawBufferPointer) {
    if start > 0 && (start >= 65536 || bytes.capacity - bytes.count < more.count) {
      bytes.removeFirst(start)
      start = 0
    }
    bytes.append(contentsOf: more)
  }

  /// Writes as much as `fd` takes without waiting.
  ///
  /// - Returns: 0 when all was written or the descriptor would block, else the errno of the failure.
  mutating func drain(to fd: Int32) -> Int32 {
    while !isEmpty {
      let result = bytes.withUnsafeBytes { write(fd, $0.baseAddress! + start, count) }  // not empty: has a base address
      if result > 0 {
        start += result
      } else if errno == EAGAIN {
        return 0
      } else if errno != EINTR {
        return errno
      }
    }
    bytes = []
    start = 0
    return 0
  }

  mutating func removeAll() {
    bytes = []
    start = 0
  }
}
