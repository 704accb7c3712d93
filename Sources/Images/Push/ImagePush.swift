public import Faults
internal import FoundationEssentials
public import OCI
public import Registry

/// What a push is asked to do.
public struct PushRequest: Sendable {
  /// `name[:tag]` or `name@digest`.
  public var reference: String
  /// Every tag of the repository that is here.
  public var allTags: Bool
  /// The platform that the image must be for; nil for any.
  public var platform: String?
  /// Those of the name's registry.
  public var credentials: RegistryCredentials

  /// Makes a request.
  public init(
    reference: String, allTags: Bool = false, platform: String? = nil, credentials: RegistryCredentials = .anonymous
  ) {
    self.reference = reference
    self.allTags = allTags
    self.platform = platform
    self.credentials = credentials
  }
}

/// How far a push is.
public enum PushProgress: Sendable, Equatable {
  /// The blobs of an image are looked at, layers first.
  case prepare(Digest, size: Int64)
  /// The registry has the blob.
  case exists(Digest)
  /// The registry took the blob from another of its repositories.
  case mounted(Digest, from: String)
  case upload(Digest, sent: Int64, size: Int64)
  /// The blob has been uploaded.
  case done(Digest)
  /// The manifest has been put under its tag.
  case tag(PushedManifest)
}

/// A manifest that has been pushed.
public struct PushedManifest: Sendable, Equatable {
  /// The tag; the digest, where it was pushed without one.
  public var tag: String
  public var digest: Digest
  /// Bytes of the manifest.
  public var size: Int64
}

extension ImageStore {
  /// Brings an image to the registry of its name: blobs that are not there, several at once, then the manifest byte for
  /// byte under its tag. What fails in between leaves the tag as it was.
  ///
  /// - Returns: what has been pushed, in the order of the tags.
  /// - Throws: `notFound` when there is no such image here, and what `RegistryClient.send` throws.
  public func push(
    _ request: PushRequest, client: RegistryClient, progress: @escaping @Sendable (PushProgress) -> Void = { _ in }
  ) async throws(Fault) -> [PushedManifest] {
    let plan = try pushPlan(request)
    var pushed: [PushedManifest] = []
    for image in plan.images {
      let push = RepositoryPush(
        repository: plan.repository, client: client, credentials: request.credentials, progress: progress)
      pushed.append(try await push.push(image))
    }
    return pushed
  }

  private func pushPlan(_ request: PushRequest) throws(Fault) -> PushPlan {
    let name = try Reference(parsing: request.reference)
    guard !request.allTags || name.isNameOnly else {
      throw Fault(.invalidArgument, "tag can't be used with --all-tags/-a")
    }
    let platform = try request.platform.map { text throws(Fault) in try Platform(parsing: text) }
    let plan = try database.read { database in
      try PushPlan(database, name, allTags: request.allTags, content: content)
    }
    if let platform, let other = plan.images.first(where: { $0.platform.distance(from: platform) == nil }) {
      throw Fault(
        .notFound,
        "\(name.familiarName):\(other.tag) is for \(other.platform), not for \(platform.normalized): nothing was pushed"
      )
    }
    return plan
  }
}
