public import Faults
public import JSONRPC
public import Protocol

/// What gantry.sock answers about volumes.
extension Engine {
  /// Makes a volume.
  public func volumeCreate(
    _ params: GatewayAPI.VolumeCreateParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.VolumeCreateResult {
    try await shielded { [self] in
      .init(
        volume: document(
          try await createVolume(
            name: params.name ?? "", driver: params.driver, options: params.options ?? [:], labels: params.labels ?? [:]
          )))
    }
  }

  /// Lists volumes.
  public func volumeList(
    _ params: GatewayAPI.VolumeListParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.VolumeListResult {
    try await faulted {
      .init(
        volumes: try listVolumes(Filters(params.filters ?? [:])).map { volume, _ in
          volume.wire(mountpoint: volumeData(volume.name))
        })
    }
  }

  /// Everything about a volume.
  public func volumeInspect(
    _ params: GatewayAPI.VolumeInspectParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.VolumeInspectResult {
    try await faulted { .init(volume: document(try volumes.find(params.volume))) }
  }

  /// Removes a volume.
  public func volumeRemove(
    _ params: GatewayAPI.VolumeRemoveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.VolumeRemoveResult {
    try await shielded { [self] in
      if params.force ?? false {
        try await allowing(.notFound) { try await removeVolume(params.volume) }
      } else {
        try await removeVolume(params.volume)
      }
      return .init()
    }
  }

  /// Removes volumes that no container has.
  public func volumePrune(
    _ params: GatewayAPI.VolumePruneParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.VolumePruneResult {
    try await shielded { [self] in
      let pruned = try await pruneVolumes(Filters(params.filters ?? [:]))
      return .init(deleted: pruned.deleted, spaceReclaimed: pruned.bytes)
    }
  }

  /// Removes stopped containers.
  public func containerPrune(
    _ params: GatewayAPI.ContainerPruneParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerPruneResult {
    try await shielded { [self] in
      let pruned = try await pruneContainers(Filters(params.filters ?? [:]))
      return .init(deleted: pruned.deleted, spaceReclaimed: pruned.bytes)
    }
  }

  /// Removes images that no container needs.
  public func imagePrune(
    _ params: GatewayAPI.ImagePruneParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImagePruneResult {
    try await shielded { [self] in
      let pruned = try await pruneImages(all: params.all ?? false, Filters(params.filters ?? [:]))
      return .init(untagged: pruned.untagged, deleted: pruned.deleted, spaceReclaimed: pruned.bytes)
    }
  }

  /// What everything takes on disk.
  public func systemDiskUsage(
    _ params: GatewayAPI.SystemDiskUsageParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemDiskUsageResult {
    try await faulted { try await diskUsage() }
  }

  /// Docker's Volume with every field, as inspect shows it.
  private func document(_ volume: Volume) -> JSONValue {
    func map(_ values: [String: String]) -> JSONValue {
      values.isEmpty ? .null : .object(values.mapValues(JSONValue.string))
    }
    let wire = volume.wire(mountpoint: volumeData(volume.name))
    return .object([
      "CreatedAt": .string(wire.createdAt ?? ""), "Driver": .string(wire.driver), "Labels": map(volume.labels),
      "Mountpoint": .string(wire.mountpoint), "Name": .string(volume.name), "Options": map(volume.options),
      "Scope": .string(wire.scope),
    ])
  }
}
