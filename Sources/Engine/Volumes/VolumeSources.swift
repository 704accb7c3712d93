import Faults
import Linux
import OCI
import Protocol
import SystemPackage

/// What is there before a container starts: volumes' folders and content, sources of binds, images to mount.
extension Engine {
  /// `volumes/NAME`, which holds `_data` and, while that is being filled, `filling`.
  func volumeFolder(_ name: String) -> String { "\(settings.folder)/volumes/\(name)" }

  func volumeData(_ name: String) -> String { volumeFolder(name) + "/_data" }

  /// Makes volumes' folders and the sources of `-v` that are missing, and checks what a mount takes for granted.
  func prepareSources(_ definition: ContainerDefinition) throws {
    for mount in definition.mounts {
      switch mount.kind {
      case .tmpfs, .image: break
      case .volume:
        let name = mount.volume ?? ""
        try Folders.make(volumeFolder(name), mode: 0o701)
        try Folders.make(volumeData(name), mode: 0o755)
        try checkAlone(definition, name)
      case .bind:
        // What is there may be a file as well as a folder; what `-v` makes is a folder.
        if !Folders.exists(mount.source) {
          guard mount.createSource else {
            throw Fault(
              .invalidArgument,
              "invalid mount config for type \"bind\": bind source path does not exist: \(mount.source)")
          }
          try Folders.make(mount.source, mode: 0o755)
        }
        try Propagation.check(mount)
      }
    }
  }

  /// A tmpfs volume lives in the mount namespace of the container that has it: a second one would see another, empty one.
  private func checkAlone(_ definition: ContainerDefinition, _ name: String) throws {
    guard case .fileSystem("tmpfs", _, _) = volumes.backing(of: name) else { return }
    for user in volumes.users(of: name) where user != definition.id {
      guard let other = directory.container(id: user), other.state.running != nil else { continue }
      throw Fault(
        .conflict,
        "the volume \(name) is a tmpfs in the memory of container \(other.name), which runs: a tmpfs volume serves one "
          + "container at a time; stop that, or use a volume on disk")
    }
  }

  // MARK: Filling

  /// Fills the container's empty volumes with what its image has at their destinations. A volume that holds anything stays
  /// as it is (CVE-2020-1726), unless a filling was cut off: the mark `filling` beside its folder says so.
  ///
  /// - Parameter onlyCutOff: nothing but what was cut off; at a later start.
  func fillVolumes(_ definition: ContainerDefinition, onlyCutOff: Bool = false) async throws {
    guard let parent = definition.parent else { return }
    for mount in definition.mounts where mount.copies == true {
      guard let name = mount.volume else { continue }
      let data = volumeData(name)
      guard let target = volumes.backing(of: name).folder(or: data) else { continue }
      let mark = volumeFolder(name) + "/filling"
      if onlyCutOff, !Folders.exists(mark) { continue }
      try await volumes.filling(name) {
        let wasCutOff = Folders.exists(mark)
        guard wasCutOff || (!onlyCutOff && Folders.isEmpty(target)) else { return }
        // What is in a folder of ours that no other container has can only be the rest of that filling.
        if wasCutOff, target == data, volumes.users(of: name) == [definition.id] {
          try await disk.run { try Folders.empty(target) }
        }
        if !wasCutOff { try Folders.mark(mark, durable: definition.durable) }
        _ = try await snapshots.fill(
          .init(parent: parent, path: mount.destination, target: target, durable: definition.durable ? true : nil))
        try Folders.unmark(mark)
      }
    }
  }

  // MARK: Images

  /// How the images of the container's mounts are mounted, by destination. Each mount has a snapshot of its own, so that
  /// what is written to one is seen nowhere else, and the layers stay as long as the container does.
  func prepareImages(_ definition: ContainerDefinition) async throws -> [String: MountSpec] {
    var result: [String: MountSpec] = [:]
    for mount in definition.mounts {
      guard let image = mount.image else { continue }
      result[mount.destination] = try await snapshot(of: image, mount, definition).first
    }
    return result
  }

  private func snapshot(
    of image: PlannedMount.Image, _ mount: PlannedMount, _ definition: ContainerDefinition
  ) async throws -> [MountSpec] {
    func make() async throws -> [MountSpec] {
      do {
        if mount.readOnly { return try await snapshots.view(.init(key: image.key, parent: image.parent)).mounts }
        return try await snapshots.prepare(
          .init(key: image.key, parent: image.parent, volatile: definition.autoRemove ? true : nil, labels: nil)
        ).mounts
      } catch let fault as Fault where fault.code == .alreadyExists {
        return try await snapshots.mounts(.init(key: image.key)).mounts
      }
    }
    if let mounts = try await allowing(.notFound, body: make) { return mounts }
    _ = try await snapshots.unpack(.init(layers: try await runImage(image.id).layers))
    return try await make()
  }
}

/// What mounts and unmounts below a source reach, and what the source must be for that.
enum Propagation {
  /// Throws when the source of a bind that is to be shared, or to follow the host, is itself private: the container would
  /// never see what it asked for.
  static func check(_ mount: PlannedMount) throws {
    let wanted = mount.propagation.hasPrefix("r") ? String(mount.propagation.dropFirst()) : mount.propagation
    guard wanted == "shared" || wanted == "slave" else { return }
    let number: UInt64
    do throws(Errno) {
      number = try FileStatus(mount.source, followLinks: true).mountID
    } catch {
      throw Fault(.invalidArgument, "the propagation of \(mount.source) cannot be read", cause: ["\(error)"])
    }
    let table = (try? Files.readText("/proc/self/mountinfo", limit: 16 << 20)) ?? ""
    for line in table.split(separator: "\n") where line.hasPrefix("\(number) ") {
      // id, parent, device, root, mount point, options, then optional fields up to "-".
      let fields = line.split(separator: " ")
      let tags = fields.dropFirst(6).prefix { $0 != "-" }
      if tags.contains(where: { $0.hasPrefix("shared:") }) { return }
      if wanted == "slave", tags.contains(where: { $0.hasPrefix("master:") }) { return }
      let place = fields.count > 4 ? String(fields[4]) : mount.source
      throw Fault(
        .invalidArgument,
        "path \(mount.source) is mounted on \(place) but it is not a shared \(wanted == "slave" ? "or slave " : "")mount: "
          + "make it one with `mount --make-shared \(place)`, or leave \(mount.propagation) out")
    }
  }
}
