internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// User namespaces: those that exist only to give their ids to mounts, and what the maps of one say.
enum UserNamespace {
  /// A user namespace with these maps, held by its descriptor alone.
  static func make(userMap: String, groupMap: String) throws(Fault) -> OwnedDescriptor {
    try step("make a user namespace for the container's files", code: .invalidArgument) { () throws(Errno) in
      let ends = try UnixSocket.pair()
      var pidfd: Int32 = -1
      let pid = try check(cl_clone3(UInt64(CL_CLONE_NEWUSER), SIGCHLD, -1, &pidfd))
      if pid == 0 {
        // Lives until the parent has opened the namespace: reads the end of input then.
        Descriptors.close(ends.first.rawValue)
        var byte: UInt8 = 0
        _ = Glibc.read(ends.second.rawValue, &byte, 1)
        cl_exit(0)
      }
      let process = PidFD(OwnedDescriptor(pidfd))
      defer {
        try? process.signal(SIGKILL)
        _ = try? process.wait()
      }
      try writeMaps(pid: pid, userMap: userMap, groupMap: groupMap)
      return try openat2(nil, "/proc/\(pid)/ns/user", .readOnly)
    }
  }

  /// The ids outside that 0 inside an existing namespace stands for: what a process that joins it and becomes root is.
  static func root(of namespace: Int32) throws(Fault) -> (uid: UInt32, gid: UInt32) {
    try step("join the user namespace to learn its ids", code: .invalidArgument) { () throws(Errno) in
      let ends = try UnixSocket.pair()
      var pidfd: Int32 = -1
      let pid = try check(cl_clone3(0, SIGCHLD, -1, &pidfd))
      if pid == 0 {
        Descriptors.close(ends.first.rawValue)
        var byte: UInt8 = cl_setns(namespace, Int32(CL_CLONE_NEWUSER)) == 0 ? 1 : 0
        _ = Glibc.write(ends.second.rawValue, &byte, 1)
        _ = Glibc.read(ends.second.rawValue, &byte, 1)
        cl_exit(0)
      }
      let process = PidFD(OwnedDescriptor(pidfd))
      defer {
        try? process.signal(SIGKILL)
        _ = try? process.wait()
      }
      var byte: UInt8 = 0
      guard Glibc.read(ends.first.rawValue, &byte, 1) == 1, byte == 1 else { throw Errno.notPermitted }
      return (try outside("/proc/\(pid)/uid_map"), try outside("/proc/\(pid)/gid_map"))
    }
  }

  private static func outside(_ path: String) throws(Errno) -> UInt32 {
    for line in try Files.readText(path).split(separator: "\n") {
      let numbers = line.split(separator: " ").compactMap { UInt32($0) }
      if numbers.count == 3, numbers[0] == 0 { return numbers[1] }
    }
    throw Errno.invalidArgument
  }

  /// Writes the maps of the user namespace that `pid` is in, as the kernel wants them: each in one write.
  static func writeMaps(pid: Int32, userMap: String, groupMap: String) throws(Errno) {
    try Files.write("/proc/\(pid)/uid_map", userMap)
    try Files.write("/proc/\(pid)/gid_map", groupMap)
  }
}
