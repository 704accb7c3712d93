import Faults
import JSONRPC
import Protocol

/// The one way by which anything gets the bytes of layers that are stored only as files.
extension Engine {
  /// Calls `body` while every blob of the images is in the content store. Those that are not are made again from the layers'
  /// files; afterwards they go.
  func withBlobs<Result: Sendable>(
    of references: [String], platform: String? = nil, _ context: CallContext, _ body: () async throws -> Result
  ) async throws -> Result {
    let (digests, result) = try await holdingBlobs(of: references, platform: platform, context, body)
    await releaseBlobs(digests)
    return result
  }

  /// The same, but the blobs stay until `releaseBlobs`.
  func holdingBlobs<Result: Sendable>(
    of references: [String], platform: String?, _ context: CallContext, _ body: () async throws -> Result
  ) async throws -> (held: [String], result: Result) {
    var held: [String] = []
    do {
      for layer in try await images.missing(.init(references: references, platform: platform)).layers {
        try await make(layer, context)
        held.append(layer.descriptor.digest.rawValue)
      }
      return (held, try await body())
    } catch {
      await releaseBlobs(held)
      throw error
    }
  }

  /// Ends what `holdingBlobs` began.
  func releaseBlobs(_ digests: [String]) async {
    guard !digests.isEmpty else { return }
    do { _ = try await images.releaseBlobs(.init(digests: digests)) } catch {
      // The image service removes them at its next start.
      log.warning("blobs that can be made again are still stored", metadata: ["error": "\(error)"])
    }
  }

  /// Has one blob made: the snapshot service writes to the stream that the image service promised, which checks the digest.
  private func make(_ layer: LayerSource, _ context: CallContext) async throws {
    let digest = layer.descriptor.digest.rawValue
    let opened = try await images.openBlob(.init(digest: digest, size: layer.descriptor.size))
    guard let stream = opened.stream else { return }
    async let written = snapshots.writeBlob(
      .init(chainID: layer.chainID, digest: digest, stream: stream), context.passedOn)
    do {
      _ = try await written
    } catch {
      // Without the writer nothing comes: the reader is told what came of it by its own end.
      _ = try? await images.finishBlob(.init(blob: opened.blob))
      throw Fault(describing: error).wrapped("the layer \(digest) cannot be made again")
    }
    _ = try await images.finishBlob(.init(blob: opened.blob), context.passedOn)
  }
}
