import OCI
import Protocol
import Synchronization

/// What running a container needs of an image.
struct RunImage: Sendable {
  /// Digest of the configuration.
  let id: String
  let execution: ImageConfig.Execution?
  let layers: [LayerSource]
  /// chainID of the topmost layer; nil for an image without layers.
  var parent: String? { layers.last?.chainID }
}

/// Images that were run lately, by the name they were asked for: the name's meaning is asked for anew each time (it may
/// have moved), its layers are known to be unpacked.
final class ImageCache: Sendable {
  private static let kept = 256
  private let unpacked = Mutex<Set<String>>([])

  /// Whether the layer was seen unpacked since the snapshot service started.
  func isUnpacked(_ chainID: String) -> Bool { unpacked.withLock { $0.contains(chainID) } }

  func noteUnpacked(_ chainID: String) {
    unpacked.withLock { set in
      if set.count >= ImageCache.kept { set.removeAll() }
      set.insert(chainID)
    }
  }

  /// Forgets everything: layers were removed, or the service is another one.
  func clear() { unpacked.withLock { $0.removeAll() } }
}
