internal import ContentStore
internal import Faults
internal import OCI
internal import Registry
internal import Synchronization

/// The layers of one image while they are fetched.
final class LayerSet: Sendable {
  /// The pull's name, for its confirmation.
  let name: String
  private let job: PullJob
  private let layers: [Descriptor]
  private let source: BlobSource
  private let transfers: BlobTransfers
  private let joined = Mutex<[Digest: (shared: BlobTransfers.Shared, isOurs: Bool)]>([:])
  private let stored: Set<Digest>

  /// Begins to fetch what the store has not, and tells the caller where the files grow.
  init(_ job: PullJob, record: ImageRecord, manifest: ImageManifest) async throws(Fault) {
    self.job = job
    name = String(UInt64.random(in: 1 ... .max), radix: 16)
    transfers = job.puller.transfers
    source = BlobSource(
      client: job.puller.client, registry: job.reference.domain, repository: job.reference.path,
      credentials: job.request.credentials)
    let content = job.puller.store.content
    var unique: [Descriptor] = []
    for layer in manifest.layers where !unique.contains(where: { $0.digest == layer.digest }) { unique.append(layer) }
    layers = unique
    stored = Set(unique.filter { content.size(of: $0.digest) == $0.size }.map(\.digest))
    let missing = unique.filter { !stored.contains($0.digest) }
    // The files are there before anybody is told where they are.
    for layer in missing { _ = try content.partial(layer.digest, size: layer.size) }
    for layer in missing {
      let (shared, isNew) = await transfers.join(layer, from: Self.source(source, layer))
      joined.withLock { $0[layer.digest] = (shared, isNew) }
    }
    job.tell(
      .layers(
        PullLayers(
          pull: name, image: record.id,
          layers: record.layers.map {
            LayerSource(
              descriptor: $0.descriptor, diffID: $0.diffID, chainID: $0.chainID,
              path: content.path(of: $0.descriptor.digest).string)
          },
          partial: record.layers.map {
            stored.contains($0.descriptor.digest) ? nil : content.partialPath(of: $0.descriptor.digest).string
          })))
    for layer in unique where stored.contains(layer.digest) {
      job.tell(.stage(PullStage(stage: "exists", id: layer.digest.rawValue, current: layer.size, total: layer.size)))
    }
  }

  private static func source(_ source: BlobSource, _ layer: Descriptor) -> BlobSource {
    var source = source
    source.urls = (layer.urls ?? []).prefix(8).compactMap { try? WebAddress(parsing: $0) }
    return source
  }

  /// Waits for all layers, telling how far they are; the first failure ends it.
  func wait() async throws(Fault) -> [Digest: ImportPlan.Source] {
    do {
      return try await withThrowingTaskGroup(of: (Digest, StagedBlob)?.self) { group in
        for layer in layers where !stored.contains(layer.digest) {
          group.addTask { [self] in (layer.digest, try await blob(layer)) }
        }
        group.addTask { [self] in
          await watch()
          return nil
        }
        var blobs: [Digest: ImportPlan.Source] = [:]
        for digest in stored { blobs[digest] = .stored }
        while blobs.count < layers.count, let next = try await group.next() {
          guard let (digest, blob) = next else { continue }
          blobs[digest] = .staged(blob)
          job.tell(
            .stage(PullStage(stage: "fetched", id: digest.rawValue, current: blob.size, total: blob.size)))
        }
        group.cancelAll()
        return blobs
      }
    } catch {
      throw Fault(describing: error)
    }
  }

  /// One layer; another pull's transfer that fails is no reason to: then it is tried from here.
  private func blob(_ layer: Descriptor) async throws -> StagedBlob {
    guard let first = joined.withLock({ $0[layer.digest] }) else { throw BlobTransfers.takenBack }
    do throws(Fault) {
      return try await first.shared.blob()
    } catch {
      guard !first.isOurs, !Task.isCancelled, error.code != .noSpace else { throw error }
    }
    await transfers.leave(first.shared)
    let (again, _) = await transfers.join(layer, from: Self.source(source, layer))
    joined.withLock { $0[layer.digest] = (again, true) }
    return try await again.blob()
  }

  /// Tells how far the layers are, ten times a second, until it is cancelled.
  private func watch() async {
    var told: [Digest: Int64] = [:]
    while !Task.isCancelled {
      for layer in layers {
        guard let shared = joined.withLock({ $0[layer.digest]?.shared }) else { continue }
        let current = shared.received
        guard told.updateValue(current, forKey: layer.digest) != current else { continue }
        job.tell(
          .stage(
            PullStage(
              stage: current == 0 ? "wait" : "download", id: layer.digest.rawValue, current: current,
              total: layer.size)))
      }
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  /// Lets go of the transfers; those that nobody else wants end.
  func leave() async {
    for shared in joined.withLock({ $0.values.map(\.shared) }) { await transfers.leave(shared) }
  }
}
