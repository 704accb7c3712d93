import Faults

/// Paths inside a container, as requests and images give them. Nothing here touches a file system.
enum ContainerPath {
  /// Files under /proc that may be covered, because tools such as lxcfs show a container its own figures there.
  private static let allowedInProc: Set<String> = [
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
    "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
  ]

  /// `path` without `.`, `..` and doubled slashes: `/a/./b//c/` is `/a/b/c`. Not a security check: mounts resolve in root.
  static func clean(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// A mount's destination: absolute, not the root itself, not the kernel's own trees.
  static func destination(_ path: String, field: String, fromImage: Bool = false) throws -> String {
    guard path.hasPrefix("/"), !path.utf8.contains(0) else {
      throw Fault(.invalidArgument, "\(field): invalid mount path: '\(path)' mount path must be absolute")
    }
    if fromImage, path.split(separator: "/").contains("..") {
      throw Fault(.invalidArgument, "\(field): the image's volume '\(path)' goes through '..': it is refused")
    }
    let cleaned = clean(path)
    guard cleaned != "/" else {
      throw Fault(.invalidArgument, "\(field): invalid specification: destination can't be '/'")
    }
    for tree in ["/proc", "/sys"] where cleaned == tree || cleaned.hasPrefix(tree + "/") {
      if tree == "/sys", !fromImage { continue }
      if allowedInProc.contains(cleaned), !fromImage { continue }
      throw Fault(
        .invalidArgument,
        "\(field): '\(path)' lies in \(tree), which belongs to the kernel and protects the host: mount it elsewhere")
    }
    return cleaned
  }

  /// A working directory: "" is `/`; it must be absolute.
  static func workingDirectory(_ path: String) throws -> String {
    if path.isEmpty { return "/" }
    guard path.hasPrefix("/"), !path.utf8.contains(0) else {
      throw Fault(
        .invalidArgument, "the working directory '\(path)' is invalid, it needs to be an absolute path")
    }
    return clean(path)
  }
}

/// The user that a process runs as: `user`, `uid`, `user:group`, `uid:gid`, in any mixture. Names are looked up in the
/// container by its init; here only what can never be right is refused (CVE-2024-40635).
enum UserText {
  static func check(_ text: String, field: String = "User") throws {
    if text.isEmpty { return }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2 else { throw invalid(text, field, "it has more than one colon") }
    for part in parts {
      guard !part.isEmpty else { throw invalid(text, field, "a part of it is empty") }
      guard part.utf8.count <= 256, part.utf8.allSatisfy({ $0 > 32 && $0 != 127 && $0 != 47 }) else {
        throw invalid(text, field, "it holds a character that no name has")
      }
      let numeric = part.first == "-" || part.first == "+" || part.utf8.allSatisfy { $0 >= 48 && $0 <= 57 }
      if numeric, part.first == "-" || part.first == "+" || UInt64(part).map({ $0 > 2_147_483_647 }) ?? true {
        throw invalid(text, field, "numbers go from 0 to 2147483647")
      }
    }
  }

  private static func invalid(_ text: String, _ field: String, _ why: String) -> Fault {
    Fault(.invalidArgument, "\(field): \"\(text)\" is no user: \(why); give user, uid, user:group or uid:gid")
  }
}
