import Faults
import Protocol

extension Engine {
  /// How long a lease lasts when this process dies.
  static let leaseSeconds: Int64 = 600

  /// Runs `body` under a lease of the image and the snapshot service, whose name it gets: what calls with that name make
  /// or find stays until `body` is through, whatever is pruned or removed meanwhile.
  ///
  /// For work of several calls that ends with an image: a pull, a commit, a save. What such work leaves behind when it
  /// fails is collected.
  func withLease<Result: Sendable>(
    _ purpose: String, _ body: (_ lease: String) async throws -> Result
  ) async throws -> Result {
    let lease = "\(purpose)-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
    try await renew(lease)
    let renewal = Task { [self] in
      while !Task.isCancelled {
        try await Task.sleep(for: .seconds(Engine.leaseSeconds / 3))
        do { try await renew(lease) } catch {
          log.warning("a lease cannot be renewed", metadata: ["lease": "\(lease)", "error": "\(error)"])
        }
      }
    }
    defer { renewal.cancel() }
    do {
      let result = try await body(lease)
      await endLease(lease)
      return result
    } catch {
      await endLease(lease)
      background.run { [self] in await pruneLayers() }
      throw error
    }
  }

  private func renew(_ lease: String) async throws {
    async let content = images.lease(.init(lease: lease, seconds: Engine.leaseSeconds))
    async let layers = snapshots.lease(.init(lease: lease, seconds: Engine.leaseSeconds))
    _ = try await (content, layers)
  }

  /// Also when the caller was taken back. A service that is away ends the lease by itself later.
  private func endLease(_ lease: String) async {
    let (images, snapshots) = (images, snapshots)
    let ended = await Task { () -> (any Error)? in
      do {
        // The snapshot service first: until its lease has ended, the layers of what the image service names are safe.
        _ = try await snapshots.release(.init(lease: lease))
        _ = try await images.release(.init(lease: lease))
        return nil
      } catch { return error }
    }.value
    if let ended {
      log.warning("a lease is left to end by itself", metadata: ["lease": "\(lease)", "error": "\(ended)"])
    }
  }
}
