internal import Glibc
public import LogFormat

/// The files of one container's log: `PATH` (being written), `PATH.1` (the one before), `PATH.2` …
///
///     PATH.2.gz   oldest
///     PATH.1
///     PATH        newest
public struct LogFiles: Sendable {
  /// Path of the file that is being written.
  public let path: String

  /// The files of the log at `path`, of which none need exist.
  public init(path: String) { self.path = path }

  /// Opens the files that exist, oldest first. A rotation meanwhile is noticed by inode: no file is returned twice.
  public func open() -> [LogFile] {
    for _ in 0..<5 {
      var files: [LogFile] = []
      var index = 0
      while let file = LogFile(part: index, of: path) {
        if files.contains(where: { $0.inode == file.inode }) { break }
        files.append(file)
        index += 1
      }
      // The newest must still be the newest, else everything has moved by one while it was opened.
      if let newest = files.first, newest.inode != LogFile.inode(of: path) { continue }
      return files.reversed()
    }
    return LogFile(part: 0, of: path).map { [$0] } ?? []
  }

  /// The file that follows `file`: nil while that one is the newest.
  public func successor(of file: LogFile) -> LogFile? {
    guard let newest = LogFile.inode(of: path), newest != file.inode else { return nil }
    let files = open()
    if let position = files.firstIndex(where: { $0.holdsTheSame(as: file) }) {
      return position + 1 < files.count ? files[position + 1] : nil
    }
    return files.first  // it was rotated away altogether: go on with the oldest that is left
  }
}

/// One opened log file. One that was compressed is read from a copy without a name, made when it is first needed.
public final class LogFile {
  /// How its entries look.
  public enum Content {
    /// Docker's json-file.
    case lines
    /// `LogRecord`.
    case records(LogRecord.Header)
  }

  private var descriptor: Int32
  private let folder: String
  private let compressed: Bool
  private var inflated = false
  private var known: Content?
  /// The file's number in its file system.
  public let inode: UInt64
  /// Where the next read begins.
  public var offset: Int64 = 0
  /// Where reading ends, for one that does not follow.
  public var limit = Int64.max

  /// Opens the `index`th file of the log at `path`, 0 being the newest; nil when there is none.
  convenience init?(part index: Int, of path: String) {
    if index == 0 {
      self.init(path: path, compressed: false, folder: Self.folder(of: path))
    } else {
      self.init(index, path)
    }
  }

  private convenience init?(_ index: Int, _ path: String) {
    let name = "\(path).\(index)"
    let whole = access(name, F_OK) == 0
    self.init(path: whole ? name : name + ".gz", compressed: !whole, folder: Self.folder(of: path))
  }

  private init?(path: String, compressed: Bool, folder: String) {
    descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    self.compressed = compressed
    self.folder = folder
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
      inode = 0
      return nil
    }
    inode = UInt64(status.st_ino)
  }

  /// Takes over an open, uncompressed file of the log at `path`.
  public init?(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    compressed = false
    folder = Self.folder(of: path)
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      inode = 0
      return nil
    }
    inode = UInt64(status.st_ino)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }

  static func inode(of path: String) -> UInt64? {
    var status = stat()
    return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Whether `other` is this file, or what it was before it was compressed: the compressed one keeps the time of the last
  /// change, and names the length.
  func holdsTheSame(as other: LogFile) -> Bool {
    if inode == other.inode { return true }
    guard compressed, !inflated, !other.compressed else { return false }
    var (mine, theirs) = (stat(), stat())
    guard fstat(descriptor, &mine) == 0, fstat(other.descriptor, &theirs) == 0,
      mine.st_mtim.tv_sec == theirs.st_mtim.tv_sec, mine.st_mtim.tv_nsec == theirs.st_mtim.tv_nsec
    else { return false }
    var length: UInt32 = 0
    return pread(descriptor, &length, 4, mine.st_size - 4) == 4
      && UInt32(littleEndian: length) == UInt32(truncatingIfNeeded: theirs.st_size)
  }

  /// How its entries look; nil while it is empty.
  public var content: Content? {
    if let known { return known }
    inflate()
    var first: UInt8 = 0
    guard descriptor >= 0, pread(descriptor, &first, 1, 0) == 1 else { return nil }
    if first == LogRecord.magic[0] {
      // Half a header is being written: looked at again.
      known = LogRecord.header(of: descriptor).map { .records($0) }
    } else {
      known = .lines
    }
    return known
  }

  /// When it was last changed, in nanoseconds since 1970; a compressed one keeps the time of what it holds.
  public var lastChange: Int64 {
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else { return 0 }
    return inflated ? .max : Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
  }

  /// Its length now, in bytes.
  public var size: Int64 {
    inflate()
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else { return 0 }
    return Int64(status.st_size)
  }

  /// Reads at `position` without moving `offset`; 0 at the end.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
    inflate()
    while true {
      let length = Int(clamping: min(Int64(buffer.count), limit - position))
      if length <= 0 { return 0 }
      let count = pread(descriptor, buffer.baseAddress, length, off_t(position))
      if count < 0, errno == EINTR { continue }
      return max(0, count)
    }
  }

  /// A damaged file, or one for whose copy there is no room, reads as far as it could be inflated.
  private func inflate() {
    guard compressed, !inflated else { return }
    inflated = true
    let copy = Glibc.open(folder, O_RDWR | O_CLOEXEC | LogFile.unnamed, 0o600)
    if copy >= 0 { _ = GzipFile.inflate(descriptor, into: copy) }
    close(descriptor)
    descriptor = copy
  }

  /// O_TMPFILE, a macro that Swift does not see (asm-generic/fcntl.h).
  private static let unnamed: Int32 = 0o20_000_000 | O_DIRECTORY
}
