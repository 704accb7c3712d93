internal import CLinux
internal import Glibc
public import SystemPackage

/// How far `openat2` may go when it resolves a path (`RESOLVE_*`, kernel 5.6).
public struct ResolveFlags: OptionSet, Sendable {
  /// The kernel's bits.
  public let rawValue: UInt64
  /// Takes the kernel's bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Do not cross into another mount.
  public static let noCrossDevice = ResolveFlags(rawValue: UInt64(CL_RESOLVE_NO_XDEV))
  /// Refuse `/proc/PID/fd`-like links.
  public static let noMagicLinks = ResolveFlags(rawValue: UInt64(CL_RESOLVE_NO_MAGICLINKS))
  /// Refuse every symbolic link (magic links too).
  public static let noSymlinks = ResolveFlags(rawValue: UInt64(CL_RESOLVE_NO_SYMLINKS))
  /// Refuse what leaves the starting folder, absolute paths and links too.
  public static let beneath = ResolveFlags(rawValue: UInt64(CL_RESOLVE_BENEATH))
  /// Treat the starting folder as `/`, as chroot would.
  public static let inRoot = ResolveFlags(rawValue: UInt64(CL_RESOLVE_IN_ROOT))
}

/// Flags of open(2), with those that Swift's Glibc module lacks.
public struct OpenFlags: OptionSet, Sendable {
  /// The kernel's bits.
  public let rawValue: Int32
  /// Takes the kernel's bits.
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// For reading; the absence of the other two.
  public static let readOnly = OpenFlags([])
  /// For writing.
  public static let writeOnly = OpenFlags(rawValue: O_WRONLY)
  /// For both.
  public static let readWrite = OpenFlags(rawValue: O_RDWR)
  /// Made when missing.
  public static let create = OpenFlags(rawValue: O_CREAT)
  /// With `create`: refused when it exists.
  public static let exclusive = OpenFlags(rawValue: O_EXCL)
  /// Emptied.
  public static let truncate = OpenFlags(rawValue: O_TRUNC)
  /// Every write at the end.
  public static let append = OpenFlags(rawValue: O_APPEND)
  /// Only a folder.
  public static let directory = OpenFlags(rawValue: O_DIRECTORY)
  /// Not through a symbolic link as last component.
  public static let noFollow = OpenFlags(rawValue: O_NOFOLLOW)
  /// Never wait: neither for a fifo's other end nor for data.
  public static let nonBlocking = OpenFlags(rawValue: O_NONBLOCK)
  /// A terminal does not become the controlling one.
  public static let noControllingTerminal = OpenFlags(rawValue: O_NOCTTY)
  /// Only a handle of the place, without opening what is there.
  public static let path = OpenFlags(rawValue: Int32(CL_O_PATH))
  /// An unnamed file in the folder.
  public static let temporary = OpenFlags(rawValue: Int32(CL_O_TMPFILE))
}

/// Opens `path` as openat2(2) does. Always close-on-exec. Mode is for `create` and `temporary` only.
///
/// - Parameters:
///   - folder: the folder that `path` starts at; with `resolve: .inRoot` it is also the root. Nil: the working folder.
///   - path: relative, or absolute as `resolve` allows.
public func openat2(
  _ folder: Int32?, _ path: String, _ flags: OpenFlags, mode: UInt32 = 0, resolve: ResolveFlags = []
) throws(Errno) -> OwnedDescriptor {
  let kernelFlags = UInt64(UInt32(bitPattern: flags.rawValue | O_CLOEXEC))
  var tries = 0
  while true {
    let result = cl_openat2(folder ?? Int32(CL_AT_FDCWD), path, kernelFlags, UInt64(mode), resolve.rawValue)
    tries += 1
    // EAGAIN with these: something was renamed or mounted meanwhile, and the kernel is not sure that `..` stayed within.
    if result == -EAGAIN, tries < 128, !resolve.isDisjoint(with: [.inRoot, .beneath]) { continue }
    return OwnedDescriptor(try check(result))
  }
}

/// What statx(2) says of a file.
public struct FileStatus: Sendable, Equatable {
  /// What kind of file it is.
  public enum Kind: UInt32, Sendable {
    /// `S_IF*`, in the kernel's numbers.
    case fifo = 0o010000
    /// A character device.
    case characterDevice = 0o020000
    /// A folder.
    case directory = 0o040000
    /// A block device.
    case blockDevice = 0o060000
    /// A plain file.
    case regular = 0o100000
    /// A symbolic link.
    case symbolicLink = 0o120000
    /// A socket's name.
    case socket = 0o140000
  }

  /// A moment with nanoseconds since 1970.
  public struct Time: Sendable, Equatable, Comparable {
    /// Whole seconds.
    public var seconds: Int64
    /// The rest, in nanoseconds.
    public var nanoseconds: UInt32
    /// Takes both parts.
    public init(seconds: Int64, nanoseconds: UInt32) {
      self.seconds = seconds
      self.nanoseconds = nanoseconds
    }
    /// Earlier is less.
    public static func < (a: Time, b: Time) -> Bool {
      (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }
  }

