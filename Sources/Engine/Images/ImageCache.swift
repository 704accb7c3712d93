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
  /// What names meant when they were last asked for; emptied when it is full.
  private let meanings = Mutex<[String: RunImage]>([:])
  private static let mostMeanings = 256

  /// What `reference` meant the last time. The image service alone knows what it means now.
  func meaning(of reference: String, platform: String?) -> RunImage? {
    meanings.withLock { $0[Self.key(reference, platform)] }
  }

  func note(_ image: RunImage, for reference: String, platform: String?) {
    meanings.withLock { meanings in
      if meanings.count >= Self.mostMeanings { meanings = [:] }
      meanings[Self.key(reference, platform)] = image
    }
  }

  private static func key(_ reference: String, _ platform: String?) -> String { "\(platform ?? "") \(reference)" }

  /// Images that were removed while containers still had their layers.
  private let gone = Mutex<Set<String>>([])

  func noteGone(_ id: String) { gone.withLock { _ = $0.insert(id) } }
  func isGone(_ id: String) -> Bool { gone.withLock { $0.contains(id) } }
  func forgetGone(_ id: String) { gone.withLock { _ = $0.remove(id) } }
}
