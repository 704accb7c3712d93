public import Faults
internal import GRDB
internal import GarbageCollection
public import JSONRPC
internal import Linux
internal import OCI
public import Protocol
internal import SystemPackage

/// The calls of the service; the remote client has the same ones.
extension SnapshotStore: SnapshotService {
  /// Unpacks the layers of an image that are not there yet.
  public func unpack(
    _ params: SnapshotAPI.UnpackParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.UnpackResult {
    let unpack = try LayerUnpack(self, params.layers, lease: params.lease)
    do { return try await unpack.run(context) } catch { throw Fault(describing: error) }
  }

  /// Makes a writable snapshot: two folders and a row, nothing that waits for the disk.
  public func prepare(
    _ params: SnapshotAPI.PrepareParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.PrepareResult {
    SnapshotAPI.PrepareResult(
      mounts: try add(
        key: params.key, kind: .active, parent: params.parent, isVolatile: params.volatile ?? false,
        labels: params.labels ?? [:], limit: params.limit))
  }

  /// Makes a read-only snapshot.
  public func view(
    _ params: SnapshotAPI.ViewParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ViewResult {
    SnapshotAPI.ViewResult(
      mounts: try add(key: params.key, kind: .view, parent: params.parent, isVolatile: false, labels: [:]))
  }

  /// How to mount a snapshot, again.
  public func mounts(
    _ params: SnapshotAPI.MountsParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.MountsResult {
    let (record, stack) = try database.read { database in
      let record = try Self.known(params.key, database)
      return (record, try record.parent.map { try database.stack($0) } ?? [])
    }
    if record.isVolatile, let place = record.place {
      // overlayfs leaves this mark at every volatile mount and refuses the next one because of it: what was not synced may
      // be lost after a power failure. These snapshots are promised no more than that.
      clearVolatileMark(place)
    }
    return SnapshotAPI.MountsResult(mounts: try overlay.mounts(record, stack))
  }

  /// Makes a writable snapshot a layer: its folder stays where it is and changes its row.
  public func commit(
    _ params: SnapshotAPI.CommitParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.CommitResult {
    do { return try await disk.run { try self.commit(params) } } catch { throw Fault(describing: error) }
  }

  /// Removes snapshots, and layers that nothing stands on. Names that do not exist are passed over.
  public func remove(
    _ params: SnapshotAPI.RemoveParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.RemoveResult {
    do {
      discard(try removeRows(params.keys))
    } catch let fault where fault.code == .noSpace {
      // Even removing needs some space for the database's log; the removed folders give it.
      try moveToTrash(params.keys)
      await trash.drain()
      discard(try removeRows(params.keys))
    }
    return SnapshotAPI.RemoveResult()
  }

  /// Everything there is.
  public func list(
    _ params: SnapshotAPI.ListParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ListResult {
    let (layers, snapshots) = try database.read { (try $0.layers(), try $0.snapshots()) }
    return SnapshotAPI.ListResult(snapshots: layers.map(info) + snapshots.map(info))
  }

  /// One snapshot or layer.
  public func stat(
    _ params: SnapshotAPI.StatParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.StatResult {
    let found = try database.read { database in
      if let snapshot = try database.snapshot(params.key) { return info(snapshot) }
      if let layer = try database.layer(params.key) { return info(layer) }
      throw Self.unknown(params.key)
    }
    return SnapshotAPI.StatResult(snapshot: found)
  }

  /// What a snapshot or layer takes on disk.
  public func usage(
    _ params: SnapshotAPI.UsageParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.UsageResult {
    let (layer, snapshot) = try database.read { database in
      (try database.layer(params.key), try database.snapshot(params.key))
    }
    if let layer, snapshot == nil { return SnapshotAPI.UsageResult(bytes: layer.bytes, inodes: layer.inodes) }
    guard let snapshot else { throw Self.unknown(params.key) }
    guard let place = snapshot.place else { return SnapshotAPI.UsageResult(bytes: 0, inodes: 0) }
    do {
      let usage = try await measuring.run { try self.measure(place) }
      return SnapshotAPI.UsageResult(bytes: usage.bytes, inodes: usage.inodes)
    } catch {
      throw Fault(describing: error)
    }
  }

  /// Copies a folder of an image to the host.
  public func fill(
    _ params: SnapshotAPI.FillParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.FillResult {
    do { return try await self.fill(params) } catch { throw Fault(describing: error) }
  }
}

// MARK: - How

extension SnapshotStore {
  private func add(
    key: String, kind: SnapshotRecord.Kind, parent: String?, isVolatile: Bool, labels: [String: String],
    limit: Int64? = nil
  ) throws(Fault) -> [MountSpec] {
    try Self.check(key)
    var place: SnapshotFolders.Place?
    do {
      return try database.write { database in
        if try database.snapshot(key) != nil {
          throw Fault(.alreadyExists, "there is a snapshot \(key) already: remove it first or use another name")
        }
        let stack = try parent.map { try database.stack($0) } ?? []
        if let parent, stack.isEmpty {
          throw Fault(.notFound, "there is no layer \(parent): unpack its image first")
        }
        if let lost = stack.first(where: { $0.place == nil }) {
          throw Fault(.notFound, "the folder of the layer \(lost.chainID) is gone: unpack its image again")
        }
        if kind == .active || stack.isEmpty {
          let new = "active/\(folders.number())"
          try folders.make(new)
          place = new
          if let limit { try SnapshotLimit.set(limit, on: folders.path(new)) }
          try makeUpper(new, stack)
        }
        let record = SnapshotRecord(
          key: key, kind: kind, parent: parent, place: place, isVolatile: isVolatile, labels: labels)
        let mounts = try overlay.mounts(record, stack)
        try database.insert(record)
        return mounts
      }
    } catch {
      if let place {
        SnapshotLimit.release(folders.path(place))
        try? folders.move(place, to: folders.trash(place))
        trash.empty()
      }
      throw error
    }
  }

  func clearVolatileMark(_ place: SnapshotFolders.Place) {
    let incompatible = folders.path("\(place)/work/work/incompat").string
    guard let folder = try? openat2(nil, incompatible, [.readOnly, .directory]) else { return }
    do throws(Errno) { try RemoveTree.remove(at: folder.rawValue, "volatile") } catch {
      log.warning("a volatile snapshot cannot be mounted again", metadata: ["place": "\(place)", "error": "\(error)"])
    }
  }

  private func moveToTrash(_ keys: [String]) throws(Fault) {
    let places = try database.read { database in try keys.compactMap { try database.snapshot($0)?.place } }
    for place in places where folders.exists(place) { try folders.move(place, to: folders.trash(place)) }
  }

  /// Removes rows, and as the last step before they are gone moves the folders of snapshots to the trash.
  private func removeRows(_ keys: [String]) throws(Fault) -> [ContentRecord] {
    try database.write { database in
      var layers: [String] = []
      var places: [SnapshotFolders.Place] = []
      for key in keys {
        if let record = try database.snapshot(key) {
          if let place = record.place {
            places.append(place)
            if record.kind == .active { SnapshotLimit.release(folders.path(place)) }
          }
          try database.run("DELETE FROM snapshot WHERE key = ?", [key])
        } else if try database.layer(key) != nil {
          layers.append(key)
        }
      }
      let unused = layers.isEmpty ? [] : try database.removeLayers(layers, held: held(database))
      for place in places where folders.exists(place) { try folders.move(place, to: folders.trash(place)) }
      return unused
    }
  }

  /// overlayfs shows the upper folder's own mode and owner as those of the container's `/`: they are the image's.
  private func makeUpper(_ place: SnapshotFolders.Place, _ stack: [LayerRecord]) throws(Fault) {
    do throws(Errno) {
      let path = folders.path("\(place)/fs").string
      try Files.makeDirectory(path, mode: 0o700)
      let upper = try openat2(nil, path, [.readOnly, .directory, .noFollow])
      var (mode, uid, gid): (UInt32, UInt32, UInt32) = (0o755, 0, 0)
      if let top = stack.first?.place {
        let status = try FileStatus(folders.path("\(top)/fs").string)
        (mode, uid, gid) = (status.permissions, status.uid, status.gid)
      }
      try Ownership.set(upper.rawValue, uid: uid, gid: gid, mode: mode)
      try Files.makeDirectory(folders.path("\(place)/work").string, mode: 0o700)
    } catch .noSuchFileOrDirectory {
      throw Fault(.corrupt, "the folder of the layer \(stack.first?.chainID ?? "") is gone: unpack its image again")
    } catch {
      throw Fault(storing: error, folders.path(place).string)
    }
  }

  private func commit(_ params: SnapshotAPI.CommitParams) throws -> SnapshotAPI.CommitResult {
    _ = try Digest(parsing: params.chainID)
    let record = try database.read { try Self.known(params.key, $0) }
    guard record.kind == .active, let place = record.place else {
      throw Fault(.conflict, "the snapshot \(params.key) is not writable: there is nothing to commit")
    }
    let usage = try measure(place)
    try folders.sync()
    try database.write { database in
      guard try database.layer(params.chainID) == nil else {
        throw Fault(.alreadyExists, "there is a layer \(params.chainID) already")
      }
      guard try Self.known(params.key, database) == record else {
        throw Fault(.conflict, "the snapshot \(params.key) was changed while it was committed")
      }
      let content = try database.insertContent(
        diffID: nil, place: place, bytes: usage.bytes, inodes: usage.inodes, isOpaque: false)
      try database.insertLayer(
        chainID: params.chainID, parent: record.parent, content: content, labels: params.labels ?? record.labels)
      try database.run("DELETE FROM snapshot WHERE key = ?", [params.key])
      if let lease = params.lease { try LeaseRows.hold(database, lease, [params.chainID]) }
      marks.touch([params.chainID])
    }
    try? folders.move("\(place)/work", to: "trash/\(folders.number())")
    trash.empty()
    return SnapshotAPI.CommitResult(chainID: params.chainID, bytes: usage.bytes)
  }

  func measure(_ place: SnapshotFolders.Place) throws -> DiskUsage {
    do throws(Errno) {
      let folder = try openat2(nil, folders.path("\(place)/fs").string, [.readOnly, .directory, .noFollow])
      return DiskUsage(of: folder.rawValue)
    } catch {
      throw Fault(storing: error, folders.path(place).string)
    }
  }

  private func info(_ layer: LayerRecord) -> SnapshotAPI.SnapshotInfo {
    SnapshotAPI.SnapshotInfo(
      key: layer.chainID, kind: .layer, parent: layer.parent, created: layer.created, labels: layer.labels,
      path: layer.place.map { folders.path($0).string } ?? "", bytes: layer.bytes)
  }

  private func info(_ snapshot: SnapshotRecord) -> SnapshotAPI.SnapshotInfo {
    SnapshotAPI.SnapshotInfo(
      key: snapshot.key, kind: snapshot.kind == .active ? .active : .view, parent: snapshot.parent,
      created: snapshot.created, volatile: snapshot.isVolatile, labels: snapshot.labels,
      path: snapshot.place.map { folders.path($0).string } ?? "")
  }

  private static func known(_ key: String, _ database: Database) throws -> SnapshotRecord {
    guard let record = try database.snapshot(key) else { throw unknown(key) }
    return record
  }

  private static func unknown(_ key: String) -> Fault { Fault(.notFound, "there is no snapshot \(key)") }

  private static func check(_ key: String) throws(Fault) {
    guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ $0 > 32 && $0 != 127 }) else {
      throw Fault(.invalidArgument, "a snapshot's name has 1 to 255 bytes without spaces and control characters")
    }
  }
}
