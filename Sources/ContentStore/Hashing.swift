public import FoundationEssentials
public import OCI

internal import struct Crypto.SHA256
internal import struct Crypto.SHA512

/// A hash that is fed piece by piece.
public struct ContentHasher {
  private enum State {
    case sha256(SHA256)
    case sha512(SHA512)
  }

  private let algorithm: Digest.Algorithm
  private var state: State

  /// Starts a hash.
  public init(_ algorithm: Digest.Algorithm = .sha256) {
    self.algorithm = algorithm
    state =
      switch algorithm {
      case .sha256: .sha256(SHA256())
      case .sha512: .sha512(SHA512())
      }
  }

  /// Adds `bytes`.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    switch state {
    case .sha256(var hash):
      state = .sha256(SHA256())
      hash.update(bufferPointer: bytes)
      state = .sha256(hash)
    case .sha512(var hash):
      state = .sha512(SHA512())
      hash.update(bufferPointer: bytes)
      state = .sha512(hash)
    }
  }

  /// The digest of all that was added.
  public func finish() -> Digest {
    let bytes: [UInt8] =
      switch state {
      case .sha256(let hash): Array(hash.finalize())
      case .sha512(let hash): Array(hash.finalize())
      }
    // A hash has as many bytes as its algorithm says, so there always is a digest.
    return Digest(algorithm, bytes: bytes)!
  }
}

extension Digest {
  /// The digest of `data`.
  public static func of(_ data: Data, _ algorithm: Algorithm = .sha256) -> Digest {
    var hasher = ContentHasher(algorithm)
    data.withUnsafeBytes { hasher.update($0) }
    return hasher.finish()
  }
}

extension ChainID {
  /// The chain ids of the stacks that `diffIDs` build, lowest first.
  public static func list(_ diffIDs: [Digest]) -> [Digest] { list(diffIDs) { Digest.of(Data($0.utf8)) } }
}
