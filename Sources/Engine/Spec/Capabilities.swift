import Faults

#if canImport(Glibc)
  import Glibc
#endif

/// Which capabilities a container gets.
struct Capabilities: Sendable, Equatable {
  /// Names by number, as capability.h of Linux 6.18 has them.
  static let names = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
  ]

  /// What a container has unless told otherwise (Docker's list).
  static let standard: Set<String> = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
  ]

  /// What this machine can give at all.
  let available: Set<String>

  /// `available` as a bit set.
  init(bounding: UInt64) {
    available = Set(Self.names.enumerated().filter { bounding & (1 << UInt64($0.offset)) != 0 }.map(\.element))
  }

  /// The machine's bounding set: that of its first process, or ours where /proc hides that one.
  static func ofMachine() -> Capabilities {
    for path in ["/proc/1/status", "/proc/self/status"] {
      guard let text = try? SmallFile.read(path) else { continue }
      for line in text.split(separator: "\n") where line.hasPrefix("CapBnd:") {
        let digits = line.dropFirst("CapBnd:".count).drop { $0 == "\t" || $0 == " " }
        if let bounding = UInt64(digits, radix: 16) { return Capabilities(bounding: bounding) }
      }
    }
    return Capabilities(bounding: 0)
  }

  /// The capabilities for a request, in the order of their numbers.
  func resolve(add: [String], drop: [String], privileged: Bool) throws -> [String] {
    let add = try Set(add.map { try Self.normalise($0, field: "CapAdd") })
    let drop = try Set(drop.map { try Self.normalise($0, field: "CapDrop") })
    var result: Set<String>
    if privileged {
      result = available
    } else if drop.contains("ALL") {
      result = add.contains("ALL") ? available : add
    } else if add.contains("ALL") {
      result = available.subtracting(drop)
    } else {
      result = Self.standard.intersection(available).union(add).subtracting(drop)
    }
    result.remove("ALL")
    if let missing = result.subtracting(available).sorted().first {
      throw Fault(
        .permissionDenied,
        "CapAdd: \(missing) cannot be given: this machine's own bounding set lacks it (see CapBnd in /proc/1/status)")
    }
    return Self.names.filter(result.contains)
  }

  /// `net_admin` and `CAP_NET_ADMIN` are the same; anything unknown is refused.
  static func normalise(_ name: String, field: String) throws -> String {
    let upper = name.uppercased()
    if upper == "ALL" || upper == "CAP_ALL" { return "ALL" }
    let full = upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
    guard names.contains(full) else {
      throw Fault(
        .invalidArgument, "\(field): \"\(name)\" is no capability: known are ALL and \(names.joined(separator: ", "))")
    }
    return full
  }
}

/// Small files of /proc and /etc, read whole.
enum SmallFile {
  /// The text of the file at `path`, at most `limit` bytes of it.
  static func read(_ path: String, limit: Int = 1 << 20) throws -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Fault(.notFound, "\(path) cannot be read: \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while bytes.count < limit {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return String(decoding: bytes.prefix(limit), as: UTF8.self)
  }

  /// Writes `text` to a new or emptied file; not durable.
  static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw failure("create", path) }
    defer { close(descriptor) }
    var text = text
    try text.withUTF8 { bytes in
      var offset = 0
      while offset < bytes.count {
        guard let base = bytes.baseAddress else { return }
        let count = Glibc.write(descriptor, base + offset, bytes.count - offset)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw failure("write", path) }
        offset += count
      }
    }
  }

  /// The last error of the C library about `path` as a fault.
  static func failure(_ verb: String, _ path: String) -> Fault {
    let code: FaultCode =
      switch errno {
      case ENOSPC, EDQUOT: .noSpace
      case EROFS: .readOnly
      case EACCES, EPERM: .permissionDenied
      case ENOENT: .notFound
      default: .internal
      }
    return Fault(code, "\(path): cannot \(verb) it: \(String(cString: strerror(errno)))")
  }
}
