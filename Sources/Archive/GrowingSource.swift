internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// A file that another process still writes, read as it grows until it has its whole length.
///
/// Waiting costs nothing: inotify wakes the reader. The end comes with an error when the file goes away, becomes shorter or
/// stands still for too long; whether its content is right is for others to check.
final class GrowingSource: ByteSource {
  /// How long the file may stand still.
  static let stillSeconds = 900
  /// How long one wait is: what asks for the end of the unpacking is looked at in between.
  private static let waitMilliseconds: Int32 = 500

  private let file: OwnedFile
  private let size: Int64
  private let progress: UnpackingProgress
  private let watch: Int32
  private let buffer: UnsafeMutableRawBufferPointer
  private var position: Int64 = 0

  /// - Parameter file: open, readable; kept as long as this value is.
  init(_ file: OwnedFile, size: Int64, progress: UnpackingProgress, chunkSize: Int = 256 << 10) throws(Fault) {
    self.file = file
    self.size = size
    self.progress = progress
    buffer = .allocate(byteCount: chunkSize, alignment: 4096)
    watch = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    // The name may change while the file is read: its descriptor is watched.
    let mask = UInt32(IN_MODIFY) | UInt32(IN_ATTRIB) | UInt32(IN_MOVE_SELF) | UInt32(IN_DELETE_SELF)
    guard watch >= 0, inotify_add_watch(watch, "/proc/self/fd/\(file.descriptor)", mask) >= 0 else {
      throw Fault(
        .unavailable,
        "this machine has no inotify watch left to follow a layer with: raise fs.inotify.max_user_instances",
        cause: ["\(Errno(rawValue: errno))"])
    }
  }

  deinit {
    if watch >= 0 { close(watch) }
    buffer.deallocate()
  }

  func next() throws -> UnsafeRawBufferPointer {
    var waited = 0
    while position < size {
      if progress.isCancelled { throw Fault(.cancelled, "the unpacking was taken back") }
      let want = Int(min(Int64(buffer.count), size - position))
      let count = pread(file.descriptor, buffer.baseAddress, want, off_t(position))
      if count > 0 {
        position += Int64(count)
        return UnsafeRawBufferPointer(rebasing: buffer[..<count])
      }
      guard count == 0 || errno == EINTR else {
        throw Fault(.internal, "the layer's file cannot be read", cause: ["\(Errno(rawValue: errno))"])
      }
      try check()
      guard waited < Self.stillSeconds * 1000 else {
        throw Fault(.deadlineExceeded, "the layer's file has not grown for \(Self.stillSeconds) s, and was given up")
      }
      waited += Int(Self.waitMilliseconds)
      wait()
    }
    return UnsafeRawBufferPointer(start: nil, count: 0)
  }

  /// A file that nobody can see any more does not grow.
  private func check() throws(Fault) {
    var status = stat()
    guard fstat(file.descriptor, &status) == 0, status.st_nlink > 0, Int64(status.st_size) >= position else {
      throw Fault(.cancelled, "the transfer of the layer's file was given up")
    }
  }

  private func wait() {
    var waiting = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
    poll(&waiting, 1, Self.waitMilliseconds)
    // What the events say does not matter: the file is looked at again.
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { events in
      while read(watch, events.baseAddress, events.count) > 0 {}
    }
  }
}
