import ContentStore
import Faults
import FoundationEssentials
import Glibc
import Logging
import OCI
import Registry
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Images

/// Pulls into a store in a temporary folder.
struct PullFixture {
  let stored: StoreFixture
  let puller: ImagePuller

  init(_ change: (inout TransferSettings, inout RegistrySettings) -> Void = { _, _ in }) throws {
    stored = try StoreFixture()
    puller = Self.puller(stored.store, change)
  }

  static func puller(
    _ store: ImageStore, policy: (any PullPolicy)? = nil,
    _ change: (inout TransferSettings, inout RegistrySettings) -> Void = { _, _ in }
  ) -> ImagePuller {
    var transfers = TransferSettings()
    var registry = RegistrySettings()
    registry.slowBytes = 100
    registry.slowSeconds = 2
    registry.backOffMilliseconds = 10
    registry.retries = 2
    change(&transfers, &registry)
    return ImagePuller(
      store: store, client: RegistryClient(settings: registry), settings: transfers, policy: policy)
  }

  /// The bytes of all files of `ingest`.
  var partialBytes: Int {
    stored.folder.names("image/ingest").reduce(0) { sum, name in
      let status = try? FileManager.default.attributesOfItem(
        atPath: stored.folder.path.string + "/image/ingest/" + name)
      return sum + ((status?[.size] as? UInt64).map { Int($0) } ?? 0)
    }
  }

  func fault(_ reference: String) async -> Fault? {
    do throws(Fault) {
      _ = try await puller.pull(PullRequest(reference: reference))
      return nil
    } catch {
      return error
    }
  }
}

@Suite struct PullTests {
  @Test func namesDigestsAndPlatforms() async throws {
    let registry = try await TestRegistry.start()
    try await registry.put("app:1")
    try await registry.put("app:2", format: "oci")
    let pull = try PullFixture()
    let first = try await pull.puller.pull(PullRequest(reference: "\(registry.host)/app:1"))
    #expect(first.count == 1 && first[0].isNew && first[0].name == "\(registry.host)/app:1")
    #expect(first[0].summary.repoTags == ["\(registry.host)/app:1"])
    #expect(first[0].summary.repoDigests == ["\(registry.host)/app@\(first[0].digest)"])
    // The second pull of the same is one request.
    let before = try registry.requests("/v2/").count
    let again = try await pull.puller.pull(PullRequest(reference: "\(registry.host)/app:1"))
    #expect(again[0].isNew == false && again[0].digest == first[0].digest)
    let after = try registry.requests("/v2/")
    #expect(after.count == before + 1 && after.last?.contains("HEAD /v2/app/manifests/1") == true)
    // By digest: no request when it is known, no name with a tag.
    let digest = "\(registry.host)/app:1@\(first[0].digest)"
    _ = try await pull.puller.pull(PullRequest(reference: digest))
    #expect(try pull.stored.store.resolve("\(registry.host)/app@\(first[0].digest)").id == first[0].summary.id)
    let all = try await pull.puller.pull(PullRequest(reference: "\(registry.host)/app", allTags: true))
    #expect(all.map(\.name) == ["\(registry.host)/app:1", "\(registry.host)/app:2"])
    #expect(await pull.fault("\(registry.host)/app:3")?.message == "manifest for \(registry.host)/app:3 not found")
    let arm = try? await pull.puller.pull(PullRequest(reference: "\(registry.host)/app:1", platform: "linux/arm64"))
    #expect(arm == nil)
    try registry.stop()
  }

  @Test func twentyPullsFetchOnce() async throws {
    let registry = try await FakeRegistry.start(size: 3_000_000)
    let pull = try PullFixture()
    try registry.set("rate", "6000000")
    let puller = pull.puller
    try await withThrowingTaskGroup { group in
      for index in 0..<20 {
        group.addTask {
          _ = try await puller.pull(PullRequest(reference: "\(registry.host)/slow:\(index)"))
        }
      }
      try await group.waitForAll()
    }
    let layer = try registry.facts().layer
    #expect(registry.requests("blobs/\(layer)").count == 1)
    #expect(try pull.stored.store.list().first?.repoTags.count == 20)
    #expect(pull.stored.folder.names("image/ingest").isEmpty)
    try registry.stop()
  }

