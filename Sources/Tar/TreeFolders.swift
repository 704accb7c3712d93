internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// The folders that an extraction writes into, as open descriptors: the one used last stays open, as archives stay in a
/// folder for a while.
final class TreeFolders {
  private let root: Int32
  private let prefix: [UInt8]
  private let resolve: UInt64
  private var latest: (path: [UInt8], descriptor: Int32)?

  /// - Parameters:
  ///   - root: where paths begin, and what they never leave.
  ///   - prefix: the folder below it that all paths begin with.
  ///   - followsLinks: links are followed inside the root, else refused.
  init(root: Int32, prefix: [UInt8], followsLinks: Bool) {
    self.root = root
    self.prefix = prefix
    resolve =
      UInt64(CL_RESOLVE_NO_MAGICLINKS)
      | UInt64(followsLinks ? CL_RESOLVE_IN_ROOT : CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS)
  }

  deinit { forget() }

  /// The folder with the cleaned path `path`, made (0755) when it is missing; valid until the next call.
  func folder(_ path: [UInt8]) throws -> Int32 {
    if let latest, latest.path == path { return latest.descriptor }
    let descriptor = try make(path)
    forget()
    latest = (path, descriptor)
    return descriptor
  }

  /// The folder when it exists; valid until the next call.
  func existing(_ path: [UInt8]) -> Int32? {
    if let latest, latest.path == path { return latest.descriptor }
    let descriptor = open(path, UInt64(CL_O_PATH))
    guard descriptor >= 0 else { return nil }
    forget()
    latest = (path, descriptor)
    return descriptor
  }

  /// To be called when a folder or link was removed.
  func forget() {
    if let latest { close(latest.descriptor) }
    latest = nil
  }

  /// Opens a folder; the negative errno when it cannot be.
  func open(_ path: [UInt8], _ flags: UInt64) -> Int32 {
    let whole = prefix.isEmpty ? path : path.isEmpty ? prefix : prefix + [slash] + path
    return (whole.isEmpty ? [dot] : whole).withTerminated {
      cl_openat2(root, $0, flags | UInt64(O_DIRECTORY | O_CLOEXEC), 0, resolve)
    }
  }

  private func make(_ path: [UInt8]) throws -> Int32 {
    var missing: [[UInt8]] = []
    var known = path
    while true {
      let descriptor = open(known, UInt64(CL_O_PATH))
      if descriptor >= 0 {
        var current = OwnedDescriptor(descriptor)
        for name in missing.reversed() { current = try Self.make(current.rawValue, name, path) }
        return current.take()
      }
      guard descriptor == -ENOENT, !known.isEmpty else { throw Fault(unpacking: path, Errno(rawValue: -descriptor)) }
      let split = EntryPath(known)
      missing.append(split.name)
      known = split.parent
    }
  }

  private static func make(_ parent: Int32, _ name: [UInt8], _ path: [UInt8]) throws -> OwnedDescriptor {
    let failure = name.withTerminated { mkdirat(parent, $0, 0o755) == 0 ? 0 : errno }
    if failure != 0, failure != EEXIST { throw Fault(unpacking: path, Errno(rawValue: failure)) }
    let result = name.withTerminated {
      openat(parent, $0, Int32(CL_O_PATH) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }
    if result < 0 { throw Fault(unpacking: path, Errno(rawValue: errno)) }
    return OwnedDescriptor(result)
  }
}

/// The times of extracted folders, set last because what comes into them changes them. Of very many, those that the archive
/// has left behind are set early.
struct TreeFolderTimes {
  private struct Entry {
    var path: [UInt8]
    var inode: UInt64
    var seconds: Int64
    var nanoseconds: Int64
  }
  private var entries: [Entry] = []
  private var bytes = 0
  private static let capacity = 8 << 20

  mutating func add(_ path: [UInt8], inode: UInt64, seconds: Int64, nanoseconds: Int64, _ folders: TreeFolders) {
    if bytes > Self.capacity {
      let open = entries.filter { path.starts(with: $0.path) }
      entries.removeAll { path.starts(with: $0.path) }
      apply(folders)
      entries = open
      bytes = open.reduce(0) { $0 + $1.path.count + 80 }
    }
    entries.append(Entry(path: path, inode: inode, seconds: seconds, nanoseconds: nanoseconds))
    bytes += path.count + 80
  }

  mutating func apply(_ folders: TreeFolders) {
    for entry in entries {
      let result = folders.open(entry.path, UInt64(O_RDONLY | O_NOFOLLOW))
      // Replaced by a later entry or by somebody else: then its time is not ours to set.
      if result < 0 { continue }
      let folder = OwnedDescriptor(result)
      guard let status = try? EntryStatus(folder.rawValue), status.inode == entry.inode else { continue }
      var values = FileTimes.both(entry.seconds, entry.nanoseconds)
      _ = futimens(folder.rawValue, &values)
    }
    entries = []
    bytes = 0
  }
}
