public import Faults
public import JSONRPC
import OCI
public import Protocol

/// `system check`: all content and all layers of images against their digests and archives.
///
///     content: read everything ─► damaged blobs set aside ─► fetch the image again by its digest ─► layers
///     layers:  unpack beside, compare ─► damaged ones set aside ─► unpack anew
///     what is still damaged: reported, or its images removed
struct SystemCheck {
  let engine: Engine
  let context: CallContext
  let repair: Bool
  let remove: Bool

  private var damage: [GatewayAPI.Damage] = []
  /// Ids of the images that each entry of `damage` concerns.
  private var concerned: [[String]] = []
  private var names: [String: String] = [:]

  init(_ engine: Engine, _ context: CallContext, repair: Bool, remove: Bool) {
    self.engine = engine
    self.context = context
    self.repair = repair
    self.remove = remove
  }

  mutating func run() async throws -> GatewayAPI.SystemCheckResult {
    for image in try await engine.images.list(.init(all: true)).images {
      names[image.id] = image.repoTags.first ?? image.id
    }
    let content = try await engine.images.verify(.init(setAside: repair || remove ? true : nil), context.passedOn)
    for found in content.damage { add("content", found.digest, found.problem, found.images) }
    if repair { for index in damage.indices { await fetch(index) } }

    let layers = try await checkLayers()
    if remove { for index in damage.indices where damage[index].outcome == "left" { await remove(index) } }
    for entry in damage {
      engine.log.error(
        "damage",
        metadata: [
          "what": "\(entry.kind) \(entry.digest)", "problem": "\(entry.problem)", "outcome": "\(entry.outcome)",
        ])
    }
    return .init(
      blobs: content.blobs, bytes: content.bytes, layers: layers.layers, files: layers.files, damage: damage)
  }

  private mutating func add(_ kind: String, _ digest: String, _ problem: String, _ images: [String]) {
    damage.append(
      .init(kind: kind, digest: digest, problem: problem, images: images.map { names[$0] ?? $0 }, outcome: "left"))
    concerned.append(images)
  }

  /// Content that no image needs is repaired by being out of the way; that of images comes from where it came from.
  private mutating func fetch(_ index: Int) async {
    for id in concerned[index] {
      do { try await engine.fetchAgain(id, context) } catch {
        damage[index].reason = "\(names[id] ?? id): \(Fault(describing: error).message)"
        return
      }
    }
    damage[index].outcome = "repaired"
  }

  /// Compares the layers of the images whose content is whole, and unpacks damaged ones anew.
  private mutating func checkLayers() async throws -> SnapshotAPI.VerifyResult {
    let broken = Set(zip(damage, concerned).filter { $0.0.outcome == "left" }.flatMap(\.1))
    var stacks: [String: [LayerSource]] = [:]
    for id in names.keys.sorted() where !broken.contains(id) {
      // One that is removed meanwhile needs no check.
      if let image = try await allowing(
        .notFound, body: { try await engine.images.resolve(.init(reference: id)).image })
      {
        stacks[id] = image.layers
      }
    }
    var seen: Set<String> = []
    let layers = stacks.sorted { $0.key < $1.key }.flatMap(\.value).filter { seen.insert($0.chainID).inserted }
    let result = try await engine.snapshots.verify(
      .init(layers: layers, setAside: repair ? true : nil), context.passedOn)
    for found in result.damage {
      let images = stacks.filter { $0.value.contains { $0.diffID == found.diffID } }.keys.sorted()
      add("layer", found.chainID, found.problem, images)
      guard repair else { continue }
      let index = damage.count - 1
      do {
        for id in images { _ = try await engine.snapshots.unpack(.init(layers: stacks[id] ?? []), context.passedOn) }
        damage[index].outcome = "repaired"
      } catch {
        damage[index].reason = Fault(describing: error).message
      }
    }
    return result
  }

  private mutating func remove(_ index: Int) async {
    for id in concerned[index] {
      do {
        _ = try await allowing(.notFound) { try await engine.removeImage(id, force: true, prune: true) }
      } catch {
        damage[index].reason = Fault(describing: error).message
        return
      }
    }
    damage[index].outcome = "removed"
  }
}

extension Engine {
  /// Fetches the image `id` again by the digest of its manifest, from each repository that it is known to come from.
  func fetchAgain(_ id: String, _ context: CallContext) async throws {
    let image = try await images.list(.init(all: true)).images.first { $0.id == id }
    guard let names = image?.repoDigests, !names.isEmpty else {
      throw Fault(.notFound, "no registry is known that it came from: load it again, or remove it with --remove")
    }
    var last: Fault?
    for name in names {
      do {
        _ = try await pullImage(.init(reference: name), context)
        return
      } catch { last = Fault(describing: error) }
    }
    if let last { throw last.wrapped("it cannot be fetched again: load it again, or remove it with --remove") }
  }

  /// Checks everything of images.
  public func systemCheck(
    _ params: GatewayAPI.SystemCheckParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemCheckResult {
    try await faulted {
      var check = SystemCheck(self, context, repair: params.repair ?? false, remove: params.remove ?? false)
      return try await check.run()
    }
  }
}