  @Test func largeLayersComeInSeveralRanges() async throws {
    let registry = try await FakeRegistry.start(size: 24 << 20)
    let pull = try PullFixture { transfers, _ in
      transfers.segmentSize = 2 << 20
      transfers.soloMilliseconds = 100
      transfers.commonMegabytes = 3
    }
    try registry.set("rate", "2000000")
    let image = try await pull.puller.pull(PullRequest(reference: "\(registry.host)/slow"))
    let facts = try registry.facts()
    let requests = registry.requests("blobs/\(facts.layer)")
    #expect(requests.count > 2 && requests.dropFirst().allSatisfy { $0.contains("bytes=") }, "\(requests)")
    #expect(try pull.stored.store.isWhole(image[0].summary.manifest))
    try registry.stop()
  }

  @Test(arguments: ["cut", "no-ranges", "fails-twice"]) func cutTransfersGoOn(lie: String) async throws {
    let registry = try await FakeRegistry.start(size: 500_000)
    let pull = try PullFixture()
    let image = try await pull.puller.pull(PullRequest(reference: "\(registry.host)/\(lie)"))
    #expect(try pull.stored.store.isWhole(image[0].summary.manifest))
    if lie == "cut" {
      let layer = registry.requests("blobs/\(try registry.facts().layer)")
      #expect(layer.count >= 5 && layer.last?.hasSuffix("bytes=") == false)
    }
    try registry.stop()
  }

  @Test func aPullThatWasTakenBackIsResumed() async throws {
    let registry = try await FakeRegistry.start(size: 12 << 20)
    try registry.set("rate", "1500000")
    let pull = try PullFixture()
    let puller = pull.puller
    let task = Task { try await puller.pull(PullRequest(reference: "\(registry.host)/slow")) }
    while pull.partialBytes < 2 << 20 { try await Task.sleep(for: .milliseconds(5)) }
    let start = ContinuousClock.now
    task.cancel()
    await #expect(throws: Fault.self) { try await task.value }
    #expect(ContinuousClock.now - start < .seconds(5))
    #expect(try pull.stored.store.list().isEmpty)
    // Also a store that is opened anew, as after a crash.
    let reopened = PullFixture.puller(
      try ImageStore(root: pull.stored.folder.path.appending("image"), isLocked: true, log: Logger(label: "test")))
    let kept = pull.partialBytes
    #expect(kept >= 2 << 20)
    _ = try await reopened.pull(PullRequest(reference: "\(registry.host)/slow"))
    let facts = try registry.facts()
    let last = try #require(registry.requests("blobs/\(facts.layer)").last)
    let from = try #require(Int(last.split(separator: "bytes=").last?.split(separator: "-").first ?? ""))
    #expect(from >= 2 << 20, "\(last)")
    try registry.stop()
  }

  @Test func damagedBeginningsAreFetchedAnew() async throws {
    let registry = try await FakeRegistry.start(size: 3 << 20)
    let pull = try PullFixture()
    let digest = try Digest(parsing: try registry.facts().layer)
    try pull.stored.folder.write(
      "image/ingest/sha256-\(digest.hex)", Data(repeating: 7, count: 1 << 20))
    let image = try await pull.puller.pull(PullRequest(reference: "\(registry.host)/good"))
    #expect(try pull.stored.store.isWhole(image[0].summary.manifest))
    try registry.stop()
  }

  @Test func foreignLayersComeWithoutCredentials() async throws {
    let registry = try await FakeRegistry.start()
    let elsewhere = try await FakeRegistry.start()
    try registry.set("foreign-url", "http://\(elsewhere.host)/stolen")
    let pull = try PullFixture()
    let image = try await pull.puller.pull(
      PullRequest(
        reference: "\(registry.host)/foreign", credentials: RegistryCredentials(username: "alice", password: "secret")))
    #expect(try pull.stored.store.isWhole(image[0].summary.manifest))
    #expect(elsewhere.requests("/stolen - -").count == 1)
    try registry.set("foreign-url", "http://169.254.169.254/stolen")
    let other = try PullFixture()
    #expect(await other.fault("\(registry.host)/foreign") != nil)
    try registry.stop()
    try elsewhere.stop()
  }

