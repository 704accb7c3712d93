import Faults
import Protocol

/// One mount of a container as it was decided at create: where from, where to, how. It is kept with the container.
struct PlannedMount: Codable, Sendable, Equatable {
  enum Kind: String, Codable, Sendable { case bind, volume, tmpfs }
  var kind: Kind
  /// Path on the host; "" for tmpfs.
  var source: String
  /// Cleaned path in the container.
  var destination: String
  var readOnly = false
  /// What lies under the source comes along.
  var recursive = true
  /// `rprivate`, `rslave`, …; "" stands for `rprivate`.
  var propagation = ""
  /// Docker's `Mode`: the options of `-v` as they were given.
  var mode = ""
  /// The source folder is made when it is missing (`-v`, not `--mount`).
  var createSource = false
  /// Id of an anonymous volume.
  var volume: String?
  /// Options of a tmpfs.
  var options: [String] = []
}

/// Decides which mounts a container has, from the request and the image's volumes.
struct MountPlanner {
  /// The folder of the anonymous volumes.
  let volumesFolder: String

  /// All mounts, those with shorter destinations first, so that none covers a later one.
  func plan(config: ContainerConfig, hostConfig: HostConfig, imageVolumes: [String]) throws -> [PlannedMount] {
    var mounts: [PlannedMount] = []
    func add(_ mount: PlannedMount) throws {
      if mounts.contains(where: { $0.destination == mount.destination }) {
        throw Fault(.invalidArgument, "Duplicate mount point: \(mount.destination)")
      }
      mounts.append(mount)
    }
    for text in hostConfig.binds ?? [] { try add(bind(text)) }
    for mount in hostConfig.mounts ?? [] { try add(self.mount(mount)) }
    for (target, options) in (hostConfig.tmpfs ?? [:]).sorted(by: { $0.key < $1.key }) {
      let destination = try ContainerPath.destination(target, field: "Tmpfs")
      try add(
        PlannedMount(
          kind: .tmpfs, source: "", destination: destination, options: try MountPlanner.tmpfs(options, field: "Tmpfs")))
    }
    for target in config.volumes.map({ $0.keys.sorted() }) ?? [] {
      let destination = try ContainerPath.destination(
        target, field: "Volumes", fromImage: imageVolumes.contains(target))
      if !mounts.contains(where: { $0.destination == destination }) { try add(volume(at: destination)) }
    }
    return mounts.sorted { left, right in
      let depth = (left.destination.utf8.count { $0 == 47 }, right.destination.utf8.count { $0 == 47 })
      return depth.0 != depth.1 ? depth.0 < depth.1 : left.destination < right.destination
    }
  }

  private func volume(at destination: String, readOnly: Bool = false) -> PlannedMount {
    let id = Identifier.random()
    return PlannedMount(
      kind: .volume, source: "\(volumesFolder)/\(id)/_data", destination: destination, readOnly: readOnly, volume: id)
  }

  /// `SOURCE:DESTINATION[:OPTIONS]` of `-v`.
  private func bind(_ text: String) throws -> PlannedMount {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else {
      throw Fault(.invalidArgument, "Binds: invalid volume specification: '\(text)': give SOURCE:DESTINATION[:OPTIONS]")
    }
    guard parts[0].hasPrefix("/") else {
      throw Fault(
        .unsupported,
        "Binds: '\(parts[0])' names a volume, and named volumes are not built yet: give an absolute path of the host")
    }
    var mount = PlannedMount(
      kind: .bind, source: ContainerPath.clean(parts[0]),
      destination: try ContainerPath.destination(parts[1], field: "Binds"), createSource: true)
    if parts.count == 3 {
      mount.mode = parts[2]
      for option in parts[2].split(separator: ",") {
        switch option {
        case "ro", "readonly": mount.readOnly = true
        case "rw": mount.readOnly = false
        case "z", "Z", "nocopy", "consistent", "cached", "delegated": break  // no SELinux labels, no copies here
        case "bind": mount.recursive = false
        case "rbind": mount.recursive = true
        case "shared", "rshared", "slave", "rslave", "private", "rprivate": mount.propagation = String(option)
        default:
          throw Fault(
            .invalidArgument,
            "Binds: invalid mode: \(parts[2]): \"\(option)\" is none of ro, rw, z, Z, [r]bind, [r]shared, [r]slave, "
              + "[r]private, nocopy")
        }
      }
    }
    return mount
  }

