import Faults

#if canImport(Glibc)
  import Glibc
#endif

/// The files of one container's log: `PATH` (being written), `PATH.1` (the one before), `PATH.2` …
///
///     <id>-json.log.2   oldest
///     <id>-json.log.1
///     <id>-json.log     newest
struct LogFiles: Sendable {
  /// Path of the file that is being written.
  let path: String

  /// Opens the files that exist, oldest first. A rotation meanwhile is noticed by inode: no file is returned twice.
  func open() -> [LogFile] {
    for _ in 0..<5 {
      var files: [LogFile] = []
      var index = 0
      while let file = LogFile(path: index == 0 ? path : "\(path).\(index)") {
        if files.contains(where: { $0.inode == file.inode }) { break }
        files.append(file)
        index += 1
      }
      // The newest must still be the newest, else everything has moved by one while it was opened.
      if let newest = files.first, newest.inode != LogFile.inode(of: path) { continue }
      return files.reversed()
    }
    return LogFile(path: path).map { [$0] } ?? []
  }

  /// The file that follows the one with `inode`: nil while that one is the newest.
  func successor(of inode: UInt64) -> LogFile? {
    guard let newest = LogFile.inode(of: path), newest != inode else { return nil }
    let files = open()
    if let position = files.firstIndex(where: { $0.inode == inode }) {
      return position + 1 < files.count ? files[position + 1] : nil
    }
    return files.first  // it was rotated away altogether: go on with the oldest that is left
  }
}

/// One opened log file.
final class LogFile {
  let descriptor: Int32
  let inode: UInt64
  /// Where the next read begins.
  var offset: Int64 = 0
  /// Where reading ends, for one that does not follow.
  var limit = Int64.max

  init?(path: String) {
    descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { return nil }
    var status = stat()
    fstat(descriptor, &status)
    inode = UInt64(status.st_ino)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  static func inode(of path: String) -> UInt64? {
    var status = stat()
    return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Its length now, in bytes.
  var size: Int64 {
    var status = stat()
    fstat(descriptor, &status)
    return Int64(status.st_size)
  }

  /// Reads at `offset` without moving it; 0 at the end.
  func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
    while true {
      let length = Int(clamping: min(Int64(buffer.count), limit - position))
      if length <= 0 { return 0 }
      let count = pread(descriptor, buffer.baseAddress, length, off_t(position))
      if count < 0, errno == EINTR { continue }
      return max(0, count)
    }
  }

  /// Sets `offset` so that the last `lines` whole lines follow; returns how many lines that are when the file has fewer.
  func seek(toLast lines: Int) -> Int {
    let block = 65_536
    var position = size
    var found = 0
    var atEnd = true
    return withUnsafeTemporaryAllocation(byteCount: block, alignment: 16) { buffer in
      while position > 0 {
        let start = max(0, position - Int64(block))
        let count = read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(position - start)]), at: start)
        guard count > 0 else { break }
        var index = count - 1
        while index >= 0 {
          if buffer[index] == 10 {
            if atEnd {
              atEnd = false  // the newline that ends the last line
            } else {
              found += 1
              if found == lines {
                offset = start + Int64(index) + 1
                return found
              }
            }
          } else if atEnd, buffer[index] != 10 {
            // A torn last line is not counted: it is being written.
            index -= 1
            continue
          }
          index -= 1
        }
        position = start
      }
      offset = 0
      return atEnd ? 0 : found + 1
    }
  }

  /// The time of its last whole line; nil when it has none.
  func lastTime() -> Timestamp? {
    let length = size
    let window = min(length, 131_072)
    guard window > 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(window))
    return bytes.withUnsafeMutableBytes { buffer -> Timestamp? in
      let count = read(into: buffer, at: length - window)
      guard let end = (0..<count).last(where: { buffer[$0] == 10 }) else { return nil }
      var start = end
      while start > 0, buffer[start - 1] != 10 { start -= 1 }
      return LogLine.time(of: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
    }
  }
}
