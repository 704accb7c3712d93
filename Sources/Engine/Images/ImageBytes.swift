import Faults
import JSONRPC
import Protocol

/// The one way by which anything gets the bytes of layers that are kept only as files.
extension Engine {
  /// Calls `body` while every blob of the images is in the content store. Those that are not are made again from the layers'
  /// files, under a lease, and go with it.
  func withBlobs<Result: Sendable>(
    of references: [String], platform: String? = nil, _ context: CallContext,
    _ body: @Sendable () async throws -> Result
  ) async throws -> Result {
    let layers = try await images.missing(.init(references: references, platform: platform)).layers
    if layers.isEmpty { return try await body() }
    return try await withLease("blobs") { lease in
      for layer in layers { try await make(layer, lease, context) }
      return try await body()
    }
  }

  /// Has one blob made: the snapshot service writes to the stream that the image service promised, which checks the digest.
  private func make(_ layer: LayerSource, _ lease: String, _ context: CallContext) async throws {
    let digest = layer.descriptor.digest.rawValue
    let opened = try await images.openBlob(.init(digest: digest, size: layer.descriptor.size, lease: lease))
    guard let stream = opened.stream else { return }
    let failure = await write(.init(chainID: layer.chainID, digest: digest, stream: stream), context.passedOn)
    // When the reader hung up, what it says of it tells more.
    if failure == nil || failure?.code == .cancelled {
      _ = try await images.finishBlob(.init(blob: opened.blob), context.passedOn)
    }
    if let failure { throw failure.wrapped("the layer \(digest) cannot be made again") }
  }

  private func write(_ params: SnapshotAPI.WriteBlobParams, _ context: CallContext) async -> Fault? {
    do throws(Fault) {
      _ = try await snapshots.writeBlob(params, context)
      return nil
    } catch {
      return error
    }
  }
}