  /// One entry of `--mount`.
  private func mount(_ mount: GatewayAPI.Mount) throws -> PlannedMount {
    let destination = try ContainerPath.destination(mount.target ?? "", field: "Mounts")
    let readOnly = mount.readOnly ?? false
    switch mount.type?.rawValue ?? "volume" {
    case "bind":
      let source = mount.source ?? ""
      guard source.hasPrefix("/") else {
        throw Fault(
          .invalidArgument, "invalid mount config for type \"bind\": invalid mount path: '\(source)' must be absolute")
      }
      var planned = PlannedMount(
        kind: .bind, source: ContainerPath.clean(source), destination: destination, readOnly: readOnly)
      if let options = mount.bindOptions {
        planned.recursive = !(options.nonRecursive ?? false)
        planned.createSource = options.createMountpoint ?? false
        if let propagation = options.propagation, !propagation.isEmpty {
          guard ["shared", "rshared", "slave", "rslave", "private", "rprivate"].contains(propagation) else {
            throw Fault(
              .invalidArgument,
              "Mounts: bind propagation '\(propagation)' is none of [r]private, [r]slave, [r]shared")
          }
          planned.propagation = propagation
        }
      }
      return planned
    case "tmpfs":
      guard (mount.source ?? "").isEmpty else {
        throw Fault(.invalidArgument, "invalid mount config for type \"tmpfs\": field Source must not be specified")
      }
      var options = ["nosuid", "nodev", "noexec"]
      if let size = mount.tmpfsOptions?.sizeBytes, size > 0 { options.append("size=\(size)") }
      if let mode = mount.tmpfsOptions?.mode { options.append("mode=" + String(mode, radix: 8)) }
      if readOnly { options.append("ro") }
      return PlannedMount(kind: .tmpfs, source: "", destination: destination, readOnly: readOnly, options: options)
    case "volume":
      guard (mount.source ?? "").isEmpty else {
        throw Fault(
          .unsupported,
          "Mounts: '\(mount.source ?? "")' names a volume, and named volumes are not built yet: leave the source out for an "
            + "anonymous volume, or use type bind")
      }
      return volume(at: destination, readOnly: readOnly)
    default:
      throw Fault(
        .unsupported,
        "Mounts: mount type \"\(mount.type?.rawValue ?? "")\" is not built yet: known are bind, tmpfs, volume")
    }
  }

  /// The options of `--tmpfs /run:size=64m,exec` over Docker's own (`noexec,nosuid,nodev`).
  static func tmpfs(_ text: String, field: String) throws -> [String] {
    var options = ["noexec", "nosuid", "nodev"]
    let flags: [String: String] = [
      "exec": "noexec", "noexec": "exec", "suid": "nosuid", "nosuid": "suid", "dev": "nodev", "nodev": "dev",
      "rw": "ro",
      "ro": "rw", "atime": "noatime", "noatime": "atime", "diratime": "nodiratime", "nodiratime": "diratime",
      "relatime": "norelatime", "norelatime": "relatime", "strictatime": "nostrictatime", "sync": "async",
      "async": "sync", "nostrictatime": "strictatime",
    ]
    for part in text.split(separator: ",") {
      let option = String(part)
      if let opposite = flags[option] {
        options.removeAll { $0 == opposite || $0 == option }
        options.append(option)
        continue
      }
      let pair = option.split(separator: "=", maxSplits: 1)
      guard pair.count == 2, ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"].contains(pair[0]) else {
        throw Fault(
          .invalidArgument,
          "\(field): \"\(option)\" is no option of a tmpfs: known are size, mode, uid, gid, nr_inodes, "
            + "nr_blocks, [no]exec, [no]suid, [no]dev, ro, rw, and those of access times")
      }
      options.removeAll { $0.hasPrefix(pair[0] + "=") }
      options.append(option)
    }
    return options
  }
}
