internal import CArchive
package import Faults
internal import Glibc
internal import Linux
package import SystemPackage

/// Reads a tar archive (ustar, pax, GNU) entry by entry.
///
///     let reader = ArchiveReader(tar: DescriptorSource(descriptor))
///     while let entry = try reader.next() {
///       if entry.pathText == "manifest.json" { manifest = try reader.readAll(limit: 4 << 20) }
///     }
///
/// The input is never trusted: every limit of `ArchiveLimits` holds, names are not interpreted (that is for the caller),
/// and damaged input is a `Fault` with the code `corrupt`. A reader is used by one thread at a time.
public final class ArchiveReader {
  private let archive: OpaquePointer
  private let input: LibarchiveInput
  private let limits: ArchiveLimits
  private var isOpen = false
  private var isAtEnd = false
  private var entries = 0
  private var sizes: Int64 = 0
  /// What must stay as long as this value.
  private let owned: AnyObject?

  /// Reads `tar`, which is not compressed.
  public init(tar: any ByteSource, limits: ArchiveLimits = ArchiveLimits(), owned: AnyObject? = nil) {
    archive = archive_read_new()
    input = LibarchiveInput(tar)
    self.limits = limits
    self.owned = owned
    archive_read_support_format_tar(archive)
    archive_read_support_format_empty(archive)
  }

  deinit { archive_read_free(archive) }

  /// The next entry; nil after the last. What was not read of the entry before is skipped.
  public func next() throws -> ArchiveEntry? {
    if isAtEnd { return nil }
    try skip()
    input.headerEnd = input.delivered + Int64(limits.headerBytes)
    defer { input.headerEnd = nil }
    if !isOpen {
      guard input.open(archive) == ARCHIVE_OK else { throw input.fault(archive, "this is not a tar archive") }
      isOpen = true
    }
    var entry: OpaquePointer?
    switch archive_read_next_header(archive, &entry) {
    case ARCHIVE_OK, ARCHIVE_WARN:
      break
    case ARCHIVE_EOF:
      isAtEnd = true
      return nil
    default:
      throw input.fault(
        archive, entries == 0 ? "this is not a tar archive" : "the tar archive is damaged or was cut off")
    }
    entries += 1
    guard entries <= limits.entries else {
      throw Fault(.limitExceeded, "the archive has more than \(limits.entries) entries, which is the limit")
    }
    guard let entry else { throw input.fault(archive, "the tar archive is damaged") }
    let result = try Self.read(entry, limits)
    sizes = result.size > Int64.max - sizes ? Int64.max : sizes + max(0, result.size)
    guard sizes <= limits.expandedBytes else {
      throw Fault(
        .limitExceeded,
        "the files of the archive are larger than \(limits.expandedBytes) bytes together, which is the limit")
    }
    return result
  }

  /// Gives the entry's content piece by piece: the bytes and their offset in the file. What is between two pieces is a
  /// hole. The bytes are valid during the call only.
  public func forEachPiece(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws {
    while true {
      var start: UnsafeRawPointer?
      var count = 0
      var offset: la_int64_t = 0
      switch archive_read_data_block(archive, &start, &count, &offset) {
      case ARCHIVE_OK, ARCHIVE_WARN:
        if count > 0 { try body(UnsafeRawBufferPointer(start: start, count: count), offset) }
      case ARCHIVE_EOF:
        return
      default:
        throw input.fault(archive, "the tar archive is damaged or was cut off")
      }
    }
  }

  /// Writes the content of `entry`, which is the current one, into an empty file, holes included. Returns the bytes written.
  public func writeContent(of entry: ArchiveEntry, to file: Int32) throws -> Int64 {
    guard entry.size > 0 else { return 0 }
    var bytes: Int64 = 0
    var end: Int64 = 0
    try forEachPiece { piece, offset in
      try piece.write(to: file, at: offset, entry.path)
      bytes += Int64(piece.count)
      end = max(end, offset + Int64(piece.count))
    }
    if end < entry.size, ftruncate(file, Int(entry.size)) != 0 {
      throw Fault(unpacking: entry.path, Errno(rawValue: errno))
    }
    return bytes
  }

  /// Gives the entry's content as it would be read from the file: holes become zeros.
  public func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    var position: Int64 = 0
    try forEachPiece { bytes, offset in
      while position < offset {
        let count = Int(min(offset - position, Int64(Self.zeros.count)))
        try Self.zeros.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        position += Int64(count)
      }
      try body(bytes)
      position = offset + Int64(bytes.count)
    }
  }

  /// The entry's whole content, of at most `limit` bytes.
  public func readAll(limit: Int) throws -> [UInt8] {
    var content: [UInt8] = []
    try forEachChunk { chunk in
      guard content.count + chunk.count <= limit else {
        throw Fault(.limitExceeded, "an entry of the archive is larger than \(limit) bytes, which is the limit")
      }
      content.append(contentsOf: chunk)
    }
    return content
  }

  /// Writes the entry's content to `descriptor` from its current position on.
  public func copy(to descriptor: Int32) throws {
    try forEachChunk { chunk in
      do throws(Errno) { try Descriptors.writeAll(descriptor, chunk) } catch {
        throw Fault(writing: error, "the content of an archive entry")
      }
    }
  }

  /// Passes over what is left of the entry's content.
  public func skip() throws {
    guard entries > 0, !isAtEnd else { return }
    guard archive_read_data_skip(archive) >= ARCHIVE_WARN else {
      throw input.fault(archive, "the tar archive is damaged or was cut off")
    }
  }

  private static let zeros = [UInt8](repeating: 0, count: 64 << 10)
}

extension Fault {
  /// What it means that writing `what` failed with `error`.
  package init(writing error: Errno, _ what: String) {
    switch error {
    case .noSpace, .diskQuotaExceeded:
      self.init(.noSpace, "no space is left on the disk for \(what)", cause: ["\(error)"])
    case .readOnlyFileSystem:
      self.init(.readOnly, "\(what) cannot be written: the file system is read-only", cause: ["\(error)"])
    default:
      self.init(.internal, "\(what) cannot be written", cause: ["\(error)"])
    }
  }
}
