internal import Faults
internal import Linux
internal import SystemPackage

/// One setting below /proc/sys that belongs to a namespace of the container.
struct KernelSetting {
  let name: String
  /// Relative to the root of procfs.
  let path: String
  let value: String

  /// Checks that each setting belongs to a namespace that the container has for itself: all others are the host's.
  static func plan(_ settings: [String: String], namespaces: Set<String>) throws(Fault) -> [KernelSetting] {
    var result: [KernelSetting] = []
    for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
      let path = filePath(name)
      let parts = path.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count > 1, !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }),
        !value.utf8.contains(0)
      else { throw Fault(.invalidArgument, "\"\(name)\" is no kernel setting") }
      guard let namespace = namespace(of: path) else {
        throw Fault(
          .invalidArgument, "the kernel setting \(name) belongs to the whole machine: set it there, not in a container")
      }
      guard namespaces.contains(namespace) else {
        throw Fault(
          .invalidArgument,
          "the kernel setting \(name) needs a \(namespace) namespace of the container's own, which it does not have")
      }
      result.append(KernelSetting(name: name, path: "sys/" + path, value: value))
    }
    return result
  }

  /// In the child: writes through `proc`, a procfs that nothing can be mounted over.
  ///
  /// CVE-2025-52881: a write to /proc redirected by mounts or links (to sysrq-trigger, core_pattern) cannot happen: the
  /// path is resolved without links and without crossing a mount.
  func write(proc: Int32) throws(Fault) {
    try step("set \(name) to \"\(value)\"", code: .invalidArgument) { () throws(Errno) in
      try ProcWrite.write(proc: proc, path, value)
    }
  }

  /// `net.ipv4.ip_forward` and `net/ipv4/conf/eth0.1/rp_filter`: the separator that comes first is the separator.
  static func filePath(_ name: String) -> String {
    guard let first = name.first(where: { $0 == "." || $0 == "/" }), first == "." else { return name }
    return String(name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 })
  }

  private static func namespace(of path: String) -> String? {
    if path.hasPrefix("net/") { return "network" }
    if path.hasPrefix("fs/mqueue/") { return "ipc" }
    if path == "kernel/domainname" { return "uts" }
    if path.hasPrefix("user/") { return "user" }
    let ipc = [
      "msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "auto_msgmni",
      "msg_next_id",
      "sem_next_id", "shm_next_id",
    ]
    return ipc.contains { path == "kernel/\($0)" } ? "ipc" : nil
  }
}

/// Writes to files of procfs.
enum ProcWrite {
  /// Writes `text` to `path` below the procfs `proc`, which is checked to be one: no links, no other mount on the way.
  static func write(proc: Int32, _ path: String, _ text: String) throws(Errno) {
    guard try Files.fileSystemType(proc) == FileSystemMagic.proc else { throw Errno.ioError }
    let file = try openat2(proc, path, .writeOnly, resolve: [.beneath, .noSymlinks, .noCrossDevice])
    guard try Files.fileSystemType(file.rawValue) == FileSystemMagic.proc else { throw Errno.ioError }
    let bytes = Array(text.utf8)
    try bytes.withUnsafeBufferPointer { buffer throws(Errno) in
      try Descriptors.writeAll(file.rawValue, UnsafeRawBufferPointer(buffer))
    }
  }
}
