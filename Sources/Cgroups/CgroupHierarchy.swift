public import Faults
import Glibc
import Linux

/// Where this process sees the kernel's cgroup trees: read from `/proc/self/mountinfo` and `/proc/self/cgroup`.
///
/// A machine has cgroup v2 alone (`version == .v2`), or v1 trees with an optional v2 tree beside them ("hybrid"), which may
/// itself own controllers that no v1 tree claims. Every controller is looked up on its own, so all mixtures work.
public struct CgroupHierarchy: Sendable, Equatable {
  /// One mounted tree.
  public struct Mount: Sendable, Equatable {
    /// v1 or v2.
    public var version: CgroupVersion
    /// The mount point, such as `/sys/fs/cgroup/memory`.
    public var path: String
    /// The cgroup that the mount point shows, as this process's cgroup namespace names it; `/` but in nested containers.
    public var root: String
    /// The cgroup of this process in the tree, relative to the mount point: `/` or `/a/b`.
    public var own: String
  }

  /// The v1 trees by controller; controllers that are mounted together share one mount.
  public var legacy: [Controller: Mount]
  /// The v2 tree, if one is mounted.
  public var unified: Mount?
  /// The controllers that the root of the v2 tree offers.
  public var unifiedControllers: Set<Controller>

  /// `.v2` when no v1 controller is mounted.
  public var version: CgroupVersion { legacy.isEmpty ? .v2 : .v1 }

  /// The trees of this process, read once. Fails with `unsupported` when no cgroup file system is mounted.
  public static func current() throws(Fault) -> CgroupHierarchy { try detected.get() }

  private static let detected: Result<CgroupHierarchy, Fault> = {
    do throws(Fault) { return .success(try detect()) } catch { return .failure(error) }
  }()

  /// Reads the trees of this process anew.
  public static func detect() throws(Fault) -> CgroupHierarchy {
    guard let mountInfo = KernelFile.text("/proc/self/mountinfo"), let own = KernelFile.text("/proc/self/cgroup") else {
      throw Fault(.unsupported, "cannot read /proc/self/mountinfo and /proc/self/cgroup: mount procfs on /proc")
    }
    return try parse(
      mountInfo: mountInfo, ownCgroup: own, bootedBySystemd: access("/run/systemd/system", F_OK) == 0
    ) { KernelFile.text($0 + "/cgroup.controllers") ?? "" }
  }

  /// The trees that `mountInfo` (proc_pid_mountinfo(5)) and `ownCgroup` (cgroups(7), `/proc/PID/cgroup`) describe.
  ///
  /// - Parameters:
  ///   - bootedBySystemd: whether systemd keeps track of services; only then is its v1 tree used.
  ///   - controllers: the text of `cgroup.controllers` in the folder of the v2 tree.
  static func parse(
    mountInfo: String, ownCgroup: String, bootedBySystemd: Bool, controllers: (String) -> String
  ) throws(Fault) -> CgroupHierarchy {
    var ownLegacy: [Substring: String] = [:]
    var ownUnified = "/"
    for line in ownCgroup.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      if fields[0] == "0" && fields[1].isEmpty {
        ownUnified = String(fields[2])
      } else {
        for name in fields[1].split(separator: ",") { ownLegacy[name] = String(fields[2]) }
      }
    }
    var result = CgroupHierarchy(legacy: [:], unified: nil, unifiedControllers: [])
    for line in mountInfo.utf8.split(separator: UInt8(ascii: "\n")) {
      guard let mount = MountInfoLine(line) else { continue }
      if mount.type == "cgroup2", result.unified == nil {
        let own = relative(ownUnified, to: mount.root)
        result.unified = Mount(version: .v2, path: mount.path, root: mount.root, own: own)
        let names = Set(controllers(mount.path).split(whereSeparator: \.isWhitespace).map(String.init))
        result.unifiedControllers = Set(Controller.allCases.filter { $0.unifiedName.map(names.contains) ?? false })
      } else if mount.type == "cgroup" {
        for option in mount.superOptions {
          guard let controller = Controller(rawValue: String(option)), result.legacy[controller] == nil else {
            continue
          }
          if controller == .systemd && !bootedBySystemd { continue }
          let own = relative(ownLegacy[option] ?? "/", to: mount.root)
          result.legacy[controller] = Mount(
            version: .v1, path: mount.path, root: mount.root, own: own)
        }
      }
    }
    guard result.unified != nil || !result.legacy.isEmpty else {
      throw Fault(
        .unsupported, "no cgroup file system is mounted: mount one with `mount -t cgroup2 none /sys/fs/cgroup`")
    }
    return result
  }

  /// `path` of a process as seen below a mount whose root is the cgroup `root`; `/` when it lies outside.
  static func relative(_ path: String, to root: String) -> String {
    if root == "/" { return path }
    if path.hasPrefix(root + "/") { return String(path.dropFirst(root.count)) }
    return "/"
  }

  /// The tree in which `controller` can be limited; nil when this kernel does not offer it.
  func mount(for controller: Controller) -> Mount? {
    if let mount = legacy[controller] { return mount }
    switch controller {
    case .devices, .freezer: return unified
    case .cpuacct: return legacy[.cpu] == nil && unifiedControllers.contains(.cpu) ? unified : nil
    default: return unifiedControllers.contains(controller) ? unified : nil
    }
  }
}

/// The fields of one line of mountinfo that tell a cgroup mount.
private struct MountInfoLine {
  var root: String
  var path: String
  var type: Substring
  var superOptions: [Substring]

  /// Works on bytes: hundreds of mounts that are no cgroups are skipped on the way of every container's start.
  init?(_ line: Substring.UTF8View) {
    let fields = line.split(separator: UInt8(ascii: " "))
    guard let dash = fields[min(6, fields.count)...].firstIndex(where: { $0.elementsEqual("-".utf8) }),
      fields.count > dash + 3, fields[dash + 1].starts(with: "cgroup".utf8)
    else { return nil }
    type = Substring(fields[dash + 1])
    root = Mounts.unescaped(Substring(fields[3]))
    path = Mounts.unescaped(Substring(fields[4]))
    superOptions = fields[dash + 3].split(separator: UInt8(ascii: ",")).map { Substring($0) }
  }
}
