internal import Crypto
internal import CryptoExtras
internal import Faults
internal import FoundationEssentials
internal import Linux
internal import SystemPackage

/// A public key that cosign made, or that signs as cosign does: ECDSA on P-256, Ed25519, or RSA from 2,048 bits.
struct SignatureKey: Sendable {
  private enum Kind: Sendable {
    case p256(P256.Signing.PublicKey)
    case ed25519(Curve25519.Signing.PublicKey)
    case rsa(_RSA.Signing.PublicKey)
  }

  private let kind: Kind
  private static let sizeLimit = 64 << 10

  /// Reads a key in PEM form ("PUBLIC KEY").
  init(pem: String, named name: String) throws(Fault) {
    guard pem.contains("-----BEGIN PUBLIC KEY-----") else {
      throw Fault(.invalidArgument, "\(name) is no public key in PEM form: cosign public-key writes one")
    }
    if let key = try? P256.Signing.PublicKey(pemRepresentation: pem) {
      kind = .p256(key)
    } else if let bytes = Self.ed25519(pem), let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes) {
      kind = .ed25519(key)
    } else if let key = try? _RSA.Signing.PublicKey(pemRepresentation: pem), key.keySizeInBits >= 2048 {
      kind = .rsa(key)
    } else {
      throw Fault(
        .invalidArgument, "\(name) is no key that can be checked: ECDSA P-256, Ed25519, or RSA from 2048 bits")
    }
  }

  /// The 32 bytes of an Ed25519 key in SubjectPublicKeyInfo, whose form before them never differs (RFC 8410).
  private static func ed25519(_ pem: String) -> Data? {
    let body = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined().filter { !$0.isWhitespace }
    let head: [UInt8] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]
    guard let der = Data(base64Encoded: body), der.count == head.count + 32, der.starts(with: head) else { return nil }
    return der.suffix(32)
  }

  /// Whether `signature` is one of `message` by this key. ECDSA and RSA (PKCS #1 v1.5) sign its SHA-256.
  func verifies(_ signature: Data, of message: Data) -> Bool {
    switch kind {
    case .p256(let key):
      guard let parsed = try? P256.Signing.ECDSASignature(derRepresentation: signature) else { return false }
      return key.isValidSignature(parsed, for: message)
    case .ed25519(let key): return key.isValidSignature(signature, for: message)
    case .rsa(let key):
      return key.isValidSignature(
        _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA256.hash(data: message),
        padding: .insecurePKCS1v1_5)
    }
  }

  /// The keys of a requirement: exactly one of its four ways to give them.
  static func keys(_ reader: PolicyReader) throws(Fault) -> [SignatureKey] {
    let given = ["keyPath", "keyPaths", "keyData", "keyDatas"].filter { reader.members[$0] != nil }
    guard given.count == 1, let way = given.first else {
      throw reader.refusal("keyPath", "give exactly one of keyPath, keyPaths, keyData and keyDatas")
    }
    let texts = way.hasSuffix("s") ? try reader.texts(way) : [try reader.text(way) ?? ""]
    guard !texts.isEmpty else { throw reader.refusal(way, "it is empty") }
    var keys: [SignatureKey] = []
    for text in texts {
      if way.hasPrefix("keyPath") {
        guard text.hasPrefix("/") else { throw reader.refusal(way, "\(text.prefix(200)) is no absolute path") }
        let bytes: [UInt8]
        do throws(Errno) { bytes = try Files.read(text, limit: sizeLimit) } catch {
          throw reader.refusal(way, "the key \(text) cannot be read: \(error)")
        }
        keys.append(try key(bytes, named: "\(reader.place): \(way): \(text)"))
      } else {
        guard let bytes = Data(base64Encoded: text) else { throw reader.refusal(way, "it is not base64") }
        keys.append(try key(Array(bytes), named: "\(reader.place): \(way)"))
      }
    }
    return keys
  }

  private static func key(_ bytes: [UInt8], named name: String) throws(Fault) -> SignatureKey {
    try SignatureKey(pem: String(decoding: bytes, as: UTF8.self), named: name)
  }
}
