import Faults
import Protocol

extension Engine {
  /// Removes layers that no image and no container has; returns the bytes that were freed. When the images cannot all be
  /// asked, nothing is removed.
  ///
  /// The mark comes before the images are asked: a layer that is made, asked for or let go of by a lease after it stays, so
  /// that an image that comes meanwhile keeps its layers although this list does not name them.
  ///
  /// - Parameter wait: return when the files are off the disk.
  @discardableResult
  func pruneLayers(wait: Bool = false) async -> Int64 {
    for attempt in 1...3 {
      do {
        let mark = try await snapshots.mark(.init()).mark
        var keep = Set(try await images.graph(.init()).layers.map(\.chainID))
        for container in directory.all { keep.formUnion(container.definition.parents) }
        return try await snapshots.layerPrune(.init(keep: keep.sorted(), mark: mark, wait: wait ? true : nil)).bytes
      } catch let fault as Fault where fault.code == .conflict && attempt < 3 {
        // The snapshot service was restarted in between: its mark is gone.
        continue
      } catch {
        log.error("cannot remove the layers of removed images", metadata: ["error": "\(error)"])
        return 0
      }
    }
    return 0
  }

  /// Removes everything of images that nothing needs, content and layers; returns the bytes that were freed.
  func collect(wait: Bool) async -> Int64 {
    var bytes = await pruneLayers(wait: wait)
    do {
      bytes += try await images.collect(.init()).bytes
    } catch {
      log.error("cannot remove content that no image needs", metadata: ["error": "\(error)"])
    }
    return bytes
  }
}
