internal import ContentStore
public import Faults
internal import FoundationEssentials
internal import Linux
public import OCI
public import Registry
internal import Synchronization

/// Pulls images from registries into an `ImageStore`.
///
///     name ─► HEAD (known: done) ─► manifest, index ─► policy ─► configuration ─► layers, in parallel ─► confirm ─► commit
///
/// Every document is checked against its digest and its media type before it is believed, every blob before it is
/// published. What was fetched of a pull that failed stays and is not fetched again (`PartialBlob`). Blobs that several pulls
/// want are fetched once (`BlobTransfers`).
public final class ImagePuller: Sendable {
  /// The tags that one pull takes.
  static let mostTags = 10_000

  let store: ImageStore
  let client: RegistryClient
  let transfers: BlobTransfers
  let policy: (any PullPolicy)?
  private let confirmations = Mutex<[String: Confirmation]>([:])
  let disk = WorkPool(limit: 2)

  /// Pulls into `store` with `client`.
  public init(
    store: ImageStore, client: RegistryClient, settings: TransferSettings = TransferSettings(),
    policy: (any PullPolicy)? = nil
  ) {
    self.store = store
    self.client = client
    self.policy = policy
    transfers = BlobTransfers(content: store.content, settings: settings)
  }

  /// Pulls what `request` names; ends at once with `cancelled` when its task is cancelled.
  ///
  /// - Throws: `notFound` (no such name, no such platform), `permissionDenied` (credentials, policy), `unavailable` (not
  ///   reached, rate limit), `corrupt`, `limitExceeded`, `unsupported`, `noSpace`, `cancelled`.
  public func pull(
    _ request: PullRequest, _ tell: @escaping @Sendable (PullEvent) -> Void = { _ in }
  ) async throws(Fault) -> [PulledImage] {
    let reference = try Reference(parsing: request.reference)
    let platform = try request.platform.map { text throws(Fault) in try Platform(parsing: text) }
    guard request.allTags else {
      return [try await pull(reference.withDefaultTag, platform, request, tell)]
    }
    guard reference.isNameOnly else {
      throw Fault(.invalidArgument, "tag can't be used with --all-tags/-a: give \(reference.familiarName) alone")
    }
    let found = try await naming(reference) { () throws(Fault) in
      try await client.tags(of: reference, limit: Self.mostTags, credentials: request.credentials)
    }
    guard found.isComplete else {
      throw Fault(.limitExceeded, "\(reference.familiarName) has more than \(Self.mostTags) tags, which is the limit")
    }
    let tags = found.tags
    guard !tags.isEmpty else { throw Fault(.notFound, "\(reference.familiarName) has no tags") }
    var images: [PulledImage] = []
    for tag in tags.sorted() { images.append(try await pull(try reference.withTag(tag), platform, request, tell)) }
    return images
  }

  private func pull(
    _ reference: Reference, _ platform: Platform?, _ request: PullRequest,
    _ tell: @escaping @Sendable (PullEvent) -> Void
  ) async throws(Fault) -> PulledImage {
    tell(.stage(PullStage(stage: "resolve", id: "", current: 0)))
    let job = PullJob(puller: self, reference: reference, platform: platform, request: request, tell: tell)
    return try await naming(reference) { () throws(Fault) in try await job.run() }
  }

  /// Runs `body`; refusals of a registry are told in Docker's words, which scripts look for.
  private func naming<Value>(
    _ reference: Reference, _ body: () async throws(Fault) -> Value
  ) async throws(Fault) -> Value {
    do throws(Fault) {
      return try await body()
    } catch  where error.code == .permissionDenied && error.message.hasPrefix(reference.domain + " ") {
      throw Fault(
        .permissionDenied,
        "pull access denied for \(reference.familiarName), repository does not exist or may require 'gantry login'",
        cause: [error.message] + error.cause)
    }
  }

  // MARK: Confirmation

  /// Where a pull stands that needs a word of its caller.
  private enum Confirmation {
    /// The caller may speak from now on.
    case expected
    /// It has spoken before the pull came to wait.
    case given
    case awaited(CheckedContinuation<Result<Void, Fault>, Never>)
  }

  /// Says that the layers of the pull `name` are unpacked; it then ends.
  public func confirm(_ name: String) throws(Fault) {
    let (isKnown, waiting) = confirmations.withLock {
      confirmations -> (Bool, CheckedContinuation<Result<Void, Fault>, Never>?) in
      guard let state = confirmations[name] else { return (false, nil) }
      if case .awaited(let waiting) = state {
        confirmations[name] = nil
        return (true, waiting)
      }
      confirmations[name] = .given
      return (true, nil)
    }
    guard isKnown else {
      throw Fault(.notFound, "no pull \"\(name.prefix(40))\" waits for its layers")
    }
    waiting?.resume(returning: .success(()))
  }

  /// From now on the pull `name` can be confirmed: to be called before the caller learns that it should, and followed by
  /// `waitForConfirmation`.
  func expectConfirmation(_ name: String) { confirmations.withLock { $0[name] = .expected } }

  func waitForConfirmation(_ name: String) async throws(Fault) {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (waiting: CheckedContinuation<Result<Void, Fault>, Never>) in
        let known = confirmations.withLock { confirmations -> Result<Void, Fault>? in
          if case .given = confirmations[name] {
            confirmations[name] = nil
            return .success(())
          }
          if Task.isCancelled {
            confirmations[name] = nil
            return .failure(BlobTransfers.takenBack)
          }
          confirmations[name] = .awaited(waiting)
          return nil
        }
        if let known { waiting.resume(returning: known) }
      }
    } onCancel: {
      let waiting = confirmations.withLock { confirmations -> CheckedContinuation<Result<Void, Fault>, Never>? in
        guard case .awaited(let waiting) = confirmations[name] else { return nil }
        confirmations[name] = nil
        return waiting
      }
      waiting?.resume(returning: .failure(BlobTransfers.takenBack))
    }
    try result.get()
  }
}
