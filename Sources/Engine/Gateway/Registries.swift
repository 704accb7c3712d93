public import Faults
public import JSONRPC
import OCI
public import Protocol

/// What gantry.sock answers about registries: the image service speaks with them.
extension Engine {
  /// Checks credentials at a registry.
  public func registryLogin(
    _ params: GatewayAPI.RegistryLoginParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.RegistryLoginResult {
    let answer = try await images.login(.init(auth: params.auth), context.passedOn)
    return .init(status: answer.status, identityToken: answer.identityToken)
  }

  /// Brings an image to its registry.
  public func imagePush(
    _ params: GatewayAPI.ImagePushParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImagePushResult {
    try await faulted {
      // Layers that are kept only as files are made blobs for as long as the push takes. That an image is not there, or not
      // for the platform, is told by the push itself, in its own words.
      let known = try await allowing(.notFound) {
        try await images.missing(.init(references: [params.reference], platform: params.platform))
      }
      let answer = try await withBlobs(
        of: known == nil ? [] : [params.reference], platform: params.platform, context
      ) {
        try await images.push(
          .init(reference: params.reference, allTags: params.allTags, platform: params.platform, auth: params.auth),
          context.passedOn)
      }
      let names = try Reference(parsing: params.reference)
      for pushed in answer.pushed {
        publishImage("push", id: pushed.digest, name: "\(names.familiarName):\(pushed.tag)")
      }
      return .init(pushed: answer.pushed)
    }
  }

  /// Looks for images.
  public func imageSearch(
    _ params: GatewayAPI.ImageSearchParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageSearchResult {
    let answer = try await images.search(
      .init(term: params.term, limit: params.limit, filters: params.filters, auth: params.auth), context.passedOn)
    return .init(results: answer.results)
  }

  /// The tags of a repository.
  public func imageTags(
    _ params: GatewayAPI.ImageTagsParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageTagsResult {
    let answer = try await images.tags(
      .init(repository: params.repository, limit: params.limit, auth: params.auth), context.passedOn)
    return .init(repository: answer.repository, tags: answer.tags, isComplete: answer.isComplete)
  }

  /// A manifest at its registry.
  public func imageRemoteManifest(
    _ params: GatewayAPI.ImageRemoteManifestParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImageRemoteManifestResult {
    let answer = try await images.remoteManifest(
      .init(reference: params.reference, insecure: params.insecure, auth: params.auth), context.passedOn)
    return .init(
      digest: answer.digest, mediaType: answer.mediaType, content: answer.content, config: answer.config)
  }

  /// Makes an index at a registry.
  public func imagePushIndex(
    _ params: GatewayAPI.ImagePushIndexParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ImagePushIndexResult {
    let answer = try await images.pushIndex(
      .init(
        reference: params.reference, mediaType: params.mediaType, manifests: params.manifests,
        insecure: params.insecure, auth: params.auth), context.passedOn)
    return .init(digest: answer.digest, size: answer.size)
  }
}
