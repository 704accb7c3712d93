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

/// What is remembered of images between calls.
final class ImageCache: Sendable {
  /// Images that were removed while containers still had their layers.
  private let gone = Mutex<Set<String>>([])

  func noteGone(_ id: String) { gone.withLock { _ = $0.insert(id) } }
  func isGone(_ id: String) -> Bool { gone.withLock { $0.contains(id) } }
  func forgetGone(_ id: String) { gone.withLock { _ = $0.remove(id) } }
}
