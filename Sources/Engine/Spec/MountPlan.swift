import Faults
import Protocol

/// One mount of a container as it was decided at create: where from, where to, how. It is kept with the container.
struct PlannedMount: Codable, Sendable, Equatable {
  enum Kind: String, Codable, Sendable { case bind, volume, tmpfs, image }

  /// An image that is mounted.
  struct Image: Codable, Sendable, Equatable {
    /// Digest of its configuration.
    var id: String
    /// chainID of its topmost layer; nil for an image without layers.
    var parent: String?
    /// The name of the mount's own snapshot; "" until the container has an id.
    var key = ""
  }

  var kind: Kind
  /// Path on the host; the image's name for an image; "" for tmpfs.
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
  /// Name of a volume.
  var volume: String?
  /// Options of a tmpfs.
  var options: [String] = []

  // What came later is optional: containers of before do not have it.

  /// The volume was asked for by its name: it outlives the container.
  var isNamed: Bool?
  /// An empty volume is filled with what the image has at the destination.
  var copies: Bool?
  /// The path within the volume or image that is mounted in place of the whole.
  var subpath: String?
  /// `readOnly` leaves what lies under the source writable.
  var readOnlyAtTopOnly: Bool?
  var image: Image?
}

/// All mounts of a new container, and the volumes that it needs.
struct MountPlan: Sendable, Equatable {
  var mounts: [PlannedMount] = []
  var volumes: [WantedVolume] = []
}

/// Decides which mounts a container has, from the request and the image's volumes, by Docker's rules: what comes from
/// another container gives way to what was asked for by path, and the image's volumes to both.
struct MountPlanner {
  /// The folder of the volumes.
  let volumesFolder: String
  /// The mounts of the container that `--volumes-from` names.
  var mountsOf: (String) throws -> [PlannedMount] = { throw Fault(.notFound, "No such container: \($0)") }
  /// The images of `--mount type=image`, by the names that were given.
  var images: [String: RunImage] = [:]

  private struct Draft {
    var mounts: [PlannedMount] = []
    var volumes: [WantedVolume] = []
    /// How many came from other containers: the first ones.
    var inherited = 0

    mutating func add(_ mount: PlannedMount, _ volume: WantedVolume? = nil) throws {
      if let index = mounts.firstIndex(where: { $0.destination == mount.destination }) {
        guard index < inherited else {
          throw Fault(.invalidArgument, "Duplicate mount point: \(mount.destination)")
        }
        mounts.remove(at: index)
        inherited -= 1
      }
      mounts.append(mount)
      if let volume { volumes.append(volume) }
    }
  }

  /// All mounts, those with shorter destinations first, so that none covers a later one.
  func plan(config: ContainerConfig, hostConfig: HostConfig, imageVolumes: [String]) throws -> MountPlan {
    try Volume.check(driver: hostConfig.volumeDriver)
    var draft = Draft()
    for text in hostConfig.volumesFrom ?? [] {
      let source = try VolumesFrom(text)
      for mount in try mountsOf(source.container) {
        var mount = mount
        mount.readOnly = mount.readOnly || source.readOnly
        mount.mode = source.mode
        mount.copies = nil
        draft.mounts.removeAll { $0.destination == mount.destination }
        draft.mounts.append(mount)
      }
    }
    draft.inherited = draft.mounts.count
    for text in hostConfig.binds ?? [] {
      let (mount, volume) = try bind(text)
      try draft.add(mount, volume)
    }
    for mount in hostConfig.mounts ?? [] {
      let (planned, volume) = try self.mount(mount)
      try draft.add(planned, volume)
    }
    for (target, options) in (hostConfig.tmpfs ?? [:]).sorted(by: { $0.key < $1.key }) {
      let destination = try ContainerPath.destination(target, field: "Tmpfs")
      try draft.add(
        PlannedMount(
          kind: .tmpfs, source: "", destination: destination, options: try MountPlanner.tmpfs(options, field: "Tmpfs")))
    }
    for target in config.volumes.map({ $0.keys.sorted() }) ?? [] {
      let destination = try ContainerPath.destination(
        target, field: "Volumes", fromImage: imageVolumes.contains(target))
      if draft.mounts.contains(where: { $0.destination == destination }) { continue }
      let volume = WantedVolume(name: Identifier.random(), isAnonymous: true)
      var mount = self.volume(volume, at: destination)
      mount.mode = ""
      try draft.add(mount, volume)
    }
    // Volumes of other containers exist, and are held by this one too.
    let own = Set(draft.volumes.map(\.name))
    var inherited: Set<String> = []
    for mount in draft.mounts {
      guard let name = mount.volume, !own.contains(name), inherited.insert(name).inserted else { continue }
      draft.volumes.append(WantedVolume(name: name))
    }
    let sorted = draft.mounts.sorted { left, right in
      let depth = (left.destination.utf8.count { $0 == 47 }, right.destination.utf8.count { $0 == 47 })
      return depth.0 != depth.1 ? depth.0 < depth.1 : left.destination < right.destination
    }
    return MountPlan(mounts: sorted, volumes: draft.volumes)
  }

  private func volume(_ volume: WantedVolume, at destination: String) -> PlannedMount {
    PlannedMount(
      kind: .volume, source: "\(volumesFolder)/\(volume.name)/_data", destination: destination, mode: "z",
      volume: volume.name, isNamed: volume.isAnonymous ? nil : true, copies: true)
  }

