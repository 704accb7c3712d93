import Faults
import Protocol

/// How the engine keeps the images within `max-disk`: what they take on disk, content and layers. Containers and volumes are
/// not counted, since nothing here may remove them.
extension Engine {
  private var maxDisk: Int64? { settings.configuration?.current.maxDisk }

  /// Before images come: makes room if too much is taken already. Throws `noSpace` when that is not possible.
  func makeRoomForImages() async throws {
    guard let limit = maxDisk else { return }
    let plan = try await keepBudget(limit)
    guard plan.fits else { throw Engine.overBudget(plan.bytes, limit) }
  }

  /// After images came, and now and then: removes the images that were not used for the longest time until the rest fits.
  /// That it does not is told in the log and as an event.
  ///
  /// - Parameter keeping: ids that stay whatever is taken: what was asked for a moment ago.
  func keepBudget(keeping: Set<String> = []) async {
    guard let limit = maxDisk else { return }
    do {
      let plan = try await keepBudget(limit, keeping: keeping)
      if plan.fits { return }
      let fault = Engine.overBudget(plan.bytes, limit)
      log.warning("\(fault.message)")
      events.publish(
        Event(
          "daemon", "over-budget", actor: "max-disk",
          attributes: ["name": "max-disk", "bytes": String(plan.bytes), "limit": String(limit)]))
    } catch {
      log.error("cannot see whether images are within max-disk", metadata: ["error": "\(error)"])
    }
  }

  private func keepBudget(_ limit: Int64, keeping: Set<String> = []) async throws -> DiskBudget.Plan {
    await tellUse()
    let plan = try await budget(limit, keeping: keeping).plan
    if plan.removed.isEmpty { return plan }
    for id in plan.removed {
      // A container that came meanwhile keeps its image; one that is gone already is as it should be.
      let gone = try await allowing(.conflict, .notFound) {
        try await removeImage(id, force: true, prune: false, evenUsed: false)
      }
      guard let gone, gone.deleted.contains(id) else { continue }
      let name = gone.untagged.first ?? id
      log.notice("removed an image to keep within max-disk", metadata: ["image": "\(name)", "limit": "\(limit)"])
      publishImage("evict", id: id, name: name, labels: ["reason": "max-disk"])
    }
    _ = await collect(wait: true)
    // What is taken now, without going on: an image that could not be removed is told, not tried for ever.
    var after = try await budget(limit, keeping: keeping)
    for index in after.images.indices { after.images[index].mayGo = false }
    return after.plan
  }

  /// The images with what they take and whether they may go.
  private func budget(_ limit: Int64, keeping: Set<String>) async throws -> DiskBudget {
    let graph = try await images.graph(.init())
    let layers = try await snapshots.list(.init()).snapshots.filter { $0.kind == .layer }
    let leased = Set(try await images.leases(.init()).leases.flatMap(\.holds))
      .union(try await snapshots.leases(.init()).leases.flatMap(\.holds))
    let used = Set(directory.all.flatMap(\.definition.imageIDs)).union(keeping)
    var sizes: [String: Int64] = [:]
    // Layers with the same files share a folder.
    let folders = Dictionary(layers.map { ($0.key, $0) }) { first, _ in first }
    for layer in layers { sizes[layer.path] = layer.bytes ?? 0 }
    for layer in graph.layers { sizes[layer.digest] = layer.stored }
    // The same configuration can have come with several manifests: they go together.
    var byID: [String: DiskBudget.Image] = [:]
    for image in graph.images {
      let chain = image.layers.map { graph.layers[Int($0)] }
      let parts = Set(chain.flatMap { [$0.digest] + (folders[$0.chainID].map { [$0.path] } ?? []) })
      let isLeased =
        leased.contains(image.manifest)
        || chain.contains { leased.contains($0.digest) || leased.contains($0.chainID) }
      var entry = byID[image.id] ?? .init(id: image.id, used: 0, mayGo: !used.contains(image.id), parts: [])
      entry.used = max(entry.used, image.used)
      entry.mayGo = entry.mayGo && !image.pinned && !isLeased
      entry.parts.formUnion(parts)
      byID[image.id] = entry
    }
    return DiskBudget(limit: limit, images: byID.values.sorted { $0.id < $1.id }, sizes: sizes)
  }

  private static func overBudget(_ bytes: Int64, _ limit: Int64) -> Fault {
    Fault(
      .noSpace,
      "images take \(bytes) bytes, more than the \(limit) of max-disk, and all that are left are in use or pinned: "
        + "remove containers or images, unpin some, or raise max-disk")
  }
}
