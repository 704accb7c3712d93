internal import Dispatch
public import Faults
public import FoundationEssentials
internal import Glibc
public import OCI
public import SystemPackage

/// One blob while it is written: `append` … then `finish` or `cancel`. Not to be shared between threads.
///
/// Pieces are gathered in a few large buffers. A full buffer is hashed on a queue of its own while this thread writes it,
/// so the slower of sha256 and the disk sets the speed. Large blobs bypass the page cache (O_DIRECT) where the file system
/// can: they are read once more at most, and a cold page costs more than the copy (measured: 1.7 GB/s direct, 0.4 GB/s
/// through fresh page cache). Memory: `bufferSize` × `bufferCount` at most, nothing for blobs below `bufferSize`.
public final class Ingest {
  static let bufferSize = 2 << 20
  static let bufferCount = 4
  /// What O_DIRECT asks of addresses, offsets and lengths; no block device has larger logical blocks.
  static let alignment = 4096

  /// O_DIRECT, whose number is the processor's; Glibc's macro is behind _GNU_SOURCE, which Swift does not set.
  #if arch(arm64) || arch(arm)
    static let directFlag: Int32 = 0o200000
  #else
    static let directFlag: Int32 = 0o40000
  #endif

  private let path: FilePath
  private let file: FileDescriptor
  private let algorithm: Digest.Algorithm
  private var hashing: BackgroundHash
  private var buffers: [UnsafeMutableRawPointer] = []
  private var current = 0
  private var filled = 0
  private var direct = false
  private var open = true
  private var written: Int64 = 0
  /// The bytes that were appended.
  public private(set) var size: Int64 = 0

  init(path: FilePath, algorithm: Digest.Algorithm) throws(Fault) {
    self.path = path
    self.algorithm = algorithm
    file = try Fault.mapping("make the ingest file", path) {
      try FileDescriptor.open(
        path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec, .noFollow],
        permissions: [.ownerReadWrite])
    }
    hashing = BackgroundHash(algorithm)
  }

  deinit {
    hashing.drain()
    for buffer in buffers { buffer.deallocate() }
    if open { abandon() }
  }

  /// Adds `bytes`. Throws `noSpace` or `readOnly`; the ingest is then of no more use.
  public func append(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
    var rest = bytes
    while !rest.isEmpty {
      if buffers.isEmpty { addBuffer() }
      let count = min(rest.count, Self.bufferSize - filled)
      buffers[current].advanced(by: filled).copyMemory(from: rest.baseAddress!, byteCount: count)
      filled += count
      size += Int64(count)
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      if filled == Self.bufferSize { try flush() }
    }
  }

  /// Ends the blob: waits for the hash, checks digest and size, and puts the file on disk. It stays invisible until
  /// `ContentStore.publish`.
  ///
  /// Throws `corrupt` when the content is not what was expected; the file is then gone.
  public func finish(expected: Digest? = nil, expectedSize: Int64? = nil) throws(Fault) -> StagedBlob {
    if filled > 0 {
      hashing.start(UnsafeRawBufferPointer(start: buffers[current], count: filled))
      try writeRest()
    }
    let digest = hashing.finish()
    if let expectedSize, expectedSize != size {
      throw Fault(.corrupt, "the blob \(expected ?? digest) has \(size) bytes instead of \(expectedSize)")
    }
    if let expected, expected != digest {
      throw Fault(.corrupt, "the content that should be \(expected) is \(digest)")
    }
    try Fault.mapping("write the ingest file", path) {
      guard fdatasync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
      try file.close()
    }
    open = false
    return StagedBlob(path: path, digest: digest, size: size)
  }

  /// Gives the blob up; its file is removed.
  public func cancel() {
    guard open else { return }
    hashing.drain()
    abandon()
  }

  private func abandon() {
    open = false
    try? file.close()
    unlink(path.string)
  }

  private func addBuffer() {
    buffers.append(.allocate(byteCount: Self.bufferSize, alignment: Self.alignment))
  }

  /// Hashes and writes the full current buffer and makes another one current.
  private func flush() throws(Fault) {
    let full = UnsafeRawBufferPointer(start: buffers[current], count: Self.bufferSize)
    hashing.start(full)
    if !direct {
      // The first full buffer shows that the blob is large. A file system that cannot do it says so here, or at the write.
      let flags = fcntl(file.rawValue, F_GETFL)
      direct = size == Int64(Self.bufferSize) && fcntl(file.rawValue, F_SETFL, flags | Self.directFlag) == 0
    }
    try write(full)
    if buffers.count < Self.bufferCount {
      addBuffer()
      current = buffers.count - 1
    } else {
      current = (current + 1) % Self.bufferCount
      hashing.wait(outstanding: Self.bufferCount - 1)
    }
    filled = 0
  }

  /// The last, partly filled buffer: without O_DIRECT, whose lengths are whole blocks.
  private func writeRest() throws(Fault) {
    if direct { leaveDirect() }
    try write(UnsafeRawBufferPointer(start: buffers[current], count: filled))
    filled = 0
  }

  private func leaveDirect() {
    _ = fcntl(file.rawValue, F_SETFL, fcntl(file.rawValue, F_GETFL) & ~Self.directFlag)
    direct = false
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
    do {
      try file.writeAll(toAbsoluteOffset: written, bytes)
    } catch let error as Errno where error == .invalidArgument && direct {
      leaveDirect()
      try Fault.mapping("write the ingest file", path) {
        _ = try file.writeAll(toAbsoluteOffset: written, bytes)
      }
    } catch {
      throw Fault((error as? Errno) ?? .ioError, "write the ingest file", path)
    }
    written += Int64(bytes.count)
  }
}

