import Faults
import FoundationEssentials
import Images
import JSONRPC
import OCI
import Protocol

/// Images made here, and the bytes of their layers.
extension Handlers {
  func commit(_ params: ImageAPI.CommitParams, _ context: CallContext) async throws(Fault) -> ImageAPI.CommitResult {
    let parent = try params.parent.map { text throws(Fault) in try Digest(parsing: text) }
    let layer = try params.layer.map { layer throws(Fault) in
      guard layer.size >= 0 else { throw Fault(.invalidArgument, "layer.size: \(layer.size) is no number of bytes") }
      return (diffID: try Digest(parsing: layer.diffID), size: layer.size)
    }
    var request = CommitRequest(
      parent: parent, layer: layer, execution: params.config, created: params.created ?? Self.now)
    request.author = params.author
    request.comment = params.comment
    request.createdBy = params.createdBy
    request.names = params.names ?? []
    let final = request
    return .init(
      image: Self.summary(try await blocking { [store] () throws(Fault) in try store.commit(final) }))
  }

  func missing(_ params: ImageAPI.MissingParams, _ context: CallContext) async throws(Fault) -> ImageAPI.MissingResult {
    let platform = try params.platform.map { text throws(Fault) in try Platform(parsing: text) }
    return .init(layers: try store.missing(params.references, platform: platform).map(Self.layer))
  }

  func openBlob(
    _ params: ImageAPI.OpenBlobParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.OpenBlobResult {
    let opened = try transfers.openBlob(Digest(parsing: params.digest), params.size, lease: params.lease)
    return .init(blob: opened?.name ?? "", stream: opened?.address)
  }

  func finishBlob(
    _ params: ImageAPI.FinishBlobParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.FinishBlobResult {
    .init(path: try await transfers.finishBlob(params.blob, context).string)
  }

  func openSave(
    _ params: ImageAPI.OpenSaveParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.OpenSaveResult {
    let platform = try params.platform.map { text throws(Fault) in try Platform(parsing: text) }
    let archive = try store.save(params.references, platform: platform)
    let (name, address) = try transfers.openSave(archive)
    return .init(save: name, stream: address, size: archive.size)
  }

  func finishSave(
    _ params: ImageAPI.FinishSaveParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.FinishSaveResult {
    .init(bytes: try await transfers.saves.finish(params.save, context))
  }
}
