internal import Glibc

/// The log file of one container, and its older parts `PATH.1` to `PATH.N`.
///
/// Writing never blocks the container on a full disk: entries that do not fit are dropped, a torn one is cut off, and the
/// first entry after space came back says how many are missing.
public final class RotatingLog {
  /// The path of the newest part.
  public let path: String
  private let maxSize: Int
  private let maxFiles: Int
  private let attributes: String
  private var fd: Int32 = -1
  private var size = 0
  /// Entries and bytes that could not be written since the last that could.
  public private(set) var dropped = (entries: 0, bytes: 0, error: Int32(0))
  /// Called after the newest part was moved away and a new one begun.
  public var onRotate: (() -> Void)?

  /// Opens (or makes, 0640) the log. `maxSize` 0 or less means no rotation; `maxFiles` counts the newest part.
  public init(path: String, maxSize: Int, maxFiles: Int, attributes: String = "") {
    self.path = path
    self.maxSize = maxSize
    self.maxFiles = max(maxFiles, 1)
    self.attributes = attributes
    open(truncate: false)
  }

  deinit { if fd >= 0 { close(fd) } }

  /// Writes whole entries, rotating after the entry that takes the file to its maximum size, as Docker does.
  public func write(_ entries: UnsafeRawBufferPointer) {
    if dropped.entries > 0 { reportDropped() }
    guard var cursor = entries.baseAddress else { return }
    let end = cursor + entries.count
    while cursor < end {
      if maxSize > 0 && size >= maxSize { rotate() }
      var length = end - cursor
      if maxSize > 0 && size + length > maxSize {
        let from = max(maxSize - size - 1, 0)
        if let newline = memchr(cursor + from, 10, length - from) {
          length = newline - UnsafeMutableRawPointer(mutating: cursor) + 1
        }
      }
      writeAll(UnsafeRawBufferPointer(start: cursor, count: length))
      cursor += length
    }
  }

  private func open(truncate: Bool) {
    if fd >= 0 { close(fd) }
    let flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (truncate ? O_TRUNC : 0)
    fd = Glibc.open(path, flags, 0o640)
    size = 0
    guard fd >= 0 else { return }
    var status = stat()
    guard fstat(fd, &status) == 0, status.st_size > 0 else { return }
    size = Int(status.st_size)
    // A crash may have left half an entry: end its line, so that only that one entry cannot be read.
    var last: UInt8 = 10
    if pread(fd, &last, 1, off_t(size - 1)) == 1, last != 10, Glibc.write(fd, "\n", 1) == 1 { size += 1 }
  }

  private func rotate() {
    if maxFiles == 1 {
      open(truncate: true)
    } else {
      for number in stride(from: maxFiles - 1, through: 1, by: -1) {
        rename(number == 1 ? path : "\(path).\(number - 1)", "\(path).\(number)")
      }
      open(truncate: false)
    }
    onRotate?()
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    if fd < 0 { open(truncate: false) }
    var done = 0
    while done < bytes.count {
      let count = fd < 0 ? -1 : Glibc.write(fd, base + done, bytes.count - done)
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
    var whole = written
    while whole > 0 && bytes[whole - 1] != 10 { whole -= 1 }
    if whole < written && fd >= 0 { ftruncate(fd, off_t(size + whole)) }
    size += whole
    dropped.entries += bytes[whole...].reduce(into: 0) { count, byte in if byte == 10 { count += 1 } }
    dropped.bytes += bytes.count - whole
    dropped.error = error
  }

  private func reportDropped() {
    let (entries, bytes, error) = dropped
    let reason = String(cString: strerror(error))
    let attrs = attributes.isEmpty ? "" : ",\"attrs\":\(attributes)"
    let text = "gantry: \(entries) log entries (\(bytes) bytes) were dropped: \(reason)\\n"
    let line = "{\"log\":\"\(text)\",\"stream\":\"stderr\"\(attrs),\"time\":\"\(LogTime.now().text)\"}\n"
    dropped = (0, 0, 0)
    Array(line.utf8).withUnsafeBytes { writeAll($0) }
    if dropped.entries > 0 { dropped = (entries, bytes, error) }  // the notice itself did not fit
  }
}
