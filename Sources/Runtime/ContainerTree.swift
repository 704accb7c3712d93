internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// The container's root file system as an untrusted tree: every path is resolved by the kernel as if the tree were `/`
/// (openat2, RESOLVE_IN_ROOT), magic links refused, and used by descriptor from then on.
struct ContainerTree {
  /// The attached root mount.
  let root: Int32

  /// What must be at a mount's target.
  enum Target {
    case directory
    case file
  }

  /// Places below /proc that may be mounted on (what lxcfs and the like provide); everything else there is refused.
  private static let allowedBelowProc: Set<String> = [
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
    "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
  ]

  /// A handle of what is at `path`, or nil when nothing is. Symbolic links are followed inside the tree only.
  func find(_ path: String, noLinks: Bool = false, flags: OpenFlags = .path) throws(Errno) -> OwnedDescriptor? {
    do throws(Errno) {
      return try openat2(
        root, path, flags, resolve: noLinks ? [.inRoot, .noMagicLinks, .noSymlinks] : [.inRoot, .noMagicLinks])
    } catch {
      if error == .noSuchFileOrDirectory || error == .notDirectory { return nil }
      throw error
    }
  }

  /// The place for a mount: what is there, or a new folder or empty file with the folders above it.
  func makeTarget(_ path: String, _ kind: Target) throws(Fault) -> OwnedDescriptor {
    if let found = try step("resolve \(path) in the container", { () throws(Errno) in try find(path) }) { return found }
    let parent = try makeParent(of: path)
    do throws(Errno) {
      switch kind {
      case .directory:
        try Files.makeDirectory(at: parent.folder.rawValue, parent.name, mode: 0o755)
        return try openat2(parent.folder.rawValue, parent.name, [.path, .directory, .noFollow], resolve: [.noSymlinks])
      case .file:
        _ = try openat2(
          parent.folder.rawValue, parent.name, [.readOnly, .create, .exclusive, .noFollow], mode: 0o644,
          resolve: [.noSymlinks])
        return try openat2(parent.folder.rawValue, parent.name, [.path, .noFollow], resolve: [.noSymlinks])
      }
    } catch {
      throw Fault(
        faultCode(for: error, otherwise: .invalidArgument),
        "cannot make the mount point \(path) in the container", cause: [error.description])
    }
  }

  /// The folder that `path` is in, made when missing, and the last component.
  func makeParent(of path: String) throws(Fault) -> Parent {
    var components = Self.components(path)
    guard let name = components.popLast() else {
      throw Fault(.invalidArgument, "the path \"\(path)\" is the root of the container, where nothing can be put")
    }
    return Parent(folder: try makeDirectories(components), name: name)
  }

  /// A folder, and a name in it.
  struct Parent: ~Copyable {
    let folder: OwnedDescriptor
    let name: String
  }

  /// The folder at `components`, made when missing with mode 0755, owned by root.
  private func makeDirectories(_ components: [String]) throws(Fault) -> OwnedDescriptor {
    // Most folders exist: one call then.
    let whole = components.joined(separator: "/")
    let existing = try step("resolve /\(whole) in the container") { () throws(Errno) in
      try find(whole.isEmpty ? "." : whole, flags: [.path, .directory])
    }
    if let existing { return existing }
    var known = ""
    var folder = try step("open the container's root") { () throws(Errno) in
      try openat2(root, ".", [.path, .directory])
    }
    var isNew = false
    for component in components {
      known += (known.isEmpty ? "" : "/") + component
      let path = known
      let below = folder.rawValue
      do throws(Errno) {
        if !isNew, let next = try find(path, flags: [.path, .directory]) {
          folder = next
        } else {
          try Files.makeDirectory(at: below, component, mode: 0o755)
          // What is below a folder that was just made is new too; a link put there meanwhile is refused.
          folder = try openat2(below, component, [.path, .directory, .noFollow], resolve: [.beneath, .noSymlinks])
          isNew = true
        }
      } catch {
        throw Fault(
          faultCode(for: error, otherwise: .invalidArgument), "cannot make the folder /\(path) in the container",
          cause: [error.description])
      }
    }
    return folder
  }

  /// Attaches the detached `mount` at `path`, and checks that it is what the path leads to afterwards.
  ///
  /// CVE-2019-16884, 2023-27561, 2023-28642: nothing but procfs may be mounted on /proc, nothing (but a few files) below
  /// it, neither directly nor through links of the image; procfs and sysfs go on plain folders only.
  /// CVE-2021-30465: the target is held by descriptor; when somebody swapped the path meanwhile the start fails.
  func attach(_ mount: Int32, at path: String, _ kind: Target, isKernelFileSystem: Bool = false) throws(Fault) {
    let clean = "/" + Self.components(path).joined(separator: "/")
    // A procfs that is bound, as with the host's pid namespace, goes where a new one would.
    let isKernelFileSystem = isKernelFileSystem || (clean == "/proc" && Self.isProcfs(mount))
    if isKernelFileSystem {
      if let found = try? FileStatus(at: root, String(clean.dropFirst())), found.kind != .directory {
        throw Fault(
          .invalidArgument,
          "the image's \(clean) is a link or a file: it must be a plain folder, or a hostile image could lead "
            + "the mount elsewhere")
      }
    } else if clean == "/proc" || (clean.hasPrefix("/proc/") && !Self.allowedBelowProc.contains(clean)) {
      throw Fault(.invalidArgument, "\"\(clean)\" cannot be mounted on: /proc belongs to the container's kernel view")
    }
    let target = try makeTarget(clean, kind)
    if isKernelFileSystem {
      let plain = try step("open \(clean) without links", code: .invalidArgument) { () throws(Errno) in
        try openat2(root, String(clean.dropFirst()), [.path, .directory], resolve: [.inRoot, .noSymlinks])
      }
      try attachChecked(mount, on: plain, path: clean)
      return
    }
    let type = (try? Files.fileSystemType(target.rawValue)) ?? 0
    if type == FileSystemMagic.proc && !Self.allowedBelowProc.contains(clean) {
      throw Fault(.invalidArgument, "\"\(clean)\" leads into /proc by a link of the image: nothing is mounted there")
    }
    if clean == "/sys", (try? Files.fileSystemType(mount)) != FileSystemMagic.sysfs {
      throw Fault(
        .invalidArgument, "\"/sys\" cannot be mounted on by anything but sysfs: use a folder below another path")
    }
    try attachChecked(mount, on: target, path: clean)
  }

  /// Whether `mount` is the top of a procfs, whose inode has the number 1 (linux/proc_ns.h).
  private static func isProcfs(_ mount: Int32) -> Bool {
    (try? Files.fileSystemType(mount)) == FileSystemMagic.proc && (try? FileStatus(of: mount).inode) == 1
  }

  private func attachChecked(_ mount: Int32, on target: borrowing OwnedDescriptor, path: String) throws(Fault) {
    let raw = target.rawValue
    try step("mount on \(path) in the container") { () throws(Errno) in try Mounts.attach(mount, on: raw) }
    let now = try step("find the mount on \(path) again") { () throws(Errno) in try find(path) }
    let expected = try step("inspect the mount on \(path)") { () throws(Errno) in try FileStatus(of: mount).mountID }
    guard let now, let found = try? FileStatus(of: now.rawValue).mountID, found == expected else {
      throw Fault(
        .internal, "\(path) in the container was exchanged while it was being mounted on: the start is refused")
    }
  }

  /// The components without `.`, empty ones and `..` (which goes up, at most to the root).
  static func components(_ path: String) -> [String] {
    var result: [String] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = result.popLast() } else { result.append(String(part)) }
    }
    return result
  }
}
