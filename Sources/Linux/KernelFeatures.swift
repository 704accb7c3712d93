internal import CLinux
internal import Glibc
internal import SystemPackage

/// What this machine's kernel can do. Versions for a sentence to a person, probes for decisions.
public enum KernelFeatures {
  /// A kernel's version.
  public struct Version: Sendable, Comparable, CustomStringConvertible {
    /// As in 6.18: 6.
    public var major: Int
    /// As in 6.18: 18.
    public var minor: Int
    /// Takes both.
    public init(_ major: Int, _ minor: Int) {
      self.major = major
      self.minor = minor
    }
    /// Older is less.
    public static func < (a: Version, b: Version) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
    /// `6.18`
    public var description: String { "\(major).\(minor)" }
  }

  /// The oldest kernel that Gantry runs on: mount_setattr (5.12), openat2 (5.6), pidfds, close_range (5.9).
  public static let oldest = Version(5, 12)

  /// The whole release, such as `6.18.44-fc-v595`.
  public static let release: String = name(\.release)

  /// The machine's architecture as the kernel names it, such as `x86_64`.
  public static let machine: String = name(\.machine)

  /// This kernel's version; 0.0 when its release cannot be read.
  public static let version: Version = {
    let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
    return numbers.count == 2 ? Version(numbers[0], numbers[1]) : Version(0, 0)
  }()

  /// overlayfs takes `lowerdir+`, one layer a call, hence more than 128 (kernel 6.8).
  public static var overlayAppendsLayers: Bool { version >= Version(6, 8) }

  /// What is missing for containers, each a sentence for a person; empty when all is there.
  public static func missing() -> [String] {
    var missing: [String] = []
    if version < oldest {
      missing.append("the kernel is \(release), Gantry needs \(oldest) or newer: install a newer kernel and reboot")
    }
    for (file, what) in [
      ("user", "CONFIG_USER_NS"), ("pid", "CONFIG_PID_NS"), ("net", "CONFIG_NET_NS"), ("uts", "CONFIG_UTS_NS"),
      ("ipc", "CONFIG_IPC_NS"), ("cgroup", "CONFIG_CGROUPS"),
    ] where (try? FileStatus("/proc/self/ns/\(file)")) == nil {
      missing.append("the kernel has no \(file) namespaces: it must be built with \(what)")
    }
    let fileSystems = (try? Files.readText("/proc/filesystems")) ?? ""
    if !fileSystems.contains("\toverlay\n") && (try? Mounts.make("overlay")) == nil
      && (try? FileStatus("/lib/modules/\(release)/kernel/fs/overlayfs", followLinks: true)) == nil
    {
      missing.append("the kernel has no overlay file system: load it with `modprobe overlay`")
    }
    let features = (try? FileStatus("/proc/sys/kernel/seccomp/actions_avail")) != nil
    if !features { missing.append("the kernel has no seccomp filters: it must be built with CONFIG_SECCOMP_FILTER") }
    return missing
  }

  private static func name<T>(_ field: KeyPath<utsname, T>) -> String {
    var names = utsname()
    uname(&names)
    return withUnsafeBytes(of: names[keyPath: field]) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
