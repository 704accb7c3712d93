public import Faults
internal import GRDB
internal import GarbageCollection
public import JSONRPC
internal import Linux
public import Protocol

/// The calls about what stays and what goes.
extension SnapshotStore {
  /// A moment for `layerPrune`.
  public func mark(_ params: SnapshotAPI.MarkParams, _ context: CallContext) async throws(Fault)
    -> SnapshotAPI.MarkResult
  {
    .init(mark: marks.mark())
  }

  /// Opens a lease, or renews it.
  public func lease(
    _ params: SnapshotAPI.LeaseParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.LeaseResult {
    try database.write { try LeaseRows.open($0, params.lease, seconds: Double(params.seconds)) }
    return .init()
  }

  /// Ends a lease. What it held is of use until the prunes that run now are through: its holder may have named it elsewhere
  /// a moment ago.
  public func release(
    _ params: SnapshotAPI.ReleaseParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ReleaseResult {
    try database.write { marks.touch(try LeaseRows.close($0, params.lease)) }
    return .init()
  }

  /// The valid leases.
  public func leases(
    _ params: SnapshotAPI.LeasesParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.LeasesResult {
    let leases = try database.read { try LeaseRows.all($0) }
    return .init(
      leases: leases.map { .init(name: $0.name, secondsLeft: Int64($0.secondsLeft), holds: $0.holds) })
  }

  /// Removes the layers that neither the caller, a snapshot, a lease nor a running call needs.
  public func layerPrune(
    _ params: SnapshotAPI.LayerPruneParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.LayerPruneResult {
    do {
      let result = try await disk.run { try self.prune(params) }
      if params.wait ?? false { await trash.drain() }
      return result
    } catch {
      throw Fault(describing: error)
    }
  }

  /// What running calls and leases hold, by chainID and diffID.
  func held(_ database: Database) throws -> Set<String> {
    holds.held.union(try LeaseRows.all(database).flatMap(\.holds))
  }

  private func prune(_ params: SnapshotAPI.LayerPruneParams) throws -> SnapshotAPI.LayerPruneResult {
    let (layers, contents) = try database.write { database in
      var graph = try database.graph()
      graph.add(.call("running"), needs: try database.nodes(holds.held), isRoot: true)
      // After what is held: a call that ended in between has touched its layers before it let go of them.
      let touched = try params.mark.map { mark throws(Fault) in try marks.touched(since: mark) } ?? []
      graph.add(.call("caller"), needs: try database.nodes(params.keep + touched), isRoot: true)
      return try database.remove(graph.garbage)
    }
    marks.forget(layers)
    return .init(removed: layers, bytes: discard(contents, measuring: params.wait ?? false))
  }

  /// Moves the folders of contents without rows to the trash. Returns the bytes of disk that they take when `measuring`,
  /// else those of their files.
  @discardableResult
  func discard(_ contents: [ContentRecord], measuring: Bool = false) -> Int64 {
    var bytes: Int64 = 0
    for content in contents {
      guard let place = content.place else { continue }
      bytes += (measuring ? try? measure(place).bytes : nil) ?? content.bytes
      do throws(Fault) { try folders.move(place, to: folders.trash(place)) } catch {
        log.warning("a removed layer's folder is still there", metadata: ["place": "\(place)", "error": "\(error)"])
      }
    }
    trash.empty()
    return bytes
  }
}
