import Faults
import Images
import JSONRPC
import OCI
import Protocol
import Registry

/// Pulls, decoded and encoded.
extension Handlers {
  func pull(_ params: ImageAPI.PullParams, _ context: CallContext) async throws(Fault) -> ImageAPI.PullResult {
    let request = PullRequest(
      reference: params.reference, platform: params.platform, allTags: params.allTags ?? false,
      credentials: try Self.credentials(params.auth, for: try Reference(parsing: params.reference)),
      waitsForUnpacking: params.confirms ?? false)
    let images = try await puller.pull(request) { event in context.progress(event.message) }
    return .init(
      images: images.map { image in
        .init(
          name: image.name, digest: image.digest.rawValue, new: image.isNew, image: Self.summary(image.summary))
      })
  }

  func confirmPull(
    _ params: ImageAPI.ConfirmPullParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.ConfirmPullResult {
    try puller.confirm(params.pull)
    return .init()
  }
}

extension PullEvent {
  /// The same for the wire.
  fileprivate var message: Protocol.PullProgress {
    switch self {
    case .stage(let stage):
      .init(stage: stage.stage, id: stage.id, current: stage.current, total: stage.total)
    case .layers(let layers):
      .init(
        stage: "layers", id: "", current: 0, pull: layers.pull, image: layers.image.rawValue,
        layers: zip(layers.layers, layers.partial).map { layer, partial in
          .init(
            descriptor: layer.descriptor, diffID: layer.diffID.rawValue, chainID: layer.chainID.rawValue,
            path: layer.path, partial: partial)
        })
    }
  }
}
