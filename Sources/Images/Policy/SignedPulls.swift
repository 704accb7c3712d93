internal import ContentStore
public import Faults
public import FoundationEssentials
internal import OCI
public import SystemPackage

/// The policy file as pulls ask it: read anew for each image, so that a change counts from the next pull on. While the file
/// is wrong nothing is pulled.
public struct SignedPulls: PullPolicy {
  private let path: FilePath

  /// Judges by the file at `path`; while there is none, every image is accepted.
  public init(path: FilePath) { self.path = path }

  /// Throws `permissionDenied` with the reason for an image that the policy does not accept.
  public func judge(
    _ subject: PullSubject, fetch: @escaping @Sendable (PullLookup) async throws(Fault) -> Data
  ) async throws(Fault) {
    let policy = try SignaturePolicy(path: path, mustExist: false)
    let digests = subject.digest == subject.manifest ? [subject.digest] : [subject.digest, subject.manifest]
    try await policy.check(subject.reference, digests: digests, source: Source(fetch: fetch))
  }

  /// Signatures beside the image in its repository.
  private struct Source: SignatureSource {
    let fetch: @Sendable (PullLookup) async throws(Fault) -> Data

    func signatureManifest(tag: String) async throws(Fault) -> Data? {
      do throws(Fault) { return try await fetch(.manifest(tag)) } catch {
        if error.code == .notFound { return nil }
        throw error
      }
    }

    func signaturePayload(_ descriptor: Descriptor) async throws(Fault) -> Data {
      try await fetch(.blob(descriptor.digest))
    }
  }
}
