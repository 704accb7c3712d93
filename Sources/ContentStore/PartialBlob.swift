public import Faults
internal import Glibc
public import OCI
public import SystemPackage

/// A blob of known digest while it is fetched: a file that only ever grows at its end, so that what is there is always the
/// beginning of the blob. It stays when the transfer or the service ends, and the next transfer goes on behind it.
///
/// Others may read the file while it grows. Not to be shared between threads.
public final class PartialBlob {
  /// Beginnings of blobs that nobody asked for again for so long are removed.
  static let keptSeconds = 7 * 86_400
  /// From this size on the page cache is bypassed (see `Ingest`).
  static let directSize: Int64 = 2 << 20

  /// The file.
  public let path: FilePath
  /// What the whole must be.
  public let digest: Digest
  /// The whole's length.
  public let size: Int64
  /// The bytes that are there; the next ones are appended behind them.
  public private(set) var count: Int64 = 0
  /// How many of them were there from an earlier transfer.
  public private(set) var resumed: Int64 = 0

  private var file: FileDescriptor
  private var hash: ContentHasher
  private var isDirect = false
  private var isOpen = true

  init(path: FilePath, digest: Digest, size: Int64) throws(Fault) {
    self.path = path
    self.digest = digest
    self.size = size
    hash = ContentHasher(digest.algorithm)
    file = try Self.open(path)
  }

  deinit { if isOpen { try? file.close() } }

  private static func open(_ path: FilePath) throws(Fault) -> FileDescriptor {
    try Fault.mapping("make the ingest file", path) {
      try FileDescriptor.open(
        path, .readWrite, options: [.create, .closeOnExec, .noFollow], permissions: [.ownerReadWrite])
    }
  }

  static func name(_ digest: Digest) -> String { "\(digest.algorithm.rawValue)-\(digest.hex)" }

  /// What a file of `ingest` holds.
  enum Leftover {
    /// No beginning of a blob.
    case other
    /// A beginning that a transfer can go on from, or goes on from now.
    case fresh(bytes: Int64)
    /// One that nobody asked for again.
    case old(bytes: Int64)
  }

  static func leftover(_ path: FilePath) -> Leftover {
    let parts = (path.lastComponent?.string ?? "").split(separator: "-", maxSplits: 1)
    guard parts.count == 2, (try? Digest(parsing: "\(parts[0]):\(parts[1])")) != nil else { return .other }
    var status = stat()
    guard lstat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return .other }
    let bytes = Int64(status.st_size)
    return time(nil) - status.st_mtim.tv_sec < keptSeconds ? .fresh(bytes: bytes) : .old(bytes: bytes)
  }

  /// Hashes what an earlier transfer left, of which only whole disk blocks count. Blocks; to be called once, first.
  public func resume() throws(Fault) {
    try Fault.mapping("read the ingest file", path) {
      var length = try file.seek(offset: 0, from: .end)
      if length > size { length = 0 }
      if length < size { length -= length % Int64(Ingest.alignment) }
      guard ftruncate(file.rawValue, off_t(length)) == 0 else { throw Errno(rawValue: errno) }
      // It is asked for again: its time begins anew.
      guard futimens(file.rawValue, nil) == 0 else { throw Errno(rawValue: errno) }
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: Ingest.alignment)
      defer { buffer.deallocate() }
      while count < length {
        let read = try file.read(fromAbsoluteOffset: count, into: buffer)
        guard read > 0 else { break }
        hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
        count += Int64(read)
      }
      resumed = count
      if size >= Self.directSize {
        isDirect = fcntl(file.rawValue, F_SETFL, fcntl(file.rawValue, F_GETFL) | Ingest.directFlag) == 0
      }
    }
  }

  /// Adds `bytes`, whose memory must be aligned as O_DIRECT asks; but at the end of the blob they are whole disk blocks.
  public func append(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
    guard count + Int64(bytes.count) <= size else {
      throw Fault(.corrupt, "the blob \(digest) has more than its \(size) bytes")
    }
    hash.update(bytes)
    if isDirect, bytes.count % Ingest.alignment != 0 { leaveDirect() }
    do {
      try file.writeAll(toAbsoluteOffset: count, bytes)
    } catch let error as Errno where error == .invalidArgument && isDirect {
      leaveDirect()
      try Fault.mapping("write the ingest file", path) { _ = try file.writeAll(toAbsoluteOffset: count, bytes) }
    } catch {
      throw Fault((error as? Errno) ?? .ioError, "write the ingest file", path)
    }
    count += Int64(bytes.count)
  }

  private func leaveDirect() {
    _ = fcntl(file.rawValue, F_SETFL, fcntl(file.rawValue, F_GETFL) & ~Ingest.directFlag)
    isDirect = false
  }

  /// Ends the whole blob: checks its digest and puts the file on disk.
  ///
  /// Throws `corrupt` when the content is not what it should be; the file is then gone.
  public func finish() throws(Fault) -> StagedBlob {
    let found = hash.finish()
    guard count == size else {
      throw Fault(.corrupt, "the blob \(digest) has \(count) bytes instead of \(size)")
    }
    guard found == digest else {
      unlink(path.string)
      throw Fault(.corrupt, "the content that should be \(digest) is \(found)")
    }
    try Fault.mapping("write the ingest file", path) {
      guard fdatasync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
      isOpen = false
      try file.close()
    }
    return StagedBlob(path: path, digest: digest, size: size, isKept: true)
  }

  /// Begins again with an empty file of its own: whoever reads the old one sees that it is gone.
  public func restart() throws(Fault) {
    unlink(path.string)
    try? file.close()
    isOpen = false
    file = try Self.open(path)
    isOpen = true
    isDirect = false
    hash = ContentHasher(digest.algorithm)
    count = 0
    resumed = 0
    try resume()
  }
}
