public import Faults
public import JSONRPC
import OCI
public import Protocol

/// What gantry.sock answers about images.
extension Engine {
  /// Begins to take in an image archive: the stream goes straight to the image service.
  public func imageOpenLoad(
    _ params: GatewayAPI.ImageOpenLoadParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageOpenLoadResult {
    try await faulted { try await makeRoomForImages() }
    let opened = try await images.openImport(.init(names: params.names, platform: params.platform), context.passedOn)
    return .init(load: opened.`import`, stream: opened.stream)
  }

  /// Waits for the archive's end and unpacks its images.
  public func imageFinishLoad(
    _ params: GatewayAPI.ImageFinishLoadParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageFinishLoadResult {
    try await faulted {
      let imported = try await images.finishImport(.init(import: params.load), context.passedOn).images
      try await unpack(imported, context)
      await keepBudget(keeping: Set(imported.map(\.id)))
      return .init(images: imported)
    }
  }

  /// Takes a load back.
  public func imageCancelLoad(
    _ params: GatewayAPI.ImageCancelLoadParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageCancelLoadResult {
    _ = try await images.cancelImport(.init(import: params.load), context.passedOn)
    return .init()
  }

  /// Takes in an archive or a layout folder of this machine.
  public func imageLoadPath(
    _ params: GatewayAPI.ImageLoadPathParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageLoadPathResult {
    try await faulted {
      try await makeRoomForImages()
      let imported = try await images.importPath(
        .init(path: params.path, names: params.names, platform: params.platform), context.passedOn
      ).images
      try await unpack(imported, context)
      await keepBudget(keeping: Set(imported.map(\.id)))
      return .init(images: imported)
    }
  }

  /// Pulls an image and unpacks it while it comes.
  public func imagePull(
    _ params: GatewayAPI.ImagePullParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImagePullResult {
    try await faulted {
      .init(
        images: try await pullImage(
          .init(
            reference: params.image, platform: params.platform, allTags: params.allTags, auth: params.auth,
            confirms: true), context))
    }
  }

  /// Lists images.
  public func imageList(
    _ params: GatewayAPI.ImageListParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageListResult {
    try await faulted {
      var filters = params.filters ?? [:]
      if let reference = params.reference, !reference.isEmpty { filters["reference", default: []].append(reference) }
      return .init(images: try await listImages(all: params.all ?? false, filters: Filters(filters)))
    }
  }

  /// Everything about an image.
  public func imageInspect(
    _ params: GatewayAPI.ImageInspectParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageInspectResult {
    try await faulted {
      try await require(params.platform, of: params.image)
      return .init(
        image: try await naming(params.image) { try await images.inspect(.init(reference: params.image)).image })
    }
  }

  /// How an image was made.
  public func imageHistory(
    _ params: GatewayAPI.ImageHistoryParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageHistoryResult {
    try await faulted {
      try await require(params.platform, of: params.image)
      return .init(
        entries: try await naming(params.image) { try await images.history(.init(reference: params.image)).entries })
    }
  }

  /// Gives an image a further name.
  public func imageTag(
    _ params: GatewayAPI.ImageTagParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageTagResult {
    try await faulted {
      try await tagImage(source: params.source, target: params.target)
      return .init()
    }
  }

  /// Removes a name, and an image with its last one.
  public func imageRemove(
    _ params: GatewayAPI.ImageRemoveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageRemoveResult {
    try await faulted {
      let gone = try await removeImage(params.image, force: params.force ?? false, prune: !(params.noPrune ?? false))
      return .init(untagged: gone.untagged, deleted: gone.deleted)
    }
  }

  /// Keeps an image from being removed to make room, or allows it again.
  public func imagePin(
    _ params: GatewayAPI.ImagePinParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImagePinResult {
    try await faulted { .init(id: try await pinImage(params.image, params.pinned)) }
  }
}

extension Engine {
  /// Throws `notFound` when an image is there but for another platform than was asked for.
  private func require(_ platform: String?, of reference: String) async throws {
    guard let platform else { return }
    let wanted = try Platform(parsing: platform)
    let image = try await naming(reference) { try await images.resolve(.init(reference: reference)).image }
    let own = Platform(os: image.config.os, architecture: image.config.architecture, variant: image.config.variant)
    guard own.distance(from: wanted) != nil else {
      throw Fault(
        .notFound,
        "image with reference \(reference) was found but does not provide the specified platform (\(wanted.normalized))"
      )
    }
  }
}

extension CallContext {
  /// The context for a call that this call makes: its deadline, progress and trace, not its connection.
  var passedOn: CallContext {
    CallContext(
      deadline: deadline, traceparent: traceparent, cancellation: cancellation, progress: progressHandler)
  }
}
