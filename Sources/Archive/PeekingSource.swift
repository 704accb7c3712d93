internal import Tar

/// A source whose first bytes can be looked at before they are read.
final class PeekingSource: ByteSource {
  private let upstream: any ByteSource
  private var head: UnsafeMutableRawBufferPointer?
  private var isHeadGiven = false

  init(_ upstream: any ByteSource) { self.upstream = upstream }

  deinit { head?.deallocate() }

  /// The first bytes, at least `count` unless the stream is shorter. To be called before `next`.
  func peek(_ count: Int) throws -> UnsafeRawBufferPointer {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let chunk = try upstream.next()
      if chunk.isEmpty { break }
      bytes.append(contentsOf: chunk)
    }
    let head = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    head.copyBytes(from: bytes)
    self.head = head
    return UnsafeRawBufferPointer(head)
  }

  func next() throws -> UnsafeRawBufferPointer {
    if let head, !isHeadGiven {
      isHeadGiven = true
      if !head.isEmpty { return UnsafeRawBufferPointer(head) }
    }
    return try upstream.next()
  }
}
