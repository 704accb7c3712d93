import Faults
import JSONRPC
import OCI
import Protocol
import Synchronization

/// One pull: the image service fetches, the snapshot service unpacks what has come so far, and this is between them.
///
///     image.pull ──► progress `layers` ──► snapshot.unpack follows the growing files ──┐
///          └───────► progress `fetched` (every blob is whole and checked) ────────────┴─► image.confirmPull ──► result
///
/// An image becomes visible only when its blobs and its unpacked layers are what it says.
extension Engine {
  func pullImage(_ params: ImageAPI.PullParams, _ context: CallContext) async throws -> [PulledImage] {
    try await makeRoomForImages()
    // From the last layer's unpacking to the image's name nothing else keeps the layers.
    let pulled = try await withLease("pull") { try await pullImage(params, lease: $0, context) }
    await keepBudget(keeping: Set(pulled.map(\.image.id)))
    return pulled
  }

  private func pullImage(
    _ params: ImageAPI.PullParams, lease: String, _ context: CallContext
  ) async throws -> [PulledImage] {
    let (steps, sender) = AsyncStream.makeStream(of: PullProgress.self)
    let inner = CallContext(
      deadline: context.deadline, traceparent: context.traceparent, cancellation: context.cancellation,
      progress: { data in
        guard let step = try? RPCCoding.decode(data) as PullProgress else { return }
        sender.yield(step)
      })
    let images = images
    let pulling = Task { () throws(Fault) -> ImageAPI.PullResult in
      defer { sender.finish() }
      return try await images.pull(params, inner)
    }
    let unpacking = PullUnpacking(images: images, snapshots: snapshots, lease: lease, context: context)
    let result: ImageAPI.PullResult
    do {
      result = try await withTaskCancellationHandler {
        for await step in steps {
          do {
            try await unpacking.take(step)
          } catch {
            // The image cannot be unpacked: it is not wanted any more, and this is why.
            pulling.cancel()
            _ = await pulling.result
            throw error
          }
        }
        return try await pulling.value
      } onCancel: {
        pulling.cancel()
      }
    } catch {
      await unpacking.stop()
      throw error
    }
    for image in result.images where !unpacking.isUnpacked(image.image.id) {
      // It was there: its layers are, too, unless they were lost.
      let layers = try await images.resolve(.init(reference: image.image.id)).image.layers
      if !layers.isEmpty { _ = try await snapshots.unpack(.init(layers: layers, lease: lease), context.passedOn) }
    }
    for image in result.images {
      let repository = (try? Reference(parsing: image.name))?.familiarName ?? image.name
      publishImage("pull", id: image.name, name: repository)
    }
    return result.images
  }
}

/// The unpacking that goes along with a pull.
private final class PullUnpacking: Sendable {
  private struct Current {
    var pull: String
    var image: String
    var layers: [LayerSource]
    var task: Task<Void, any Error>
  }

  private struct State {
    var current: Current?
    var unpacked: Set<String> = []
  }

  private let images: any ImageService
  private let snapshots: any SnapshotService
  private let lease: String
  private let context: CallContext
  private let state = Mutex(State())

  init(images: any ImageService, snapshots: any SnapshotService, lease: String, context: CallContext) {
    self.images = images
    self.snapshots = snapshots
    self.lease = lease
    self.context = context
  }

  func isUnpacked(_ image: String) -> Bool { state.withLock { $0.unpacked.contains(image) } }

  /// One step of the pull, passed on to the caller.
  func take(_ step: PullProgress) async throws {
    if let layers = step.layers, let pull = step.pull, let image = step.image {
      let task = Task { try await self.unpack(layers) }
      state.withLock { $0.current = Current(pull: pull, image: image, layers: layers, task: task) }
      context.progress(PullProgress(stage: "layers", id: "", current: 0, layers: layers))
    } else if step.stage == "fetched", step.id.isEmpty {
      try await finish()
    } else {
      context.progress(step)
    }
  }

  /// Every blob is whole and checked: waits for the layers and lets the image be seen.
  private func finish() async throws {
    guard let current = state.withLock({ $0.current }) else { return }
    do {
      try await current.task.value
    } catch let fault as Fault where fault.code != .noSpace && !context.isCancelled {
      // What was read of a transfer that began anew was worth nothing; the files are whole now.
      try await unpack(
        current.layers.map { layer in
          var layer = layer
          layer.path = layer.partial ?? layer.path
          layer.partial = nil
          return layer
        })
    }
    _ = try await images.confirmPull(.init(pull: current.pull), context.passedOn)
    state.withLock { state in
      state.unpacked.insert(current.image)
      state.current = nil
    }
  }

  private func unpack(_ layers: [LayerSource]) async throws {
    guard !layers.isEmpty else { return }
    let blobs = Dictionary(layers.map { ($0.diffID, $0.descriptor) }, uniquingKeysWith: { first, _ in first })
    let context = context
    let inner = CallContext(
      deadline: context.deadline, traceparent: context.traceparent, cancellation: context.cancellation,
      progress: { data in
        guard let step = try? RPCCoding.decode(data) as SnapshotAPI.UnpackProgress, let blob = blobs[step.layer] else {
          return
        }
        let isDone = step.current >= blob.size
        context.progress(
          PullProgress(
            stage: isDone ? "done" : "unpack", id: blob.digest.rawValue, current: step.current, total: blob.size))
      })
    _ = try await snapshots.unpack(.init(layers: layers, lease: lease), inner)
  }

  /// Ends what runs, and waits until it has.
  func stop() async {
    guard let task = state.withLock({ $0.current?.task }) else { return }
    task.cancel()
    _ = await task.result
  }
}
