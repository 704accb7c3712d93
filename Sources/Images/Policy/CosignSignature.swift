internal import ContentStore
public import Faults
public import FoundationEssentials
public import OCI

/// Where the signatures of an image come from: the repository that the image came from.
public protocol SignatureSource {
  /// The manifest with the tag `tag`; nil when the repository has none of that name. At most 4 MiB.
  func signatureManifest(tag: String) async throws(Fault) -> Data?
  /// A blob of at most `descriptor.size` bytes. Its digest need not be checked yet.
  func signaturePayload(_ descriptor: Descriptor) async throws(Fault) -> Data
}

/// One signature as cosign keeps it: the manifest `sha256-HEX.sig` beside the image has a layer for each, whose content is
/// what was signed ("simple signing"), with the signature in an annotation.
struct CosignSignature: Sendable {
  static let payloadType = "application/vnd.dev.cosign.simplesigning.v1+json"
  static let annotation = "dev.cosignproject.cosign/signature"
  static let type = "cosign container image signature"
  static let payloadLimit: Int64 = 128 << 10
  /// How many signatures of one image are looked at.
  static let countLimit = 64

  /// The manifest that it was found for.
  var manifest: Digest
  var payload: Data
  var signature: Data

  /// The signatures of the image with the manifest `digest`; none when there are none.
  static func fetch(_ digest: Digest, from source: some SignatureSource) async throws(Fault) -> [CosignSignature] {
    let tag = "\(digest.algorithm.rawValue)-\(digest.hex).sig"
    guard let data = try await source.signatureManifest(tag: tag) else { return [] }
    let document = try ImageDocument.manifest(data, mediaType: MediaType.ociManifest, digest: .of(data))
    var signatures: [CosignSignature] = []
    for layer in document.layers where layer.mediaType == payloadType {
      guard let text = layer.annotations?[annotation], let signature = Data(base64Encoded: text) else { continue }
      guard signatures.count < countLimit else { break }
      guard layer.size >= 0, layer.size <= payloadLimit else {
        throw Fault(
          .limitExceeded, "a signature of \(digest) has \(layer.size) bytes; at most \(payloadLimit) are read")
      }
      let payload = try await source.signaturePayload(layer)
      guard Digest.of(payload, layer.digest.algorithm) == layer.digest else {
        throw Fault(.corrupt, "the signature payload \(layer.digest) of \(digest) came with other content")
      }
      signatures.append(CosignSignature(manifest: digest, payload: payload, signature: signature))
    }
    return signatures
  }

  /// Why the signature does not count for `reference`; nil when it does. The key comes first: of what nobody has signed,
  /// nothing is read.
  func refusal(_ reference: Reference, keys: [SignatureKey], identity: SignedIdentity) -> String? {
    guard keys.contains(where: { $0.verifies(signature, of: payload) }) else {
      return "a signature is not by a key of the policy"
    }
    do throws(Fault) {
      try StrictJSON.check(payload, named: "the signature's payload")
      let signed = try ImageDocument.decode(SimpleSigning.self, from: payload, named: "the signature's payload")
      guard signed.critical.type == Self.type else {
        return "a signature is of the type \(signed.critical.type.prefix(80))"
      }
      guard signed.critical.image.digest == manifest.rawValue else {
        return "a signature is for \(signed.critical.image.digest.prefix(80)), not for \(manifest)"
      }
      let name = try Reference(parsing: signed.critical.identity.reference)
      guard identity.allows(name, for: reference) else {
        return
          "a signature is for the name \(name.canonical), which signedIdentity does not allow for \(reference.canonical)"
      }
      return nil
    } catch {
      return error.message
    }
  }
}

/// What is signed.
private struct SimpleSigning: Decodable {
  struct Critical: Decodable {
    struct Identity: Decodable {
      var reference: String

      enum CodingKeys: String, CodingKey { case reference = "docker-reference" }
    }
    struct Image: Decodable {
      var digest: String

      enum CodingKeys: String, CodingKey { case digest = "docker-manifest-digest" }
    }

    var identity: Identity
    var image: Image
    var type: String
  }

  var critical: Critical
}

extension StrictJSON {
  /// The same for bytes in memory.
  static func check(_ data: Data, named name: String) throws(Fault) {
    do { try data.withUnsafeBytes { try check($0, named: name) } } catch { throw Fault(describing: error) }
  }
}
