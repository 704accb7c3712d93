internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Writes a tar archive (ustar, with pax headers where ustar is too small; sparse files in GNU's format 1.0) to a socket,
/// pipe or file as it is made.
///
/// The content of large files goes from descriptor to descriptor inside the kernel. Written here and not by libarchive,
/// whose writer copies everything and cannot be linked without every format that it knows; what this writes is ours, what
/// libarchive reads is not.
public final class TarWriter {
  /// The bytes written so far.
  public private(set) var bytes: Int64 = 0

  /// The bytes of a plain archive of the same files, without pax headers: what people are told, as Docker tells it.
  public private(set) var plainBytes: Int64 = 1024

  private let descriptor: Int32
  private let onProgress: ((Int64) -> Void)?
  private let buffer: UnsafeMutableRawBufferPointer
  private var used = 0

  /// Above this, a file's content does not pass through the buffer.
  private static let sendLimit: Int64 = 128 << 10

  /// Writes to `descriptor`, which stays the caller's and blocks; `onProgress` gets the bytes so far, now and then.
  public init(_ descriptor: Int32, onProgress: ((Int64) -> Void)? = nil) {
    self.descriptor = descriptor
    self.onProgress = onProgress
    buffer = .allocate(byteCount: 256 << 10, alignment: 64)
  }

  deinit { buffer.deallocate() }

  /// Writes an entry without content.
  public func write(_ entry: ArchiveEntry) throws {
    var entry = entry
    entry.size = 0
    plainBytes += 512
    try put(TarHeader.bytes(entry).header)
  }

  /// Writes a file with the content of the open plain file `file`, holes left out.
  ///
  /// - Parameter blocks: what the file takes on disk, in units of 512 bytes: with less than its size it has holes.
  package func write(_ entry: ArchiveEntry, content file: Int32, blocks: UInt64 = .max) throws {
    plainBytes += 512 + (entry.size + 511) / 512 * 512
    if entry.size > 0, blocks < (entry.size + 511) / 512, let segments = Self.segments(file, entry.size) {
      let (header, map) = TarHeader.bytes(entry, segments: segments)
      try put(header)
      try put(map)
      var count: Int64 = 0
      for segment in segments {
        try copy(file, segment.offset, segment.count, entry)
        count += segment.count
      }
      return try put(TarHeader.padding(count))
    }
    try put(TarHeader.bytes(entry).header)
    try copy(file, 0, entry.size, entry)
    try put(TarHeader.padding(entry.size))
  }

  /// Writes a file with the content `content`, as long as the entry says.
  package func write(_ entry: ArchiveEntry, bytes content: [UInt8]) throws {
    plainBytes += 512 + (entry.size + 511) / 512 * 512
    try put(TarHeader.bytes(entry).header)
    try put(content)
    try put(TarHeader.padding(entry.size))
  }

  /// Ends the archive: two blocks of zeros.
  public func finish() throws {
    try put([UInt8](repeating: 0, count: 1024))
    try flush()
  }

  /// Writes what waits.
  func flush() throws {
    guard used > 0 else { return }
    try send(UnsafeRawBufferPointer(rebasing: buffer[..<used]))
    used = 0
  }

  private func put(_ bytes: [UInt8]) throws {
    if used + bytes.count > buffer.count { try flush() }
    try bytes.withUnsafeBytes { bytes in
      if bytes.count > buffer.count { return try send(bytes) }
      UnsafeMutableRawBufferPointer(rebasing: buffer[used...]).copyMemory(from: bytes)
      used += bytes.count
    }
  }

  private func send(_ bytes: UnsafeRawBufferPointer) throws {
    do throws(Errno) { try Descriptors.writeAll(descriptor, bytes) } catch { throw Self.fault(error) }
    self.bytes += Int64(bytes.count)
    onProgress?(self.bytes)
  }

  /// `count` bytes of `file` from `offset` on, which must be there.
  private func copy(_ file: Int32, _ offset: Int64, _ count: Int64, _ entry: ArchiveEntry) throws {
    var position = off_t(offset)
    let end = off_t(offset + count)
    if count > Self.sendLimit {
      try flush()
      while position < end {
        let sent = sendfile(descriptor, file, &position, min(Int(end - position), 16 << 20))
        if sent > 0 {
          bytes += Int64(sent)
          onProgress?(bytes)
          continue
        }
        if sent == 0 { throw Self.shorter(entry) }
        if errno == EINTR { continue }
        // The file system or the output cannot do it inside the kernel.
        if errno == EINVAL || errno == ENOSYS { break }
        throw Self.fault(Errno(rawValue: errno))
      }
    }
    while position < end {
      if used == buffer.count { try flush() }
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer[used...])
      let got = pread(file, room.baseAddress, min(room.count, Int(end - position)), position)
      if got < 0, errno == EINTR { continue }
      if got < 0 {
        throw Fault(.internal, "\(entry.pathText) cannot be read", cause: ["\(Errno(rawValue: errno))"])
      }
      if got == 0 { throw Self.shorter(entry) }
      used += got
      position += off_t(got)
    }
  }

  private static func shorter(_ entry: ArchiveEntry) -> Fault {
    Fault(.conflict, "\(entry.pathText) became shorter while it was read: copy it again")
  }

  private static func fault(_ error: Errno) -> Fault {
    switch error {
    case .brokenPipe, .connectionReset:
      Fault(.cancelled, "nobody reads the archive any more", cause: ["\(error)"])
    case .resourceTemporarilyUnavailable:
      Fault(.deadlineExceeded, "the archive was not read for too long, and was given up")
    default: Fault(writing: error, "the archive")
    }
  }

  /// The parts of `file` that hold data; nil when the file system does not tell, or tells of no hole. Of a file in very many
  /// pieces the end counts as one.
  package static func segments(_ file: Int32, _ size: Int64) -> [TarHeader.Segment]? {
    var segments: [TarHeader.Segment] = []
    var position: Int64 = 0
    while position < size {
      let start = lseek(file, off_t(position), 3)  // SEEK_DATA
      if start < 0 {
        guard errno == ENXIO else { return nil }
        break
      }
      guard Int64(start) < size else { break }
      let end = segments.count < 4095 ? lseek(file, start, 4) : off_t(size)  // SEEK_HOLE
      guard end > start else { return nil }
      segments.append(.init(offset: Int64(start), count: min(Int64(end), size) - Int64(start)))
      position = Int64(end)
    }
    if segments == [.init(offset: 0, count: size)] { return nil }
    // A file that ends with a hole is given its length by an empty part, as GNU tar does.
    if segments.last.map({ $0.offset + $0.count < size }) ?? true { segments.append(.init(offset: size, count: 0)) }
    return segments
  }
}
