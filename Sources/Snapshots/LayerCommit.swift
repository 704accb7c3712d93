internal import Archive
internal import Faults
internal import GRDB
internal import GarbageCollection
internal import JSONRPC
internal import Linux
internal import OCI
internal import Protocol
internal import SystemPackage
internal import Tar

/// A copy of what a snapshot changed, on its way to become a layer.
struct CapturedFolder: Sendable {
  var record: SnapshotRecord
  var place: SnapshotFolders.Place
  /// Nil when nothing was changed.
  var layer: CapturedLayer?
}

/// Layers made of what containers changed.
extension SnapshotStore {
  /// The work of `snapshot.capture`: copy and digest first, on a thread of the pool of copies; then the way of every layer.
  func captureChanges(
    _ params: SnapshotAPI.CaptureParams, _ context: CallContext
  ) async throws -> SnapshotAPI.CaptureResult {
    let captured = try await copying.run { [self] in
      try copyChanges(params) { context.isCancelled }
    }
    context.progress(SnapshotAPI.CaptureProgress(stage: "copied"))
    guard let layer = captured.layer else {
      return .init(chainID: captured.record.parent ?? "", size: 0, bytes: 0)
    }
    let parent = try captured.record.parent.map { text throws(Fault) in try Digest(parsing: text) }
    let chainID = parent.map { LayerChain.id(of: layer.diffID, on: $0) } ?? layer.diffID
    // Nobody knows the layer yet: until its image is made, the caller's lease keeps it.
    let names = [chainID.rawValue, layer.diffID.rawValue]
    holds.hold(names)
    defer {
      marks.touch(names)
      holds.release(names)
    }
    try await disk.run { [self] in try keep(captured, layer, chainID.rawValue, names, params.lease) }
    return .init(
      chainID: chainID.rawValue, diffID: layer.diffID.rawValue, size: layer.size, bytes: layer.bytes)
  }

  /// Copies the upper folder of a snapshot to a place in `ingest`.
  private func copyChanges(
    _ params: SnapshotAPI.CaptureParams, isCancelled: @escaping () -> Bool
  ) throws -> CapturedFolder {
    let (record, stack) = try database.read { database in
      guard let record = try database.snapshot(params.key) else {
        throw Fault(.notFound, "there is no snapshot \(params.key)")
      }
      return (record, try record.parent.map { try database.stack($0) } ?? [])
    }
    guard record.kind == .active, let upper = record.place else {
      throw Fault(.conflict, "the snapshot \(record.key) is not writable: it changed nothing")
    }
    let lower = try overlay.lowerFolders(stack).map { FilePath($0) }
    let place = "ingest/\(folders.number())"
    try folders.make(place)
    do {
      try folders.make("\(place)/fs")
      let source = try open("\(upper)/fs", [.readOnly, .directory, .noFollow])
      let target = try open("\(place)/fs", [.readOnly, .directory, .noFollow])
      let recipe = try open(
        Self.recipe(place), [.writeOnly, .create, .exclusive, .noFollow], mode: 0o600)
      let below: LayerStack?
      do throws(Errno) { below = lower.isEmpty ? nil : try LayerStack(lower) } catch {
        throw Fault(storing: error, folders.path(upper).string)
      }
      let layer = try LayerCapture.capture(
        .init(folder: source.rawValue, below: below, mountPoints: params.mountPoints ?? []),
        target: target.rawValue, recipe: recipe.rawValue, isCancelled: isCancelled)
      // A snapshot that was removed while it was read may have been read half empty.
      guard try database.read({ try $0.snapshot(record.key)?.place }) == upper else {
        throw Fault(.conflict, "the snapshot \(record.key) was removed while its files were copied")
      }
      if layer == nil { throwAway(place) }
      return CapturedFolder(record: record, place: place, layer: layer)
    } catch {
      throwAway(place)
      throw error
    }
  }

  /// Moves a copied layer to its place, syncs, and writes its rows. Runs on `disk`, one call after the other.
  private func keep(
    _ captured: CapturedFolder, _ layer: CapturedLayer, _ chainID: String, _ names: [String], _ lease: String?
  ) throws {
    do {
      let diffID = layer.diffID.rawValue
      if let known = try database.read({ try $0.content(diffID: diffID) }), let place = known.place {
        // The same bytes are here already, maybe unpacked from a blob that is gone since.
        if !folders.exists(Self.recipe(place)) {
          try folders.move(Self.recipe(captured.place), to: Self.recipe(place))
          try folders.sync()
        }
        throwAway(captured.place)
        return try database.write { database in
          try checkParent(captured.record, database)
          if let lease { try LeaseRows.hold(database, lease, names) }
          try database.insertLayer(
            chainID: chainID, parent: captured.record.parent, content: known.id, labels: [:])
        }
      }
      let place = "layers/" + (captured.place.split(separator: "/").last ?? "")
      try folders.move(captured.place, to: place)
      do {
        try folders.sync()
        try database.write { database in
          try checkParent(captured.record, database)
          if let lease { try LeaseRows.hold(database, lease, names) }
          let content = try database.insertContent(
            diffID: diffID, place: place, bytes: layer.bytes, inodes: layer.inodes, isOpaque: false)
          try database.insertLayer(chainID: chainID, parent: captured.record.parent, content: content, labels: [:])
        }
      } catch {
        throwAway(place)
        throw error
      }
    } catch {
      if folders.exists(captured.place) { throwAway(captured.place) }
      throw error
    }
  }

  private func checkParent(_ record: SnapshotRecord, _ database: Database) throws {
    guard let parent = record.parent else { return }
    guard try database.layer(parent) != nil else {
      throw Fault(.conflict, "the layer \(parent) was removed while a layer on it was made")
    }
  }

  private func throwAway(_ place: SnapshotFolders.Place) {
    do throws(Fault) { try folders.move(place, to: folders.trash(place)) } catch {
      log.warning("a copy that is not needed is still there", metadata: ["place": "\(place)", "error": "\(error)"])
    }
    trash.empty()
  }
}
