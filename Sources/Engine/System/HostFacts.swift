import Linux

#if canImport(Glibc)
  import Glibc
#endif

/// What the host says of itself.
enum HostFacts {
  static func cpuCount() -> Int {
    max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  /// 2 when the unified tree has the controllers.
  static func cgroupVersion() -> Int {
    access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? 2 : 1
  }

  /// Whether limits of swap exist: on v1 only where the kernel keeps account of it (`swapaccount=1`).
  static func accountsSwap() -> Bool {
    cgroupVersion() == 2 || access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0
  }

  static func hasAppArmor() -> Bool {
    (try? SmallFile.read("/sys/module/apparmor/parameters/enabled"))?.hasPrefix("Y") ?? false
  }

  static func hostname() -> String {
    var names = utsname()
    uname(&names)
    return text(&names.nodename)
  }

  static func kernelVersion() -> String {
    var names = utsname()
    uname(&names)
    return text(&names.release)
  }

  /// Go's name of this processor.
  static func architecture() -> String {
    var names = utsname()
    uname(&names)
    switch text(&names.machine) {
    case "x86_64": return "amd64"
    case "aarch64": return "arm64"
    case let other: return other
    }
  }

  /// The processor as uname has it.
  static func machine() -> String {
    var names = utsname()
    uname(&names)
    return text(&names.machine)
  }

  /// Bytes of memory.
  static func memoryTotal() -> Int64 {
    Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// The type of the file system that `path` is on, from mountinfo: that of the longest mount point it lies below.
  static func fileSystem(of path: String) -> String {
    var best: (length: Int, type: String) = (0, "unknown")
    for line in ((try? SmallFile.read("/proc/self/mountinfo", limit: 16 << 20)) ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count > 8, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
      let point = fields[4]
      guard point == "/" || path == point || path.hasPrefix(point + "/"), point.utf8.count >= best.length else {
        continue
      }
      best = (point.utf8.count, String(fields[dash + 1]))
    }
    return best.type
  }

  /// How many descriptors this process has open.
  static func openDescriptors() -> Int64 { Int64(((try? Files.list("/proc/self/fd")) ?? []).count) }

  /// `PRETTY_NAME` and `VERSION_ID` of /etc/os-release.
  static func operatingSystem() -> (name: String, version: String) {
    var name = "Linux"
    var version = ""
    for line in ((try? SmallFile.read("/etc/os-release")) ?? "").split(separator: "\n") {
      let pair = line.split(separator: "=", maxSplits: 1)
      guard pair.count == 2 else { continue }
      let value = String(pair[1].drop { $0 == "\"" }.prefix { $0 != "\"" })
      if pair[0] == "PRETTY_NAME" { name = value }
      if pair[0] == "VERSION_ID" { version = value }
    }
    return (name, version)
  }

  private static func text<T>(_ tuple: inout T) -> String {
    withUnsafeBytes(of: &tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
