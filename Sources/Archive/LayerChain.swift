public import OCI

internal import struct Crypto.SHA256

/// The chain ids of stacks of layers.
public enum LayerChain {
  /// The chain ids of the stacks that `diffIDs`, lowest first, build one after the other (OCI config.md, "Layer ChainID").
  public static func ids(_ diffIDs: [Digest]) -> [Digest] {
    ChainID.list(diffIDs) { digest(Array($0.utf8)) }
  }

  /// The chain id of the layer `diffID` on the stack `parent`.
  public static func id(of diffID: Digest, on parent: Digest) -> Digest {
    digest(Array(ChainID.text(parent: parent, diffID: diffID).utf8))
  }

  /// sha256 of `bytes`.
  public static func digest(_ bytes: [UInt8]) -> Digest {
    // A SHA-256 always has the 32 bytes that this digest needs.
    Digest(.sha256, bytes: Array(SHA256.hash(data: bytes)))!
  }
}
