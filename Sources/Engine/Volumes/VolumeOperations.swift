import Faults
import Linux
import Protocol

extension Engine {
  /// Decides all mounts of a new container.
  func planMounts(_ config: ContainerConfig, _ host: HostConfig, imageVolumes: [String]) async throws -> MountPlan {
    var planner = MountPlanner(volumesFolder: settings.folder + "/volumes")
    planner.mountsOf = { [directory] in try directory.resolve($0).definition.mounts }
    for mount in host.mounts ?? [] where mount.type == .image {
      guard let name = mount.source, !name.isEmpty, planner.images[name] == nil else { continue }
      planner.images[name] = try await runImage(name)
    }
    return try planner.plan(config: config, hostConfig: host, imageVolumes: imageVolumes)
  }

  /// Writes the rows of volumes that are new, before anything of them is made.
  func insertVolumes(_ new: [Volume]) async throws {
    guard !new.isEmpty else { return }
    try await store.insert(new, durable: new.contains { !$0.isAnonymous })
    publishCreated(volumes.stored(new))
  }

  /// Makes a volume, or finds the one of that name that is as it was asked for.
  func createVolume(
    name: String, driver: String?, options: [String: String], labels: [String: String]
  ) async throws -> Volume {
    try Volume.check(driver: driver)
    if !name.isEmpty { try Volume.check(name: name) }
    let wanted = WantedVolume(
      name: name.isEmpty ? Identifier.random() : name, options: options, labels: labels, isAnonymous: name.isEmpty)
    let new = try volumes.take([wanted], for: nil)
    do {
      if !new.isEmpty {
        // Without a container that it belongs to, an anonymous one is as lasting as any other.
        try await store.insert(new, durable: true, doomed: false)
        publishCreated(volumes.stored(new))
      }
      try Folders.make(volumeFolder(wanted.name), mode: 0o701)
      try Folders.make(volumeData(wanted.name), mode: 0o755)
    } catch {
      volumes.release([wanted.name], of: nil)
      throw error
    }
    return try volumes.find(wanted.name)
  }

  /// The volumes that `filters` leave, by name.
  func listVolumes(_ filters: Filters) throws -> [(volume: Volume, users: Set<String>)] {
    try filters.refuseUnknown(["dangling", "driver", "label", "label!", "name"])
    let dangling = try filters.boolean("dangling")
    return volumes.all.filter { volume, users in
      if let dangling, users.isEmpty != dangling { return false }
      if let drivers = filters["driver"], !drivers.contains(Volume.driver) { return false }
      return filters.matchesLabels(volume.labels) && filters.matchesPattern("name", [volume.name])
    }
  }

  /// Removes a volume that no container has.
  func removeVolume(_ name: String) async throws {
    try volumes.beginRemoval(name)
    do {
      try await store.doom(name)
      try await removeVolumes([name])
    } catch {
      volumes.removalFailed(name)
      throw error
    }
  }

  /// Deletes doomed volumes: what they hold, then their rows.
  func removeVolumes(_ names: [String]) async throws {
    for name in names {
      let folder = volumeFolder(name)
      try await disk.run { try Folders.removeTree(folder) }
      try await store.forgetVolumes([name])
      volumes.forget(name)
      publishVolume("destroy", name)
    }
  }

  /// Removes the volumes that no container has: anonymous ones, or all with the filter `all`.
  func pruneVolumes(_ filters: Filters) async throws -> (deleted: [String], bytes: Int64) {
    try filters.refuseUnknown(["all", "label", "label!"])
    let all = try filters.boolean("all") ?? false
    var deleted: [String] = []
    var bytes: Int64 = 0
    for (volume, users) in volumes.all where users.isEmpty && (all || volume.isAnonymous) {
      guard filters.matchesLabels(volume.labels) else { continue }
      let size = max(0, await size(of: volume))
      // One that got a user meanwhile stays.
      guard try await allowing(.conflict, .notFound, body: { try await removeVolume(volume.name) }) != nil else {
        continue
      }
      deleted.append(volume.name)
      bytes += size
    }
    events.publish(Event("volume", "prune", actor: "", attributes: ["reclaimed": String(bytes)]))
    return (deleted, bytes)
  }

  /// Bytes of what a volume holds; -1 for file systems of their own and folders of the host, which are not the engine's.
  func size(of volume: Volume) async -> Int64 {
    guard case .folder = volume.backing else { return -1 }
    let path = volumeData(volume.name)
    return (try? await disk.run { Folders.contentSize(path) }) ?? -1
  }

  // MARK: Events

  func publishVolume(_ action: String, _ name: String, _ attributes: [String: String] = [:]) {
    events.publish(
      Event("volume", action, actor: name, attributes: attributes.merging(["driver": Volume.driver]) { own, _ in own }))
  }

  func publishCreated(_ new: [Volume]) { for volume in new { publishVolume("create", volume.name) } }

  /// Tells that a container's volumes are mounted, or not any more.
  func publishMounts(_ container: Container, ended: Bool = false) {
    for mount in container.definition.mounts {
      guard let name = mount.volume else { continue }
      var attributes = ["container": container.id]
      if !ended {
        attributes["destination"] = mount.destination
        attributes["read/write"] = mount.readOnly ? "false" : "true"
        attributes["propagation"] = mount.propagation
      }
      publishVolume(ended ? "unmount" : "mount", name, attributes)
    }
  }
}
