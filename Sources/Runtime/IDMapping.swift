internal import Faults
internal import Linux
internal import OCI
internal import SystemPackage

/// The ids of the container's user namespace, for mounts.
struct IDMapping {
  /// A user namespace that has them.
  let namespace: Int32
  /// One that has them and the host's root too. overlayfs makes what it needs for itself (in its work folder, and files
  /// until they have their owner) as who mounted it; without a place for that id on the disk, it cannot copy a file up.
  let layers: Int32
  /// Who the container's root is outside.
  let root: (uid: UInt32, gid: UInt32)

  /// What the host's root is on the disk: an id that no container has.
  private static let spare: UInt32 = 4_294_967_294

  /// Makes the namespaces for `maps`.
  init(uids: [RuntimeSpec.IDMapping], gids: [RuntimeSpec.IDMapping], bag: DescriptorBag) throws(Fault) {
    namespace = bag.add(try UserNamespace.make(userMap: Self.text(uids), groupMap: Self.text(gids)))
    layers = bag.add(
      try UserNamespace.make(userMap: Self.text(Self.withRoot(uids)), groupMap: Self.text(Self.withRoot(gids))))
    root = (try Self.root(uids, "uidMappings"), try Self.root(gids, "gidMappings"))
  }

  /// `maps` as uid_map and gid_map have it.
  static func text(_ maps: [RuntimeSpec.IDMapping]) -> String {
    maps.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined()
  }

  private static func withRoot(_ maps: [RuntimeSpec.IDMapping]) -> [RuntimeSpec.IDMapping] {
    if maps.contains(where: { $0.hostID == 0 && $0.size > 0 }) { return maps }
    return maps + [.init(containerID: spare, hostID: 0, size: 1)]
  }

  /// The id outside that 0 inside stands for.
  private static func root(_ ranges: [RuntimeSpec.IDMapping], _ name: String) throws(Fault) -> UInt32 {
    guard let range = ranges.first(where: { $0.containerID == 0 && $0.size > 0 }) else {
      throw Fault(.invalidArgument, "\(name) does not say who the container's root is outside: map the id 0")
    }
    return range.hostID
  }

  /// Gives the detached `mount` of `path` the ids of `namespace`. A file system that cannot do that is named.
  func apply(_ namespace: Int32, to mount: Int32, _ path: String, recursive: Bool) throws(Fault) {
    do throws(Errno) {
      try Mounts.change(mount, userNamespace: namespace, recursive: recursive)
    } catch {
      guard error == .invalidArgument || error == .notPermitted else {
        throw Fault(
          faultCode(for: error, otherwise: .internal),
          "cannot give \(path) the ids of the container's user namespace", cause: [error.description])
      }
      let kind = Self.fileSystem(of: path).map { "the file system \($0)" } ?? "its file system"
      throw Fault(
        .unsupported,
        "\(path) cannot be given the ids of the container's user namespace: \(kind)"
          + (recursive ? ", or one that is mounted below," : "") + " does not support idmapped mounts: keep it on "
          + "another (ext4, xfs, btrfs, tmpfs can), or run the container with --userns=host", cause: [error.description]
      )
    }
  }

  /// The type of the file system that `path` is on, for words alone.
  private static func fileSystem(of path: String) -> String? {
    guard let text = try? Files.readText("/proc/self/mountinfo", limit: 16 << 20) else { return nil }
    var best: (length: Int, type: String)?
    for line in text.split(separator: "\n") {
      let halves = line.split(separator: " ")
      guard halves.count > 6, let dash = halves.firstIndex(of: "-"), dash + 1 < halves.count else { continue }
      let point = String(halves[4])
      let isAbove = point == "/" || path == point || path.hasPrefix(point + "/")
      // A later mount on the same point covers the earlier one.
      if isAbove, point.utf8.count >= best?.length ?? 0 { best = (point.utf8.count, String(halves[dash + 1])) }
    }
    return best?.type
  }
}
