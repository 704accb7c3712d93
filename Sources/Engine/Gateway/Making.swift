public import Faults
public import JSONRPC
import OCI
public import Protocol

/// What gantry.sock answers about images that are made here and archives that go out.
extension Engine {
  /// An image of a container.
  public func containerCommit(
    _ params: GatewayAPI.ContainerCommitParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerCommitResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      let wishes = CommitWishes(
        reference: params.reference.flatMap { $0.isEmpty ? nil : $0 }, author: params.author, comment: params.comment,
        pauses: params.pause ?? true, changes: params.changes ?? [], config: params.config)
      return .init(id: try await commit(container, wishes, context))
    }
  }

  /// Begins an import: the stream goes straight to the image service.
  public func imageOpenImport(
    _ params: GatewayAPI.ImageOpenImportParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageOpenImportResult {
    let config = try ImageChanges.apply(params.changes ?? [], to: ImageConfig.Execution())
    let opened = try await images.openImport(
      .init(
        names: params.reference.flatMap { $0.isEmpty ? nil : [$0] }, platform: params.platform,
        fileSystem: .init(config: config, comment: params.comment, created: Timestamp.now().text())), context.passedOn)
    return .init(import: opened.import, stream: opened.stream)
  }

  /// Waits for an import's end and unpacks its layer; an image that cannot be unpacked is none.
  public func imageFinishImport(
    _ params: GatewayAPI.ImageFinishImportParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageFinishImportResult {
    try await faulted {
      let imported = try await images.finishImport(.init(import: params.import), context.passedOn).images
      guard let image = imported.first else { throw Fault(.internal, "the import made no image") }
      do {
        let layers = try await images.resolve(.init(reference: image.id)).image.layers
        _ = try await snapshots.unpack(.init(layers: layers), context.passedOn)
      } catch {
        _ = try? await images.remove(.init(reference: image.id, force: true))
        throw error
      }
      publishImage("import", id: image.id, name: image.repoTags.first ?? image.id)
      return .init(id: image.id)
    }
  }

  /// Promises an archive: it comes straight from the image service.
  public func imageOpenSave(
    _ params: GatewayAPI.ImageOpenSaveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageOpenSaveResult {
    try await faulted {
      // The archive holds its blobs itself from here on.
      let opened = try await withBlobs(of: params.images, platform: params.platform, context) {
        try await images.openSave(.init(references: params.images, platform: params.platform), context.passedOn)
      }
      for name in params.images {
        guard let image = try? await images.resolve(.init(reference: name)).image else { continue }
        publishImage("save", id: image.id, name: Engine.shown(name))
      }
      return .init(save: opened.save, stream: opened.stream, size: opened.size)
    }
  }

  /// The end of a save.
  public func imageFinishSave(
    _ params: GatewayAPI.ImageFinishSaveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageFinishSaveResult {
    try await faulted {
      .init(bytes: try await images.finishSave(.init(save: params.save), context.passedOn).bytes)
    }
  }
}
