import Faults
import Protocol
import Synchronization

/// Which images containers were made of lately. Making one only notes it here; the image service is told now and then.
final class ImageUse: Sendable {
  private let ids = Mutex<Set<String>>([])

  /// Notes a use. Costs a lock and no call.
  func note(_ id: String) { ids.withLock { _ = $0.insert(id) } }

  /// What was noted since the last time.
  func take() -> Set<String> {
    ids.withLock { ids in
      defer { ids = [] }
      return ids
    }
  }

  /// Puts back what could not be told.
  func putBack(_ untold: Set<String>) { ids.withLock { $0.formUnion(untold) } }
}

extension Engine {
  /// Tells the image service which images were used.
  func tellUse() async {
    let ids = imageUse.take()
    if ids.isEmpty { return }
    do {
      _ = try await images.noteUse(.init(ids: ids.sorted()))
    } catch {
      imageUse.putBack(ids)
      log.debug("the image service cannot be told which images were used", metadata: ["error": "\(error)"])
    }
  }

  /// Keeps an image from being removed to make room, or allows it again.
  func pinImage(_ reference: String, _ pinned: Bool) async throws -> String {
    let id = try await naming(reference) {
      try await images.pin(.init(reference: reference, pinned: pinned)).id
    }
    publishImage(pinned ? "pin" : "unpin", id: id, name: Engine.shown(reference))
    return id
  }
}
