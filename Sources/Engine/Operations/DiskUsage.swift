import Protocol

extension Engine {
  /// What images, containers and volumes take on disk.
  func diskUsage() async throws -> GatewayAPI.SystemDiskUsageResult {
    await tellUse()
    let images = try await imageUsage()
    let containers = try await list(all: true, limit: 0, filters: Filters(), sizes: true)
    var volumes: [GatewayAPI.Volume] = []
    for (volume, users) in self.volumes.all {
      var wire = volume.wire(mountpoint: volumeData(volume.name))
      wire.usageData = .init(size: await size(of: volume), refCount: Int64(users.count))
      volumes.append(wire)
    }
    return .init(layersSize: images.bytes, images: images.list, containers: containers, volumes: volumes)
  }

  /// The images, newest first, with what each takes: its layers' folders and its content. What several images have is
  /// counted once in the sum, and for each of them as shared.
  private func imageUsage() async throws -> (list: [GatewayAPI.ImageUsage], bytes: Int64) {
    let graph = try await images.graph(.init())
    let layers = try await snapshots.list(.init()).snapshots.filter { $0.kind == .layer }
    var sizes: [String: Int64] = [:]
    var folders: [String: String] = [:]
    for layer in layers {
      folders[layer.key] = layer.path
      sizes[layer.path] = layer.bytes ?? 0
    }
    let taken = sizes.values.reduce(0, +) + graph.bytes
    for layer in graph.layers { sizes[layer.digest] = layer.stored }
    var parts: [String: Set<String>] = [:]
    var facts: [String: UseFacts] = [:]
    for image in graph.images {
      for position in image.layers {
        let layer = graph.layers[Int(position)]
        parts[image.id, default: []].insert(layer.digest)
        if let folder = folders[layer.chainID] { parts[image.id, default: []].insert(folder) }
      }
      let known = facts[image.id] ?? UseFacts()
      facts[image.id] = .init(isPinned: known.isPinned || image.pinned, used: max(known.used, image.used))
    }
    var holders: [String: Int] = [:]
    for own in parts.values { for part in own { holders[part, default: 0] += 1 } }
    let users = directory.all.flatMap { Set($0.definition.imageIDs) }
    let list = try await listImages(all: true, filters: Filters()).map { image in
      let own = parts[image.id] ?? []
      let known = facts[image.id] ?? UseFacts()
      return GatewayAPI.ImageUsage(
        id: image.id, repoTags: image.repoTags, repoDigests: image.repoDigests, created: image.created,
        size: own.reduce(0) { $0 + (sizes[$1] ?? 0) },
        sharedSize: own.reduce(0) { $0 + (holders[$1] ?? 0 > 1 ? sizes[$1] ?? 0 : 0) },
        containers: Int64(users.count { $0 == image.id }), pinned: known.isPinned,
        used: Timestamp(nanoseconds: known.used * 1_000_000_000).text())
    }
    return (list, taken)
  }
}

/// What is known of the use of an image whose configuration may have come with several manifests.
private struct UseFacts {
  var isPinned = false
  var used: Int64 = 0
}
