import ContentStore
import Faults
import FoundationEssentials
import Glibc
import OCI
import SystemPackage
import Testing

@testable import Images

/// Signatures as cosign makes them, by keys of openssl.
@Suite struct PolicyTests {
  let folder = TemporaryFolder()
  let manifest = Digest.of(Data("manifest".utf8))
  let reference: Reference

  init() throws { reference = try Reference(parsing: "registry.example/team/app:1") }

  /// A repository with the signatures that a test puts into it.
  struct Repository: SignatureSource {
    var manifests: [String: Data] = [:]
    var blobs: [Digest: Data] = [:]

    func signatureManifest(tag: String) async throws(Fault) -> Data? { manifests[tag] }
    func signaturePayload(_ descriptor: Descriptor) async throws(Fault) -> Data {
      guard let data = blobs[descriptor.digest] else { throw Fault(.notFound, "no blob") }
      return data
    }
  }

  private func run(_ command: String) throws {
    let status = system("cd '\(folder.path)' && (\(command)) >log 2>&1")
    try #require(
      status == 0, "\(command): \((try? String(contentsOfFile: "\(folder.path)/log", encoding: .utf8)) ?? "")")
  }

  private func file(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: "\(folder.path)/\(name)")) }

  /// Makes the key `name`.pem and its public half `name`.pub.
  private func makeKey(_ name: String, _ kind: String) throws {
    try run("openssl genpkey \(kind) -out \(name).pem && openssl pkey -in \(name).pem -pubout -out \(name).pub")
  }

  private static let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"

  private func payload(
    name: String = "registry.example/team/app", digest: Digest? = nil, type: String = CosignSignature.type
  ) -> Data {
    Data(
      """
      {"critical":{"identity":{"docker-reference":"\(name)"},"image":{"docker-manifest-digest":"\(digest ?? manifest)"},\
      "type":"\(type)"},"optional":null}
      """.utf8)
  }

  private func sign(_ payload: Data, _ key: String) throws -> Data {
    try folder.write("payload", payload)
    let raw = key.hasPrefix("ed") ? "-rawin" : "-rawin -digest sha256"
    try run("openssl pkeyutl -sign -inkey \(key).pem \(raw) -in payload -out signature")
    return try file("signature")
  }

  private func repository(
    _ signatures: [(payload: Data, signature: Data)], of digest: Digest? = nil
  ) throws -> Repository {
    var repository = Repository()
    var layers: [Descriptor] = []
    for (payload, signature) in signatures {
      var layer = Descriptor(
        mediaType: CosignSignature.payloadType, digest: .of(payload), size: Int64(payload.count))
      layer.annotations = [CosignSignature.annotation: signature.base64EncodedString()]
      layers.append(layer)
      repository.blobs[layer.digest] = payload
    }
    let config = Descriptor(mediaType: MediaType.ociConfig, digest: .of(Data("{}".utf8)), size: 2)
    let document = try ImageDocument.encode(
      ImageManifest(config: config, layers: layers, mediaType: MediaType.ociManifest))
    repository.manifests["sha256-\((digest ?? manifest).hex).sig"] = document
    return repository
  }

  private func policy(_ identity: String? = #"{"type":"matchRepository"}"#, key: String = "key") throws
    -> SignaturePolicy
  {
    let identity = identity.map { #","signedIdentity":\#($0)"# } ?? ""
    return try SignaturePolicy(
      parsing: Array(
        #"{"default":[{"type":"reject"}],"transports":{"docker":{"registry.example":[{"type":"sigstoreSigned","keyPath":"\#(folder.path)/\#(key).pub"\#(identity)}]}}}"#
          .utf8), named: "policy.json")
  }

  private func fault(_ body: () async throws -> Void) async -> Fault? {
    do { try await body() } catch { return error as? Fault }
    Issue.record("nothing was thrown")
    return nil
  }

  @Test(arguments: [
    ("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"), ("ed", "-algorithm ed25519"),
    ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:3072"),
  ])
  func aSignatureOfEachKindCounts(_ key: String, _ kind: String) async throws {
    try makeKey(key, kind)
    let payload = payload()
    let good = try sign(payload, key)
    try await policy(key: key).check(reference, digests: [manifest], source: repository([(payload, good)]))
    var bad = good
    bad[bad.count - 1] ^= 1
    let refused = await fault {
      try await policy(key: key).check(reference, digests: [manifest], source: repository([(payload, bad)]))
    }
    #expect(refused?.code == .permissionDenied && refused?.cause == ["a signature is not by a key of the policy"])
  }

  @Test func oneGoodSignatureAmongOthersIsEnough() async throws {
    try makeKey("key", Self.p256)
    try makeKey("other", Self.p256)
    let payload = payload()
    let source = try repository([
      (payload, Data("nonsense".utf8)), (payload, try sign(payload, "other")), (payload, try sign(payload, "key")),
    ])
    try await policy().check(reference, digests: [manifest], source: source)
    #expect(
      await fault { try await policy().check(reference, digests: [manifest], source: repository([])) }?.message
        .contains(
          "is not signed") == true)
    let none = await fault { try await policy().check(reference, digests: [manifest], source: Repository()) }
    #expect(none?.code == .permissionDenied && none?.message.contains("is not signed") == true)
  }

  @Test func aSignatureOfTheIndexIsOneOfItsManifests() async throws {
    try makeKey("key", Self.p256)
    let index = Digest.of(Data("index".utf8))
    let payload = payload(digest: index)
    let source = try repository([(payload, try sign(payload, "key"))], of: index)
    try await policy().check(reference, digests: [index, manifest], source: source)
    #expect(await fault { try await policy().check(reference, digests: [manifest], source: source) } != nil)
  }

  @Test func aPullAsksForTheSignaturesOfItsRepository() async throws {
    try makeKey("key", Self.p256)
    let payload = payload()
    let source = try repository([(payload, try sign(payload, "key"))])
    let text =
      #"{"default":[{"type":"sigstoreSigned","keyPath":"\#(folder.path)/key.pub","signedIdentity":{"type":"matchRepository"}}]}"#
    let pulls = SignedPulls(path: try folder.write("policy.json", Data(text.utf8)))
    func judge(_ digest: Digest) async throws {
      let subject = PullSubject(reference: reference, digest: digest, manifest: digest)
      try await pulls.judge(subject) { lookup throws(Fault) in
        let found: Data? =
          switch lookup {
          case .manifest(let tag): source.manifests[tag]
          case .blob(let digest): source.blobs[digest]
          }
        guard let found else { throw Fault(.notFound, "none") }
        return found
      }
    }
    try await judge(manifest)
    #expect(await fault { try await judge(.of(Data("other".utf8))) }?.code == .permissionDenied)
    // The file is read for each pull: a wrong one stops them, none lets them.
    try folder.write("policy.json", Data("{".utf8))
    #expect(await fault { try await judge(manifest) }?.code == .corrupt)
    try FileManager.default.removeItem(atPath: "\(folder.path)/policy.json")
    try await judge(.of(Data("other".utf8)))
  }

  @Test func whatIsSignedMustBeTheImage() async throws {
    try makeKey("key", Self.p256)
    let other = Digest.of(Data("other".utf8))
    for payload in [
      payload(digest: other), payload(name: "registry.example/team/other"), payload(name: "evil.example/team/app"),
      payload(type: "atomic container signature"), Data("{}".utf8), Data("no json".utf8),
      Data(#"{"critical":{},"critical":{}}"#.utf8),
    ] {
      let source = try repository([(payload, try sign(payload, "key"))])
      let refused = await fault { try await policy().check(reference, digests: [manifest], source: source) }
      #expect(
        refused?.code == .permissionDenied && refused?.cause.count == 1, "\(String(decoding: payload, as: UTF8.self))")
    }
  }

  @Test func payloadsAreWhatTheManifestSays() async throws {
    try makeKey("key", Self.p256)
    let payload = payload()
    var source = try repository([(payload, try sign(payload, "key"))])
    source.blobs[.of(payload)] = self.payload(name: "x")
    #expect(await fault { try await policy().check(reference, digests: [manifest], source: source) }?.code == .corrupt)
    let huge = Data(repeating: 32, count: 200 << 10)
    let large = try repository([(huge, Data())])
    #expect(
      await fault { try await policy().check(reference, digests: [manifest], source: large) }?.code == .limitExceeded)
  }

  @Test(
    arguments: [
      (nil, "registry.example/team/app", false), (nil, "registry.example/team/app:1", true),
      (#"{"type":"matchRepoDigestOrExact"}"#, "registry.example/team/app:2", false),
      (#"{"type":"matchExact"}"#, "registry.example/team/app:1", true),
      (#"{"type":"matchRepository"}"#, "registry.example/team/app:9", true),
      (#"{"type":"matchRepository"}"#, "registry.example/team", false),
      (#"{"type":"exactReference","dockerReference":"vendor.example/app:1"}"#, "vendor.example/app:1", true),
      (#"{"type":"exactRepository","dockerRepository":"vendor.example/app"}"#, "vendor.example/app:7", true),
      (#"{"type":"exactRepository","dockerRepository":"vendor.example/app"}"#, "registry.example/team/app", false),
      (
        #"{"type":"remapIdentity","prefix":"registry.example/team","signedPrefix":"vendor.example"}"#,
        "vendor.example/app:1", true
      ),
      (
        #"{"type":"remapIdentity","prefix":"registry.example/te","signedPrefix":"vendor.example"}"#,
        "vendor.example/app:1", false
      ),
    ] as [(String?, String, Bool)])
  func identities(_ identity: String?, _ signed: String, _ holds: Bool) async throws {
    try makeKey("key", Self.p256)
    let payload = payload(name: signed)
    let source = try repository([(payload, try sign(payload, "key"))])
    let policy = try policy(identity)
    if holds {
      try await policy.check(reference, digests: [manifest], source: source)
    } else {
      #expect(
        await fault { try await policy.check(reference, digests: [manifest], source: source) }?.code
          == .permissionDenied)
    }
  }

  @Test func theLongestScopeCounts() async throws {
    let accept = #"[{"type":"insecureAcceptAnything"}]"#
    let policy = try SignaturePolicy(
      parsing: Array(
        """
        {"default":[{"type":"reject"}],"transports":{"docker-daemon":{"":\(accept)},"docker":{
          "docker.io/library/busybox":\(accept),"docker.io/library/busybox:bad":[{"type":"reject"}],
          "registry.example/team":\(accept),"registry.example/team/secret":[{"type":"reject"}],
          "*.lab.example":\(accept),"lab:5000":\(accept)
        }}}
        """.utf8), named: "policy.json")
    for (name, accepted) in [
      ("busybox", true), ("busybox:bad", false), ("alpine", false), ("registry.example/team/app:1", true),
      ("registry.example/team/secret/x", false), ("registry.example/teams/app", false), ("a.b.lab.example:99/x", true),
      ("lab.example/x", false), ("lab:5000/x", true), ("lab:5001/x", false),
    ] {
      let reference = try Reference(parsing: name).withDefaultTag
      if accepted {
        #expect(try !policy.needsSignature(reference), "\(name)")
        try await policy.check(reference, digests: [manifest], source: Repository())
      } else {
        #expect(await fault { _ = try policy.needsSignature(reference) }?.code == .permissionDenied, "\(name)")
      }
    }
  }

  @Test(arguments: [
    "", "[]", "{}", #"{"default":[]}"#, #"{"default":[{"type":"maybe"}]}"#, #"{"default":[{}]}"#,
    #"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#,
    #"{"default":[{"type":"insecureAcceptAnything","x":1}]}"#, #"{"default":[{"type":"reject"}],"extra":1}"#,
    #"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}]}"#,
    #"{"default":[{"type":"sigstoreSigned"}]}"#, #"{"default":[{"type":"sigstoreSigned","keyPath":"/none"}]}"#,
    #"{"default":[{"type":"sigstoreSigned","keyPath":"relative"}]}"#,
    #"{"default":[{"type":"sigstoreSigned","keyData":"bm8ga2V5"}]}"#,
    #"{"default":[{"type":"sigstoreSigned","keyPath":"/x","fulcio":{}}]}"#,
    #"{"default":[{"type":"sigstoreSigned","keyDatas":[]}]}"#,
    #"{"default":[{"type":"reject"}],"transports":{"docker":{"x":[]}}}"#,
  ])
  func whatCannotBeCheckedIsRefused(_ text: String) async {
    let refused = await fault { _ = try SignaturePolicy(parsing: Array(text.utf8), named: "policy.json") }
    #expect(
      refused?.message.contains("policy.json") == true, "\(String(describing: refused))"
    )
  }

  @Test func aMissingFileAcceptsAndAnUnreadableOneDoesNot() async throws {
    #expect(try !SignaturePolicy(path: "/none/policy.json", mustExist: false).needsSignature(reference))
    #expect(await fault { _ = try SignaturePolicy(path: "/none/policy.json", mustExist: true) }?.code == .notFound)
    #expect(await fault { _ = try SignaturePolicy(path: folder.path, mustExist: false) } != nil)
  }
}
