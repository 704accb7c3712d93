internal import CLinux
internal import Glibc
internal import Linux
internal import Tar

/// The times of a layer's folders, set last because entries below change them.
///
/// A hostile archive may have millions of folders with long paths: above a few megabytes, those that the archive has left
/// behind are set early.
struct FolderTimes {
  private struct Entry {
    var path: [UInt8]
    var inode: UInt64
    var seconds: Int64
    var nanoseconds: Int64
  }

  private let root: Int32
  private var entries: [Entry] = []
  private var bytes = 0
  private let capacity: Int

  /// - Parameter capacity: the most memory to use, in bytes.
  init(root: Int32, capacity: Int = 8 << 20) {
    self.root = root
    self.capacity = capacity
  }

  /// Remembers the time of the folder with the cleaned path `path`.
  mutating func add(_ path: [UInt8], inode: UInt64, seconds: Int64, nanoseconds: Int64) {
    if bytes > capacity {
      let open = entries.filter { $0.path.isEmpty || path.starts(with: $0.path) }
      apply()
      entries = open
      bytes = open.reduce(0) { $0 + $1.path.count + 80 }
    }
    entries.append(Entry(path: path, inode: inode, seconds: seconds, nanoseconds: nanoseconds))
    bytes += path.count + 80
  }

  /// Sets them all, in the order of the archive: of two entries for a folder the later counts.
  mutating func apply() {
    for entry in entries {
      let descriptor = (entry.path.isEmpty ? [dot] : entry.path).withTerminated {
        cl_openat2(
          root, $0, UInt64(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0,
          UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS))
      }
      // Replaced by a later entry: then its time is not asked for any more.
      if descriptor < 0 { continue }
      let folder = OwnedDescriptor(descriptor)
      guard let status = try? EntryStatus(folder.rawValue), status.inode == entry.inode else { continue }
      var values = FileTimes.both(entry.seconds, entry.nanoseconds)
      _ = futimens(folder.rawValue, &values)
    }
    entries = []
    bytes = 0
  }
}
