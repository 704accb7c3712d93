public import Faults
internal import GRDB
public import JSONRPC
public import Protocol
internal import SystemPackage

/// The calls about the files of snapshots. All of the work is a worker's; here it is said which folders make up the tree.
extension SnapshotStore {
  /// Tells of one file.
  public func fileStat(
    _ params: SnapshotAPI.FileStatParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.FileStatResult {
    let (order, _) = try order(params.tree, .stat(path: params.path))
    return .init(stat: try await copies().stat(order))
  }

  /// Promises an archive.
  public func archive(
    _ params: SnapshotAPI.ArchiveParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ArchiveResult {
    let (order, record) = try order(
      params.tree, .archive(path: params.path, contents: params.contents ?? false))
    let copy = try await copies().begin(order) { [self] () throws(Fault) in try checkThere(record) }
    guard let stat = copy.stat else { throw Fault(.internal, "the worker told nothing of the file") }
    return .init(copy: copy.name, stat: stat, stream: copy.stream)
  }

  /// Promises a stream to extract from. One at a time for a snapshot that is mounted for it.
  public func extract(
    _ params: SnapshotAPI.ExtractParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ExtractResult {
    let (order, record) = try order(
      params.tree,
      .extract(path: params.path, keepsKind: params.noOverwriteDirNonDir ?? false, user: params.user), writes: true)
    let key = record.key
    let isMounted = params.tree.process == nil
    if isMounted, !written.withLock({ $0.insert(key).inserted }) {
      throw Fault(.conflict, "\(order.name) is being written to by another transfer: try again when it has ended")
    }
    let copy = try await copies().begin(order) { [self] () throws(Fault) in
      if isMounted { _ = written.withLock { $0.remove(key) } }
      try checkThere(record)
    }
    return .init(copy: copy.name, stream: copy.stream)
  }

  /// Promises the list of changes.
  public func changes(
    _ params: SnapshotAPI.ChangesParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ChangesResult {
    let (record, stack) = try tree(params.tree.key)
    guard record.kind == .active, let place = record.place else {
      throw Fault(.conflict, "the snapshot \(record.key) is not writable: it changed nothing")
    }
    let order = TreeOrder(
      root: .layers([]), name: params.tree.name ?? "snapshot \(record.key)", mounts: [], readOnly: true,
      work: .changes(
        upper: folders.path("\(place)/fs").string, lower: try overlay.lowerFolders(stack),
        mountPoints: params.mountPoints ?? []))
    let copy = try await copies().begin(order) { [self] () throws(Fault) in try checkThere(record) }
    return .init(copy: copy.name, stream: copy.stream)
  }

  /// Waits for the end of a transfer.
  public func finishCopy(
    _ params: SnapshotAPI.FinishCopyParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.FinishCopyResult {
    .init(bytes: try await copies().finish(params.copy))
  }

  /// Ends a transfer.
  public func cancelCopy(
    _ params: SnapshotAPI.CancelCopyParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.CancelCopyResult {
    try copies().cancel(params.copy)
    return .init()
  }

  private func copies() throws(Fault) -> TreeCopies {
    guard let copies = treeCopies else {
      throw Fault(.unsupported, "this snapshot store was opened without streams: it moves no files")
    }
    return copies
  }

  private func tree(_ key: String) throws(Fault) -> (SnapshotRecord, [LayerRecord]) {
    try database.read { database in
      guard let record = try database.snapshot(key) else { throw Fault(.notFound, "there is no snapshot \(key)") }
      return (record, try record.parent.map { try database.stack($0) } ?? [])
    }
  }

  /// What a worker needs to know of a tree.
  private func order(
    _ tree: SnapshotAPI.SnapshotTree, _ work: TreeOrder.Work, writes: Bool = false
  ) throws(Fault) -> (TreeOrder, SnapshotRecord) {
    let (record, stack) = try self.tree(tree.key)
    for mount in tree.mounts ?? [] {
      for path in [mount.source, mount.destination] where !path.hasPrefix("/") || path.utf8.contains(0) {
        throw Fault(.invalidArgument, "mounts: \"\(path)\" is no absolute path")
      }
    }
    let lower = try overlay.lowerFolders(stack)
    let upper = record.place.map { folders.path("\($0)/fs").string }
    let root: TreeOrder.Root
    if let process = tree.process {
      guard let pid = Int32(exactly: process), pid > 0, let upper else {
        throw Fault(.invalidArgument, "process: \(process) cannot have the snapshot \(record.key) as its root")
      }
      root = .process(pid, upper: upper)
    } else if writes, record.kind == .active {
      let mounts = try overlay.mounts(record, stack)
      if record.isVolatile, let place = record.place { clearVolatileMark(place) }
      guard let mount = mounts.first, mounts.count == 1 else {
        throw Fault(.internal, "the snapshot \(record.key) has \(mounts.count) mounts")
      }
      root = .mounted(mount)
    } else {
      root = .layers((upper.map { [$0] } ?? []) + lower)
    }
    let readOnly = tree.readOnly ?? false || record.kind == .view
    let name = tree.name ?? "snapshot \(record.key)"
    return (TreeOrder(root: root, name: name, mounts: tree.mounts ?? [], readOnly: readOnly, work: work), record)
  }

  /// A snapshot that was removed while it was read may have been read half empty.
  private func checkThere(_ record: SnapshotRecord) throws(Fault) {
    guard try database.read({ try $0.snapshot(record.key)?.place }) == record.place else {
      throw Fault(.conflict, "the snapshot \(record.key) was removed while its files were copied")
    }
  }
}