  /// `SOURCE:DESTINATION[:OPTIONS]` of `-v`: a path of the host or the name of a volume.
  private func bind(_ text: String) throws -> (PlannedMount, WantedVolume?) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else {
      throw Fault(.invalidArgument, "Binds: invalid volume specification: '\(text)': give SOURCE:DESTINATION[:OPTIONS]")
    }
    let destination = try ContainerPath.destination(parts[1], field: "Binds")
    let isPath = parts[0].hasPrefix("/")
    var mount: PlannedMount
    var wanted: WantedVolume?
    if isPath {
      mount = PlannedMount(
        kind: .bind, source: ContainerPath.clean(parts[0]), destination: destination, createSource: true)
    } else {
      try Volume.check(name: parts[0])
      let volume = WantedVolume(name: parts[0])
      wanted = volume
      mount = self.volume(volume, at: destination)
    }
    guard parts.count == 3, !parts[2].isEmpty else { return (mount, wanted) }
    mount.mode = parts[2]
    for option in parts[2].split(separator: ",", omittingEmptySubsequences: false) {
      switch option {
      case "ro", "readonly": mount.readOnly = true
      case "rw": mount.readOnly = false
      case "z", "Z", "consistent", "cached", "delegated": break  // labels of SELinux, which Gantry does not set
      case "nocopy": mount.copies = nil
      case "bind" where isPath: mount.recursive = false
      case "rbind" where isPath: mount.recursive = true
      case "shared", "rshared", "slave", "rslave", "private", "rprivate":
        guard isPath else {
          throw Fault(
            .invalidArgument,
            "Binds: invalid mode: \(parts[2]): \"\(option)\" is for paths of the host, and \(parts[0]) is a volume")
        }
        mount.propagation = String(option)
      default:
        throw Fault(
          .invalidArgument,
          "Binds: invalid mode: \(parts[2]): \"\(option)\" is none of ro, rw, z, Z, [r]bind, [r]shared, [r]slave, "
            + "[r]private, nocopy")
      }
    }
    return (mount, wanted)
  }

  /// One entry of `--mount`.
  private func mount(_ mount: GatewayAPI.Mount) throws -> (PlannedMount, WantedVolume?) {
    let type = mount.type?.rawValue ?? "volume"
    try MountFields.check(mount, type)
    let destination = try ContainerPath.destination(mount.target ?? "", field: "Mounts")
    let readOnly = mount.readOnly ?? false
    switch type {
    case "bind":
      var planned = try bind(mount, at: destination)
      planned.readOnly = readOnly
      return (planned, nil)
    case "tmpfs":
      var options = ["nosuid", "nodev", "noexec"]
      if let size = mount.tmpfsOptions?.sizeBytes, size > 0 { options.append("size=\(size)") }
      if let mode = mount.tmpfsOptions?.mode { options.append("mode=" + String(mode, radix: 8)) }
      let further = (mount.tmpfsOptions?.options ?? []).map { $0.joined(separator: "=") }.joined(separator: ",")
      if !further.isEmpty { options = try MountPlanner.tmpfs(further, field: "Mounts", over: options) }
      if readOnly { options.append("ro") }
      return (
        PlannedMount(kind: .tmpfs, source: "", destination: destination, readOnly: readOnly, options: options), nil
      )
    case "image":
      let name = mount.source ?? ""
      guard let image = images[name] else { throw Fault(.notFound, "No such image: \(name)") }
      return (
        PlannedMount(
          kind: .image, source: name, destination: destination, readOnly: readOnly,
          subpath: try MountFields.subpath(mount.imageOptions?.subpath),
          image: .init(id: image.id, parent: image.parent)),
        nil
      )
    default:
      let options = mount.volumeOptions
      try Volume.check(driver: options?.driverConfig?.name)
      let name = mount.source ?? ""
      if !name.isEmpty { try Volume.check(name: name) }
      let wanted = WantedVolume(
        name: name.isEmpty ? Identifier.random() : name, options: options?.driverConfig?.options ?? [:],
        labels: options?.labels ?? [:], isAnonymous: name.isEmpty)
      var planned = volume(wanted, at: destination)
      planned.readOnly = readOnly
      planned.subpath = try MountFields.subpath(options?.subpath)
      if options?.noCopy ?? false || planned.subpath != nil { planned.copies = nil }
      return (planned, wanted)
    }
  }

  private func bind(_ mount: GatewayAPI.Mount, at destination: String) throws -> PlannedMount {
    let source = mount.source ?? ""
    guard source.hasPrefix("/") else {
      throw Fault(
        .invalidArgument, "invalid mount config for type \"bind\": invalid mount path: '\(source)' must be absolute")
    }
    var planned = PlannedMount(kind: .bind, source: ContainerPath.clean(source), destination: destination)
    guard let options = mount.bindOptions else { return planned }
    planned.recursive = !(options.nonRecursive ?? false)
    planned.createSource = options.createMountpoint ?? false
    if options.readOnlyNonRecursive ?? false { planned.readOnlyAtTopOnly = true }
    if let propagation = options.propagation, !propagation.isEmpty {
      guard ["shared", "rshared", "slave", "rslave", "private", "rprivate"].contains(propagation) else {
        throw Fault(
          .invalidArgument,
          "Mounts: bind propagation '\(propagation)' is none of [r]private, [r]slave, [r]shared")
      }
      planned.propagation = propagation
    }
    return planned
  }

  /// The options of `--tmpfs /run:size=64m,exec` over Docker's own (`noexec,nosuid,nodev`).
  static func tmpfs(
    _ text: String, field: String, over standard: [String] = ["noexec", "nosuid", "nodev"]
  ) throws -> [String] {
    var options = standard
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
