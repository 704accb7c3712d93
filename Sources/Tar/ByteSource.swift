internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// A stream of bytes that is pulled chunk by chunk: a file, a pipe, a decompressor on top of another source.
///
/// A source is used by one thread at a time; a chunk is valid until the next call.
public protocol ByteSource: AnyObject {
  /// The next bytes, as many as come cheaply; an empty buffer at the end, and from then on.
  func next() throws -> UnsafeRawBufferPointer
}

/// The bytes of an open file, pipe or socket from its current position on. The descriptor stays the caller's.
public final class DescriptorSource: ByteSource {
  private let descriptor: Int32
  private let buffer: UnsafeMutableRawBufferPointer
  private let name: String
  private var isAtEnd = false

  /// Reads `descriptor`, which must stay open as long as this value is used.
  ///
  /// - Parameters:
  ///   - name: what is read, for messages.
  ///   - chunkSize: the most that one call returns, in bytes.
  public init(_ descriptor: Int32, name: String = "the input", chunkSize: Int = 256 << 10) {
    self.descriptor = descriptor
    self.name = name
    buffer = .allocate(byteCount: chunkSize, alignment: 64)
    _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
  }

  deinit { buffer.deallocate() }

  public func next() throws -> UnsafeRawBufferPointer {
    if isAtEnd { return UnsafeRawBufferPointer(start: nil, count: 0) }
    do throws(Errno) {
      let count = try Descriptors.read(descriptor, into: buffer)
      isAtEnd = count == 0
      return UnsafeRawBufferPointer(rebasing: buffer[..<count])
    } catch .resourceTemporarilyUnavailable {
      throw Fault(.deadlineExceeded, "\(name) stood still for too long, and was given up")
    } catch {
      throw Fault(.internal, "\(name) cannot be read", cause: ["\(error)"])
    }
  }
}

/// Bytes that a closure brings: the way into an archive for anything that is not a file.
public final class ClosureSource: ByteSource {
  private let body: () throws -> [UInt8]
  private var chunk: UnsafeMutableRawBufferPointer?

  /// Calls `body` for every chunk; an empty array ends the stream.
  public init(_ body: @escaping () throws -> [UInt8]) { self.body = body }

  /// The bytes of `bytes`, in chunks of at most `chunkSize`.
  public convenience init(bytes: [UInt8], chunkSize: Int = 64 << 10) {
    var position = 0
    self.init {
      let end = min(position + chunkSize, bytes.count)
      defer { position = end }
      return Array(bytes[position..<end])
    }
  }

  deinit { chunk?.deallocate() }

  public func next() throws -> UnsafeRawBufferPointer {
    let bytes = try body()
    chunk?.deallocate()
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    copy.copyBytes(from: bytes)
    chunk = copy
    return UnsafeRawBufferPointer(copy)
  }
}
