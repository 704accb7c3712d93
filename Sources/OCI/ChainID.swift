/// The name of a stack of layers by content (OCI config.md, "Layer ChainID").
///
/// The lowest layer's chain id is its diffID; every further one is the sha256 of "parent's chain id, space, diffID".
/// This module has no hash function: the caller brings one, so that the small static programs carry none.
public enum ChainID {
  /// What is hashed for the chain id of the layer `diffID` on top of the stack `parent`.
  public static func text(parent: Digest, diffID: Digest) -> String { "\(parent.rawValue) \(diffID.rawValue)" }

  /// The chain ids of the stacks that `diffIDs` build, lowest first, with `sha256` as the hash of a text's UTF-8.
  public static func list(_ diffIDs: [Digest], sha256: (String) -> Digest) -> [Digest] {
    var chain: [Digest] = []
    for diffID in diffIDs {
      chain.append(chain.last.map { sha256(text(parent: $0, diffID: diffID)) } ?? diffID)
    }
    return chain
  }
}