  /// Kind and permission bits as the kernel gives them.
  public var mode: UInt32
  /// Hard links.
  public var links: UInt32
  /// The owner.
  public var uid: UInt32
  /// The owning group.
  public var gid: UInt32
  /// The file system's device number.
  public var device: DeviceNumber
  /// What device a device file stands for.
  public var special: DeviceNumber
  /// The inode's number on its device.
  public var inode: UInt64
  /// Length in bytes.
  public var size: UInt64
  /// Space taken, in units of 512 bytes.
  public var blocks: UInt64
  /// The mount it was reached through (kernel 5.8; 0 before).
  public var mountID: UInt64
  /// Whether it is the root of a mount (kernel 5.8; false before).
  public var isMountRoot: Bool
  /// When the content changed.
  public var modified: Time
  /// When the inode changed.
  public var changed: Time

  /// The kind; nil when the kernel says something unknown.
  public var kind: Kind? { Kind(rawValue: mode & 0o170000) }
  /// The twelve permission bits.
  public var permissions: UInt32 { mode & 0o7777 }

  /// The status of an open descriptor (`O_PATH` ones too).
  public init(of descriptor: Int32) throws(Errno) {
    try self.init(descriptor, "", Int32(CL_AT_EMPTY_PATH))
  }

  /// The status of `path` from `folder` (nil: the working folder), the link itself unless `followLinks`.
  public init(at folder: Int32? = nil, _ path: String, followLinks: Bool = false) throws(Errno) {
    try self.init(folder ?? Int32(CL_AT_FDCWD), path, followLinks ? 0 : Int32(CL_AT_SYMLINK_NOFOLLOW))
  }

  private init(_ folder: Int32, _ path: String, _ flags: Int32) throws(Errno) {
    var s = cl_stat()
    try check(cl_statx(folder, path, flags, &s))
    mode = s.mode
    links = s.nlink
    uid = s.uid
    gid = s.gid
    device = DeviceNumber(major: s.device_major, minor: s.device_minor)
    special = DeviceNumber(major: s.special_major, minor: s.special_minor)
    inode = s.inode
    size = s.size
    blocks = s.blocks
    mountID = s.mount_id
    isMountRoot = s.attributes & 0x2000 != 0
    modified = Time(seconds: s.modified_seconds, nanoseconds: s.modified_nanoseconds)
    changed = Time(seconds: s.changed_seconds, nanoseconds: s.changed_nanoseconds)
  }
}

/// A device's two numbers.
public struct DeviceNumber: Sendable, Hashable {
  /// Which driver.
  public var major: UInt32
  /// Which of its devices.
  public var minor: UInt32
  /// Takes both.
  public init(major: UInt32, minor: UInt32) {
    self.major = major
    self.minor = minor
  }
}

/// Whole files and folders in few calls.
public enum Files {
  /// The content of a file of at most `limit` bytes; `EFBIG` when there is more.
  public static func read(at folder: Int32? = nil, _ path: String, limit: Int = 1 << 20) throws(Errno) -> [UInt8] {
    let file = try openat2(folder, path, [.readOnly, .nonBlocking])
    return try read(file.rawValue, limit: limit)
  }

