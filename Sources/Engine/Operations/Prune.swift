import Faults
import Protocol

extension Engine {
  /// Removes stopped containers. What they wrote is measured before.
  func pruneContainers(_ filters: Filters) async throws -> (deleted: [String], bytes: Int64) {
    try filters.refuseUnknown(["until", "label", "label!"])
    let until = try Self.until(filters)
    var deleted: [String] = []
    var bytes: Int64 = 0
    for container in directory.all.sorted(by: { $0.definition.created < $1.definition.created }) {
      let definition = container.definition
      switch container.state {
      case .created, .exited, .dead: break
      default: continue
      }
      if let until, definition.created >= until { continue }
      guard filters.matchesLabels(definition.config.labels ?? [:]) else { continue }
      let written = (try? await snapshots.usage(.init(key: definition.id)).bytes) ?? 0
      // One that was started, or removed, meanwhile stays as it is.
      let removed = try await allowing(.conflict, .notFound) {
        try await remove(container, force: false, volumes: false)
      }
      guard removed != nil else { continue }
      deleted.append(definition.id)
      bytes += written
    }
    events.publish(Event("container", "prune", actor: "", attributes: ["reclaimed": String(bytes)]))
    return (deleted, bytes)
  }

  /// Removes the images that no container needs: those without names, or all.
  func pruneImages(
    all: Bool, _ filters: Filters
  ) async throws -> (untagged: [String], deleted: [String], bytes: Int64) {
    try filters.refuseUnknown(["dangling", "until", "label", "label!"])
    let wantsAll = try filters.boolean("dangling").map { !$0 } ?? all
    let until = try Self.until(filters)
    let inUse = Set(directory.all.flatMap(\.definition.imageIDs))
    var untagged: [String] = []
    var deleted: [String] = []
    var bytes: Int64 = 0
    for image in try await images.list(.init(all: true)).images where !inUse.contains(image.id) {
      guard wantsAll || image.dangling, filters.matchesLabels(image.labels) else { continue }
      if let until, let created = Timestamp(rfc3339: image.created), created >= until { continue }
      for reference in image.repoTags.isEmpty || image.dangling ? [image.id] : image.repoTags {
        // A container that came meanwhile keeps it.
        let gone = try await allowing(.conflict, .notFound) {
          try await removeImage(reference, force: false, prune: false)
        }
        untagged += gone?.untagged ?? []
        deleted += gone?.deleted ?? []
        bytes += gone?.bytes ?? 0
      }
    }
    bytes += await collect(wait: true)
    events.publish(Event("image", "prune", actor: "", attributes: ["reclaimed": String(bytes)]))
    return (untagged, deleted, bytes)
  }

  /// The earliest moment that an `until` filter names: what is younger stays.
  static func until(_ filters: Filters) throws -> Timestamp? {
    try filters["until"]?.map { text in
      guard let moment = Timestamp(argument: text) else {
        throw Fault(.invalidArgument, "invalid filter 'until=\(text)': give a time or a length of time such as 24h")
      }
      return moment
    }.min()
  }
}
