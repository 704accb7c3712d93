import Faults
import Images
import JSONRPC
import OCI
import Protocol

/// The calls about what stays and what goes.
extension Handlers {
  func lease(_ params: ImageAPI.LeaseParams, _ context: CallContext) async throws(Fault) -> ImageAPI.LeaseResult {
    try await blocking { () throws(Fault) in try store.lease(params.lease, seconds: Double(params.seconds)) }
    return .init()
  }

  func release(_ params: ImageAPI.ReleaseParams, _ context: CallContext) async throws(Fault) -> ImageAPI.ReleaseResult {
    try await blocking { () throws(Fault) in try store.release(params.lease) }
    return .init()
  }

  func leases(_ params: ImageAPI.LeasesParams, _ context: CallContext) async throws(Fault) -> ImageAPI.LeasesResult {
    .init(
      leases: try store.leases().map { .init(name: $0.name, secondsLeft: Int64($0.secondsLeft), holds: $0.holds) })
  }

  func collect(_ params: ImageAPI.CollectParams, _ context: CallContext) async throws(Fault) -> ImageAPI.CollectResult {
    let collected = try await blocking { () throws(Fault) in try store.collect() }
    return .init(blobs: Int64(collected.blobs), bytes: collected.bytes)
  }

  func verify(_ params: ImageAPI.VerifyParams, _ context: CallContext) async throws(Fault) -> ImageAPI.VerifyResult {
    let check = try await blocking { () throws(Fault) in
      try store.verify(setAside: params.setAside ?? false, observer: context.importObserver)
    }
    return .init(
      blobs: Int64(check.blobs), bytes: check.bytes,
      damage: check.damage.map { damage in
        .init(digest: damage.digest.rawValue, problem: damage.problem, images: damage.images.map(\.rawValue))
      })
  }

  func graph(_ params: ImageAPI.GraphParams, _ context: CallContext) async throws(Fault) -> ImageAPI.GraphResult {
    let graph = try await blocking { () throws(Fault) in try store.imageGraph() }
    return .init(
      images: graph.images.map { image in
        .init(
          id: image.id.rawValue, manifest: image.manifest.rawValue, names: image.names, pinned: image.isPinned,
          used: Int64(image.used), layers: image.layers.map(Int64.init))
      },
      layers: graph.layers.map { layer in
        .init(
          chainID: layer.chainID.rawValue, digest: layer.descriptor.digest.rawValue, size: layer.descriptor.size,
          stored: layer.stored)
      }, bytes: graph.bytes)
  }

  func pin(_ params: ImageAPI.PinParams, _ context: CallContext) async throws(Fault) -> ImageAPI.PinResult {
    .init(id: try await blocking { () throws(Fault) in try store.pin(params.reference, params.pinned) }.rawValue)
  }

  func noteUse(_ params: ImageAPI.NoteUseParams, _ context: CallContext) async throws(Fault) -> ImageAPI.NoteUseResult {
    // An id that is none cannot be that of an image.
    let ids = params.ids.compactMap { try? Digest(parsing: $0) }
    try await blocking { () throws(Fault) in try store.noteUse(ids) }
    return .init()
  }
}
