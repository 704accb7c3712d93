import Faults
import JSONRPC
import Protocol

/// What the fake image service answers about registries: there are none.
extension FakeImages {
  private static let none = Fault(.unavailable, "there are no registries here")

  func login(_ params: ImageAPI.LoginParams, _ context: CallContext) async throws(Fault) -> ImageAPI.LoginResult {
    throw Self.none
  }
  func push(_ params: ImageAPI.PushParams, _ context: CallContext) async throws(Fault) -> ImageAPI.PushResult {
    throw Self.none
  }
  func search(_ params: ImageAPI.SearchParams, _ context: CallContext) async throws(Fault) -> ImageAPI.SearchResult {
    throw Self.none
  }
  func tags(_ params: ImageAPI.TagsParams, _ context: CallContext) async throws(Fault) -> ImageAPI.TagsResult {
    throw Self.none
  }
  func remoteManifest(
    _ params: ImageAPI.RemoteManifestParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.RemoteManifestResult { throw Self.none }
  func pushIndex(
    _ params: ImageAPI.PushIndexParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.PushIndexResult { throw Self.none }
}
