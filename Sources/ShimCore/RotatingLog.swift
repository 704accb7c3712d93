internal import Glibc
internal import LogFormat

/// The log file of one container, and its older parts `PATH.1` to `PATH.N`, which may have become `PATH.1.gz` ….
///
/// Writing never blocks the container on a full disk: entries that do not fit are dropped, a torn one is cut off, and the
/// first entry after space came back says how many are missing.
public final class RotatingLog {
  /// The path of the newest part.
  public let path: String
  private let format: LogFileFormat
  private let maxSize: Int
  private let maxFiles: Int
  private let attributes: String
  private(set) var fd: Int32 = -1
  private var size = 0
  /// How many bytes all parts before the newest held; kept with records alone.
  private var base: UInt64 = 0
  /// Entries and bytes that could not be written since the last that could.
  public private(set) var dropped = (entries: 0, bytes: 0, error: Int32(0))
  /// Called after the newest part was moved away and a new one begun.
  public var onRotate: (() -> Void)?

  /// Opens (or makes, 0640) the log. `maxSize` 0 or less means no rotation; `maxFiles` counts the newest part.
  public init(
    path: String, maxSize: Int, maxFiles: Int, format: LogFileFormat = .lines, attributes: String = ""
  ) {
    self.path = path
    self.format = format
    self.maxSize = maxSize
    self.maxFiles = max(maxFiles, 1)
    self.attributes = attributes
    open(truncate: false)
  }

  deinit { if fd >= 0 { close(fd) } }

  /// The place of the next record among all that were ever written.
  var position: UInt64 { base + UInt64(size) }

  /// What is still in the file and its parts, wherever the next rotation falls: the oldest part may go at any moment.
  var keptBytes: Int { maxSize <= 0 ? .max : maxSize * (maxFiles - 1) }

  /// Numbers of the parts that lie there uncompressed, the oldest first.
  var uncompressedParts: [Int] { (1..<max(maxFiles, 1)).reversed().filter { access(part($0), F_OK) == 0 } }

  /// The path of the older part `number`.
  func part(_ number: Int) -> String { "\(path).\(number)" }

  /// Writes whole entries, rotating after the entry that takes the file to its maximum size, as Docker does.
  public func write(_ entries: UnsafeRawBufferPointer) {
    if dropped.entries > 0 { reportDropped() }
    var rest = entries
    while !rest.isEmpty {
      if maxSize > 0 && size >= maxSize { rotate() }
      var length = rest.count
      if maxSize > 0 && size + length > maxSize {
        length = format.entryEnd(rest, from: max(maxSize - size - 1, 0))
      }
      writeAll(UnsafeRawBufferPointer(rebasing: rest[..<length]))
      rest = UnsafeRawBufferPointer(rebasing: rest[length...])
    }
  }

  private func open(truncate: Bool) {
    if fd >= 0 { close(fd) }
    let flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (truncate ? O_TRUNC : 0)
    fd = Glibc.open(path, flags, 0o640)
    size = 0
    guard fd >= 0 else { return }
    var status = stat()
    guard fstat(fd, &status) == 0 else { return }
    size = Int(status.st_size)
    switch format {
    case .lines: mendLines()
    case .records: mendRecords()
    }
  }

  /// A crash may have left half an entry: its line is ended, so that only that one entry cannot be read.
  private func mendLines() {
    guard size > 0 else { return }
    var last: UInt8 = 10
    if pread(fd, &last, 1, off_t(size - 1)) == 1, last != 10, Glibc.write(fd, "\n", 1) == 1 { size += 1 }
  }

  /// Half a record at the end is cut off; a file without a header is begun.
  private func mendRecords() {
    if size > 0, let found = LogRecord.wholeEnd(of: fd, size: size) {
      base = found.header.base
      if found.end < size, ftruncate(fd, off_t(found.end)) == 0 { size = found.end }
      return
    }
    if size > 0 {
      // No log of this format: its bytes are set aside, not mixed with ours.
      rename(path, path + ".unreadable")
      return open(truncate: false)
    }
    let header = LogRecord.header(base: base, attributes: Array(attributes.utf8))
    if header.withUnsafeBytes({ Glibc.write(fd, $0.baseAddress, $0.count) }) == header.count {
      size = header.count
    } else {
      ftruncate(fd, 0)  // a full disk: the header comes with the first entry that fits
    }
  }

  private func rotate() {
    base += UInt64(size)
    if maxFiles == 1 {
      open(truncate: true)
    } else {
      for name in [part(maxFiles - 1), part(maxFiles - 1) + ".gz"] { unlink(name) }
      for number in stride(from: maxFiles - 1, through: 2, by: -1) {
        for suffix in ["", ".gz"] { rename(part(number - 1) + suffix, part(number) + suffix) }
      }
      rename(path, part(1))
      open(truncate: false)
    }
    onRotate?()
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    if fd < 0 { open(truncate: false) } else if size == 0, case .records = format { mendRecords() }
    if size == 0, case .records = format { return drop(bytes, written: 0, error: ENOSPC) }
    var done = 0
    while done < bytes.count {
      let count = fd < 0 ? -1 : Glibc.write(fd, start + done, bytes.count - done)
      if count > 0 {
        done += count
        continue
      }
      if count < 0 && errno == EINTR { continue }
      drop(bytes, written: done, error: count < 0 ? errno : ENOSPC)
      return
    }
    size += done
  }

  /// Cuts off the torn entry at the end of `written` bytes and counts it and all after it as dropped.
  private func drop(_ bytes: UnsafeRawBufferPointer, written: Int, error: Int32) {
    let whole = format.wholePrefix(bytes, of: written)
    if whole < written && fd >= 0 { ftruncate(fd, off_t(size + whole)) }
    size += whole
    dropped.entries += format.entries(UnsafeRawBufferPointer(rebasing: bytes[whole...]))
    dropped.bytes += bytes.count - whole
    dropped.error = error
  }

  private func reportDropped() {
    let (entries, bytes, error) = dropped
    let reason = String(cString: strerror(error))
    let notice = format.notice(
      "gantry: \(entries) log entries (\(bytes) bytes) were dropped: \(reason)", attributes: attributes)
    dropped = (0, 0, 0)
    notice.withUnsafeBytes { writeAll($0) }
    if dropped.entries > 0 { dropped = (entries, bytes, error) }  // the notice itself did not fit
  }
}
