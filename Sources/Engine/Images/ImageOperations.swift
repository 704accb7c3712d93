import Faults
import JSONRPC
import OCI
import Protocol

extension Engine {
  /// An image name as messages show it: `busybox` is `busybox:latest`.
  static func shown(_ reference: String) -> String {
    guard !Identifier.isHex(reference) || reference.utf8.count < 7, let parsed = try? Reference(parsing: reference)
    else {
      return reference
    }
    return parsed.withDefaultTag.familiar
  }

  /// Runs `body`; a missing image is told in Docker's words, which its clients look for.
  func naming<Result>(_ reference: String, _ body: () async throws -> Result) async throws -> Result {
    do {
      return try await body()
    } catch let fault as Fault where fault.code == .notFound {
      throw Fault(.notFound, "No such image: \(Engine.shown(reference))")
    }
  }

  /// Unpacks the layers of freshly imported images and tells of them.
  func unpack(_ imported: [ImageSummary], _ context: CallContext) async throws {
    for image in imported {
      let layers = try await images.resolve(.init(reference: image.id)).image.layers
      if !layers.isEmpty {
        _ = try await snapshots.unpack(.init(layers: layers), context)
      }
      publishImage("load", id: image.id, name: image.repoTags.first ?? image.id)
    }
  }

  func publishImage(_ action: String, id: String, name: String, labels: [String: String] = [:]) {
    events.publish(
      Event("image", action, actor: id, attributes: labels.merging(["name": name]) { _, own in own }))
  }

  /// The images that `filters` leave, newest first.
  func listImages(all: Bool, filters: Filters) async throws -> [ImageSummary] {
    let list = try await images.list(.init(all: all)).images
    let filter = try await ImageFilter(filters) { name in
      let id = try await naming(name) { try await images.resolve(.init(reference: name)).image.id }
      guard let image = list.first(where: { $0.id == id }), let created = Timestamp(rfc3339: image.created) else {
        throw Fault(.notFound, "No such image: \(Engine.shown(name))")
      }
      return created
    }
    return list.compactMap(filter.apply).map { ($0, Timestamp(rfc3339: $0.created) ?? Timestamp(nanoseconds: 0)) }
      .sorted { $0.1 > $1.1 }.map(\.0)
  }

  /// Gives an image a further name.
  func tagImage(source: String, target: String) async throws {
    let id = try await naming(source) { try await images.resolve(.init(reference: source)).image.id }
    _ = try await naming(source) { try await images.tag(.init(source: source, target: target)) }
    publishImage("tag", id: id, name: Engine.shown(target))
  }

  /// The id of the image that `reference` means; of one whose configuration is lost, too, when it is named in full.
  private func imageID(_ reference: String) async throws -> String {
    if let image = try await allowing(.notFound, body: { try await images.resolve(.init(reference: reference)).image })
    {
      return image.id
    }
    let name = Engine.shown(reference)
    let damaged = try await images.list(.init(all: true)).images.first {
      $0.id == reference || $0.id == "sha256:" + reference || $0.repoTags.contains(name)
    }
    guard let damaged else { throw Fault(.notFound, "No such image: \(name)") }
    return damaged.id
  }

  /// What the removal of an image did.
  struct RemovedImage: Sendable {
    var untagged: [String]
    var deleted: [String]
    /// Bytes of content that were freed; layers are not among them.
    var bytes: Int64
  }

  /// Takes a name away from an image, and the image with its last name. Refused when containers need it, in Docker's words.
  ///
  /// - Parameter evenUsed: whether `force` also means images that stopped containers have.
  func removeImage(
    _ reference: String, force: Bool, prune: Bool, evenUsed: Bool = true
  ) async throws -> RemovedImage {
    let id = try await imageID(reference)
    let short = String(id.drop { $0 != ":" }.dropFirst().prefix(12))
    let summary = try await images.list(.init(all: true)).images.first { $0.id == id }
    let names = (summary?.repoTags ?? []).count
    let digits = reference.hasPrefix("sha256:") ? String(reference.dropFirst(7)) : reference
    let byID = Identifier.isHex(digits) && id.dropFirst(7).hasPrefix(digits)
    let users = directory.all.filter { $0.definition.imageIDs.contains(id) }
    if byID || names <= 1 {
      if let running = users.first(where: { $0.state.running != nil }) {
        let container = String(running.id.prefix(12))
        throw Fault(
          .conflict,
          byID
            ? "conflict: unable to delete \(short) (cannot be forced) - image is being used by running container \(container)"
            : "conflict: unable to remove repository reference \"\(reference)\" (must force) - container \(container) is "
              + "using its referenced image \(short)")
      }
      if !force || !evenUsed, let stopped = users.first {
        let container = String(stopped.id.prefix(12))
        throw Fault(
          .conflict,
          byID
            ? "conflict: unable to delete \(short) (must be forced) - image is being used by stopped container \(container)"
            : "conflict: unable to remove repository reference \"\(reference)\" (must force) - container \(container) is "
              + "using its referenced image \(short)")
      }
      if byID, !force, names > 1 {
        throw Fault(
          .conflict,
          "conflict: unable to delete \(short) (must be forced) - image is referenced in multiple repositories")
      }
    }
    let inUse = force && evenUsed ? [] : Array(Set(directory.all.flatMap(\.definition.imageIDs)))
    let result = try await naming(reference) {
      try await images.remove(.init(reference: reference, force: force, inUse: inUse))
    }
    for name in result.untagged { publishImage("untag", id: id, name: name) }
    for gone in result.deleted where gone == id { publishImage("delete", id: id, name: id) }
    if prune, !result.deleted.isEmpty {
      if !users.isEmpty, result.deleted.contains(id) { imageCache.noteGone(id) }
      await pruneLayers()
    }
    return RemovedImage(untagged: result.untagged, deleted: result.deleted, bytes: result.bytes ?? 0)
  }

  /// A container was removed: when its image had gone before it, its layers go now.
  func released(_ definition: ContainerDefinition) {
    let unused = definition.imageIDs.filter { id in
      imageCache.isGone(id) && !directory.all.contains { $0.definition.imageIDs.contains(id) }
    }
    guard !unused.isEmpty else { return }
    for id in unused { imageCache.forgetGone(id) }
    background.run { [self] in await pruneLayers() }
  }
}
