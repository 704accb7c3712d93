internal import CLinux
internal import Glibc
public import SystemPackage

/// A file descriptor with exactly one owner: closed when the value ends, and never twice.
///
/// Lend `rawValue` to a call; give the descriptor away with `take()`.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The descriptor's number, valid as long as this value lives.
  public let rawValue: Int32

  /// Takes ownership of `descriptor`.
  @inlinable
  public init(_ descriptor: Int32) { rawValue = descriptor }

  /// The number, which the caller now owns.
  public consuming func take() -> Int32 {
    let descriptor = rawValue
    discard self
    return descriptor
  }

  /// A second, close-on-exec descriptor of the same open file.
  public borrowing func duplicate() throws(Errno) -> OwnedDescriptor {
    OwnedDescriptor(try check(cl_dup_from(rawValue, 3)))
  }

  deinit {
    if rawValue >= 0 { Glibc.close(rawValue) }
  }
}

/// Numbers and flags of descriptors that somebody else owns.
public enum Descriptors {
  /// Closes `descriptor`; errors of close say nothing that a caller could act on (the number is gone either way).
  public static func close(_ descriptor: Int32) {
    if descriptor >= 0 { Glibc.close(descriptor) }
  }

  /// Whether reads and writes return `EAGAIN` instead of waiting. A flag of the open file, shared by its duplicates.
  public static func setNonBlocking(_ descriptor: Int32, _ on: Bool) throws(Errno) {
    try check(cl_set_nonblocking(descriptor, on ? 1 : 0))
  }

  /// Whether exec closes the descriptor.
  public static func setCloseOnExec(_ descriptor: Int32, _ on: Bool) throws(Errno) {
    try check(cl_set_cloexec(descriptor, on ? 1 : 0))
  }

  /// A pair of connected ends, both close-on-exec: what is written to `write` can be read from `read`.
  public static func pipe(nonBlocking: Bool = false) throws(Errno) -> Pipe {
    var ends: (Int32, Int32) = (-1, -1)
    try withUnsafeMutableBytes(of: &ends) { bytes throws(Errno) in
      _ = try check(
        cl_pipe(
          bytes.baseAddress!.assumingMemoryBound(to: Int32.self), O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0)))
    }
    return Pipe(read: OwnedDescriptor(ends.0), write: OwnedDescriptor(ends.1))
  }

  /// Closes (or, with `closeOnExec`, marks) every descriptor from `first` on.
  public static func closeAll(from first: Int32, closeOnExec: Bool = false) throws(Errno) {
    try check(cl_close_range(UInt32(first), UInt32.max, closeOnExec ? UInt32(CL_CLOSE_RANGE_CLOEXEC) : 0))
  }

  /// Up to `buffer.count` bytes; 0 at the end of input. Interrupted reads are repeated.
  public static func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno != EINTR { throw Errno(rawValue: errno) }
    }
  }

  /// Writes what the descriptor takes of `bytes` and returns how much that was. Interrupted writes are repeated.
  public static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    while true {
      let count = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      if count >= 0 { return count }
      if errno != EINTR { throw Errno(rawValue: errno) }
    }
  }

  /// Writes all of `bytes` to a blocking descriptor.
  public static func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
    var rest = bytes
    while !rest.isEmpty {
      let count = try write(descriptor, rest)
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }
}

/// The two ends of a pipe.
@frozen public struct Pipe: ~Copyable {
  /// The end to read from.
  public var read: OwnedDescriptor
  /// The end to write to.
  public var write: OwnedDescriptor

  /// Takes both ends.
  public init(read: consuming OwnedDescriptor, write: consuming OwnedDescriptor) {
    self.read = read
    self.write = write
  }
}