  @Test func confirmationComesBeforeTheImage() async throws {
    let registry = try await FakeRegistry.start()
    let pull = try PullFixture()
    final class Named: Sendable { let pull = Mutex<String?>(nil) }
    let named = Named()
    let (store, puller) = (pull.stored.store, pull.puller)
    let image = try await puller.pull(
      PullRequest(reference: "\(registry.host)/good", waitsForUnpacking: true)
    ) { event in
      switch event {
      case .layers(let layers): named.pull.withLock { $0 = layers.pull }
      case .stage(let stage) where stage.stage == "fetched" && stage.id.isEmpty:
        Task {
          #expect(try store.list().isEmpty)
          let name = named.pull.withLock { $0 } ?? ""
          while (try? puller.confirm(name)) == nil { try await Task.sleep(for: .milliseconds(5)) }
        }
      default: break
      }
    }
    #expect(try store.list().map(\.id) == [image[0].summary.id])
    #expect(throws: Fault.self) { try pull.puller.confirm("none") }
    try registry.stop()
  }

  @Test func thePolicyIsAskedBeforeLayersAreFetched() async throws {
    struct Refusing: PullPolicy {
      func judge(
        _ subject: PullSubject, fetch: @escaping @Sendable (PullLookup) async throws(Fault) -> Data
      ) async throws(Fault) {
        _ = try await fetch(.manifest("1"))
        throw Fault(.permissionDenied, "nobody signed \(subject.digest)")
      }
    }
    let registry = try await FakeRegistry.start()
    let stored = try StoreFixture()
    let puller = PullFixture.puller(stored.store, policy: Refusing())
    await #expect(throws: Fault.self) { try await puller.pull(PullRequest(reference: "\(registry.host)/good")) }
    #expect(registry.requests("blobs").isEmpty && registry.requests("manifests").count == 2)
    try registry.stop()
  }
}

/// Registries that lie.
@Suite struct HostilePullTests {
  @Test(arguments: [
    ("both", FaultCode.corrupt, "list of manifests as well"), ("type", .corrupt, ""),
    ("schema1", .unsupported, "schema 1"), ("large", .limitExceeded, "4194304"), ("deep", .corrupt, "levels deep"),
    ("twice", .corrupt, "\"layers\" twice"), ("utf8", .corrupt, "UTF-8"), ("escape", .corrupt, ""),
    ("negative", .corrupt, "size of -1"), ("html", .corrupt, "is it a registry?"),
    ("wrong-manifest", .corrupt, "that should be"), ("silent-type", .corrupt, "does not say what type"),
    ("wrong", .corrupt, "that should be"), ("short", .corrupt, "bytes"), ("long", .corrupt, "bytes"),
    ("endless", .corrupt, "more than"), ("other-range", .corrupt, "another range"),
    ("stalls", .deadlineExceeded, "too slow"), ("fails", .unavailable, "status 500"),
    ("metadata", .unavailable, "link-local"), ("circle", .corrupt, "circle"),
  ]) func liesAreToldAndNothingIsKept(lie: String, code: FaultCode, words: String) async throws {
    let registry = try await FakeRegistry.start()
    let pull = try PullFixture { transfers, _ in transfers.failures = 1 }
    let fault = await pull.fault("\(registry.host)/\(lie)")
    #expect(fault?.code == code, "\(fault as Any)")
    #expect(words.isEmpty || fault.map { "\($0)".contains(words) } == true, "\(fault as Any)")
    #expect(try pull.stored.store.list().isEmpty)
    #expect(try pull.stored.store.usage().blobs == 0)
    try registry.stop()
  }

  @Test func brokenTLSIsResumed() async throws {
    struct Insecure: RegistryHosts {
      func endpoints(of registry: String) throws(Fault) -> [RegistryEndpoint] {
        [RegistryEndpoint(base: try WebAddress(scheme: .https, authority: registry), tls: .init(skipVerify: true))]
      }
    }
    let registry = try await FakeRegistry.start(size: 500_000, tls: true)
    let stored = try StoreFixture()
    var settings = RegistrySettings()
    settings.backOffMilliseconds = 10
    let puller = ImagePuller(store: stored.store, client: RegistryClient(hosts: Insecure(), settings: settings))
    let image = try await puller.pull(PullRequest(reference: "\(registry.host)/cut"))
    #expect(try stored.store.isWhole(image[0].summary.manifest))
    #expect(registry.requests("blobs/\(try registry.facts().layer)").count >= 5)
    try registry.stop()
  }
}