  /// What is left to read of `descriptor`, at most `limit` bytes; `EFBIG` when there is more.
  public static func read(_ descriptor: Int32, limit: Int) throws(Errno) -> [UInt8] {
    // A plain file says how long it is; files of procfs and the like say 0.
    let expected = Int(truncatingIfNeeded: (try? FileStatus(of: descriptor).size) ?? 0)
    var capacity = min(max(4096, expected + 1), limit + 1)
    var memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    defer { memory.deallocate() }
    var count = 0
    while true {
      if count == capacity {
        if count > limit { throw Errno.fileTooLarge }
        let larger = min(capacity * 2, limit + 1)
        let next = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        next.copyMemory(from: memory, byteCount: count)
        memory.deallocate()
        memory = next
        capacity = larger
      }
      let got = try Descriptors.read(
        descriptor, into: UnsafeMutableRawBufferPointer(start: memory + count, count: capacity - count))
      if got == 0 { break }
      count += got
    }
    if count > limit { throw Errno.fileTooLarge }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(start: memory, count: count))
      initialized = count
    }
  }

  /// The content as text; bytes that are not UTF-8 become U+FFFD.
  public static func readText(at folder: Int32? = nil, _ path: String, limit: Int = 1 << 20) throws(Errno) -> String {
    String(decoding: try read(at: folder, path, limit: limit), as: UTF8.self)
  }

  /// Writes `text` to an existing file in one write, as cgroup and proc files want it.
  public static func write(at folder: Int32? = nil, _ path: String, _ text: String) throws(Errno) {
    let file = try openat2(folder, path, .writeOnly)
    let text = Array(text.utf8)
    try text.withUnsafeBufferPointer { bytes throws(Errno) in
      try Descriptors.writeAll(file.rawValue, UnsafeRawBufferPointer(bytes))
    }
  }

  /// Makes one folder; says whether it is new. Fails when something else has the name.
  @discardableResult
  public static func makeDirectory(at folder: Int32? = nil, _ path: String, mode: UInt32 = 0o700) throws(Errno)
    -> Bool
  {
    if Glibc.mkdirat(folder ?? Int32(CL_AT_FDCWD), path, mode) == 0 { return true }
    if errno != EEXIST { throw Errno(rawValue: errno) }
    return false
  }

  /// Makes a folder and those above it that are missing, with mode `mode`.
  public static func makeDirectories(_ path: FilePath, mode: UInt32 = 0o700) throws(Errno) {
    do throws(Errno) {
      try makeDirectory(path.string, mode: mode)
    } catch {
      guard error == .noSuchFileOrDirectory, !path.removingLastComponent().isEmpty else { throw error }
      try makeDirectories(path.removingLastComponent(), mode: mode)
      try makeDirectory(path.string, mode: mode)
    }
  }

  /// Removes a file's name.
  public static func unlink(at folder: Int32? = nil, _ path: String) throws(Errno) {
    if Glibc.unlinkat(folder ?? Int32(CL_AT_FDCWD), path, 0) != 0 { throw Errno(rawValue: errno) }
  }

  /// Removes an empty folder.
  public static func removeDirectory(at folder: Int32? = nil, _ path: String) throws(Errno) {
    if Glibc.unlinkat(folder ?? Int32(CL_AT_FDCWD), path, Int32(0x200)) != 0 { throw Errno(rawValue: errno) }
  }

  /// What a symbolic link says.
  public static func readLink(at folder: Int32? = nil, _ path: String) throws(Errno) -> String {
    try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4096) { buffer throws(Errno) in
      let count = buffer.withMemoryRebound(to: CChar.self) {
        Glibc.readlinkat(folder ?? Int32(CL_AT_FDCWD), path, $0.baseAddress!, $0.count)
      }
      if count < 0 { throw Errno(rawValue: errno) }
      return String(decoding: UnsafeBufferPointer(rebasing: buffer[..<count]), as: UTF8.self)
    }
  }

  /// Renames atomically; with `exchange` the two names swap, with `noReplace` an existing target is refused.
  public static func rename(
    at from: Int32? = nil, _ old: String, to: Int32? = nil, _ new: String, exchange: Bool = false,
    noReplace: Bool = false
  ) throws(Errno) {
    try check(
      cl_renameat2(
        from ?? Int32(CL_AT_FDCWD), old, to ?? Int32(CL_AT_FDCWD), new, (exchange ? 2 : 0) | (noReplace ? 1 : 0)))
  }

  /// The names in a folder without `.` and `..`, in the order that the file system gives them. Bytes that are not UTF-8
  /// become U+FFFD: use for folders of our own.
  public static func list(_ path: String) throws(Errno) -> [String] {
    let folder = try openat2(nil, path, [.readOnly, .directory])
    return try list(folder.rawValue)
  }

  /// The names in an open folder, from its current position.
  public static func list(_ descriptor: Int32) throws(Errno) -> [String] {
    var names: [String] = []
    try withUnsafeTemporaryAllocation(byteCount: FolderEntries.partSize, alignment: 8) { buffer throws(Errno) in
      let take = { (name: UnsafeRawBufferPointer) -> Bool in
        names.append(String(decoding: name, as: UTF8.self))
        return true
      }
      while try FolderEntries.next(descriptor, buffer, take) {}
    }
    return names
  }

  /// Makes a device, fifo or socket node with the file creation mask applied.
  public static func makeNode(
    at folder: Int32, _ name: String, kind: FileStatus.Kind, mode: UInt32, device: DeviceNumber
  ) throws(Errno) {
    try check(cl_mknodat(folder, name, kind.rawValue | mode, device.major, device.minor))
  }

  /// The type number of the file system under `descriptor` (`statfs` magic).
  public static func fileSystemType(_ descriptor: Int32) throws(Errno) -> Int64 {
    try Int64(check(Int(cl_fstatfs_type(descriptor))))
  }
}

/// Numbers that `Files.fileSystemType` gives (linux/magic.h).
public enum FileSystemMagic {
  /// procfs
  public static let proc: Int64 = 0x9fa0
  /// sysfs
  public static let sysfs: Int64 = 0x6265_6572
  /// devpts
  public static let devpts: Int64 = 0x1cd1
  /// cgroup v2
  public static let cgroup2: Int64 = 0x6367_7270
  /// tmpfs
  public static let tmpfs: Int64 = 0x0102_1994
  /// overlayfs
  public static let overlay: Int64 = 0x794c_7630
}