/// A blob that is whole, verified and on disk, but not yet visible. Its file is removed unless it was published, or came by a
/// transfer that can be resumed (`PartialBlob`).
public final class StagedBlob: Sendable {
  /// The content's hash.
  public let digest: Digest
  /// The content's length in bytes.
  public let size: Int64
  /// The file, until it is published.
  public let path: FilePath

  /// Whether the file stays when the blob is not published: the next pull need not fetch it again.
  private let isKept: Bool

  init(path: FilePath, digest: Digest, size: Int64, isKept: Bool = false) {
    self.path = path
    self.digest = digest
    self.size = size
    self.isKept = isKept
  }

  deinit { if !isKept { discard() } }

  /// Removes the file, if it was not published.
  public func discard() { unlink(path.string) }

  /// The first bytes, `count` unless the blob is shorter.
  public func head(_ count: Int) throws(Fault) -> Data { try StoredFile.head(path, count) }

  /// The last bytes, `count` unless the blob is shorter.
  public func tail(_ count: Int) throws(Fault) -> Data { try StoredFile.tail(path, count) }

  /// All bytes of a blob that is a document; throws `limitExceeded` when there are more than `limit`.
  public func read(limit: Int) throws(Fault) -> Data {
    guard size <= limit else {
      throw Fault(.limitExceeded, "the blob \(digest) has \(size) bytes; at most \(limit) are read")
    }
    return try StoredFile.read(path, limit: limit)
  }

  func move(to target: FilePath) throws(Fault) {
    guard rename(path.string, target.string) == 0 else {
      throw Fault(Errno(rawValue: errno), "publish the blob", target)
    }
  }
}

/// A hash that works through buffers in order on a queue of its own; small content is hashed where it is.
private final class BackgroundHash {
  private let queue = DispatchQueue(label: "gantry.ingest.hash", qos: .userInitiated)
  private let done = DispatchSemaphore(value: 0)
  private let state: Hasher
  private var outstanding = 0

  /// Unchecked: only blocks on `queue`, and `finish` after it has drained, touch it.
  private final class Hasher: @unchecked Sendable {
    var hash: ContentHasher
    init(_ algorithm: Digest.Algorithm) { hash = ContentHasher(algorithm) }
  }

  /// Unchecked: the ingest keeps the memory as it is until the hash is through it (`wait`, `drain`).
  private struct Piece: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
  }

  init(_ algorithm: Digest.Algorithm) { state = Hasher(algorithm) }

  /// Hashes `bytes` after all that came before; they must not change until `wait` or `drain` says so.
  func start(_ bytes: UnsafeRawBufferPointer) {
    if bytes.count < 64 << 10, outstanding == 0 {
      state.hash.update(bytes)
      return
    }
    let piece = Piece(bytes: bytes)
    outstanding += 1
    queue.async { [state, done] in
      state.hash.update(piece.bytes)
      done.signal()
    }
  }

  /// Returns when at most `outstanding` pieces are unfinished.
  func wait(outstanding most: Int) {
    while outstanding > most {
      done.wait()
      outstanding -= 1
    }
  }

  func drain() { wait(outstanding: 0) }

  func finish() -> Digest {
    drain()
    return state.hash.finish()
  }
}
