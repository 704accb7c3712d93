internal import Archive
internal import Faults
internal import GRDB
internal import JSONRPC
internal import OCI
internal import Protocol
internal import SystemPackage

/// One call of `snapshot.unpack`: which layers are missing, their jobs, and the moment when all become visible at once.
struct LayerUnpack {
  /// A layer that the caller wants, its digests checked.
  struct Wanted {
    var diffID: Digest
    var chainID: Digest
    var parent: Digest?
    var blob: FilePath
    var size: Int64
  }

  let store: SnapshotStore
  let wanted: [Wanted]

  /// Checks that the layers are a stack: well-formed digests, and chainIDs that follow from the diffIDs.
  init(_ store: SnapshotStore, _ layers: [LayerSource]) throws(Fault) {
    self.store = store
    var diffIDs: [Digest] = []
    for layer in layers { diffIDs.append(try Digest(parsing: layer.diffID)) }
    var wanted: [Wanted] = []
    for (index, chainID) in LayerChain.ids(diffIDs).enumerated() {
      let layer = layers[index]
      guard layer.chainID == chainID.rawValue else {
        throw Fault(
          .invalidArgument,
          "the layer \(layer.diffID) is given the chainID \(layer.chainID); in this place it is \(chainID)")
      }
      guard layer.path.utf8.first == UInt8(ascii: "/"), !layer.path.utf8.contains(0) else {
        throw Fault(.invalidArgument, "the path of the layer \(layer.diffID) must be absolute, not \"\(layer.path)\"")
      }
      wanted.append(
        Wanted(
          diffID: diffIDs[index], chainID: chainID, parent: wanted.last?.chainID, blob: FilePath(layer.path),
          size: layer.descriptor.size))
    }
    self.wanted = wanted
  }

  /// Unpacks what is missing.
  func run(_ context: CallContext) async throws -> SnapshotAPI.UnpackResult {
    guard let top = wanted.last else { return SnapshotAPI.UnpackResult(chainID: "", unpacked: [], bytes: 0) }
    let names = wanted.map(\.chainID.rawValue) + wanted.map(\.diffID.rawValue)
    store.pins.pin(names)
    defer { store.pins.unpin(names) }
    let missing = try missing()
    if missing.isEmpty, try store.database.read({ try $0.stack(top.chainID.rawValue).count }) == wanted.count {
      return SnapshotAPI.UnpackResult(chainID: top.chainID.rawValue, unpacked: [], bytes: 0)
    }
    var jobs: [LayerJobs.Job] = []
    do {
      for layer in missing { jobs.append(try await store.jobs.join(layer.diffID, blob: layer.blob, size: layer.size)) }
      let unpacked = try await wait(jobs, context)
      let finished = jobs.compactMap { job in unpacked[job.diffID].map { (job, $0) } }
      let store = store
      let wanted = wanted
      let result = try await store.disk.run { try store.takeIn(wanted, finished) }
      for job in jobs { await store.jobs.leave(job) }
      return SnapshotAPI.UnpackResult(
        chainID: top.chainID.rawValue, unpacked: result.unpacked, bytes: result.bytes)
    } catch {
      for job in jobs { await store.jobs.leave(job) }
      throw error
    }
  }

  /// The layers whose files are nowhere yet, each diffID once.
  private func missing() throws -> [Wanted] {
    try store.database.read { database in
      var seen: Set<Digest> = []
      return try wanted.filter { layer in
        guard seen.insert(layer.diffID).inserted else { return false }
        return try database.content(diffID: layer.diffID.rawValue)?.place == nil
      }
    }
  }

  private enum Message: Sendable {
    case done(LayerJobs.Job, Result<UnpackedLayer, any Error>)
    case tick
  }

  /// Waits for all jobs, telling the caller how far they are; the first failure, or a call taken back, ends it.
  private func wait(_ jobs: [LayerJobs.Job], _ context: CallContext) async throws -> [Digest: UnpackedLayer] {
    let sizes = Dictionary(wanted.map { ($0.diffID, $0.size) }, uniquingKeysWith: { first, _ in first })
    let (messages, sender) = AsyncStream.makeStream(of: Message.self)
    for job in jobs { Task { sender.yield(.done(job, await job.task.result)) } }
    let clock = Task {
      while !Task.isCancelled {
        try? await Task.sleep(for: .milliseconds(100))
        sender.yield(.tick)
      }
    }
    defer {
      clock.cancel()
      sender.finish()
    }
    var finished: [Digest: UnpackedLayer] = [:]
    var told: [Digest: Int64] = [:]
    func tell(_ job: LayerJobs.Job) {
      let current = job.progress.bytesRead
      guard context.wantsProgress, told.updateValue(current, forKey: job.diffID) != current else { return }
      context.progress(
        SnapshotAPI.UnpackProgress(layer: job.diffID.rawValue, current: current, total: sizes[job.diffID]))
    }
    if jobs.isEmpty { return [:] }
    for await message in messages {
      switch message {
      case .done(let job, let result):
        finished[job.diffID] = try result.get()
        tell(job)
        if finished.count == jobs.count { return finished }
      case .tick:
        for job in jobs where finished[job.diffID] == nil { tell(job) }
        if context.isCancelled { throw Fault(.cancelled, "the unpacking was taken back") }
      }
    }
    throw Fault(.cancelled, "the unpacking was taken back")
  }
}

extension SnapshotStore {
  /// Moves finished layers to their places, syncs once, and writes all rows in one transaction: the layers of the image
  /// appear together or not at all. Runs on `disk`, one call after the other.
  func takeIn(
    _ wanted: [LayerUnpack.Wanted], _ finished: [(job: LayerJobs.Job, layer: UnpackedLayer)]
  ) throws -> (unpacked: [String], bytes: Int64) {
    var moved: [(place: SnapshotFolders.Place, layer: UnpackedLayer)] = []
    do {
      for (job, layer) in finished {
        let isThere = try database.read { try $0.content(diffID: layer.diffID.rawValue)?.place != nil }
        if isThere || !job.take() { continue }
        let place = "layers/" + (job.place.split(separator: "/").last ?? "")
        try folders.move(job.place, to: place)
        moved.append((place, layer))
      }
      if !moved.isEmpty { try folders.sync() }
      let unpacked = try database.write { database in
        for (place, layer) in moved {
          _ = try database.insertContent(
            diffID: layer.diffID.rawValue, place: place, bytes: layer.bytes, inodes: layer.inodes,
            isOpaque: layer.isOpaque)
        }
        return try insertRows(wanted, database)
      }
      return (unpacked, moved.reduce(0) { $0 + $1.layer.bytes })
    } catch {
      for (place, _) in moved { try? folders.move(place, to: folders.trash(place)) }
      trash.empty()
      throw error
    }
  }

  private func insertRows(_ wanted: [LayerUnpack.Wanted], _ database: Database) throws -> [String] {
    var new: [String] = []
    for layer in wanted where try database.layer(layer.chainID.rawValue) == nil {
      guard let content = try database.content(diffID: layer.diffID.rawValue), content.place != nil else {
        throw Fault(.unavailable, "the layer \(layer.diffID) was removed while its image was unpacked: try again")
      }
      try database.insertLayer(
        chainID: layer.chainID.rawValue, parent: layer.parent?.rawValue, content: content.id, labels: [:])
      new.append(layer.chainID.rawValue)
    }
    return new
  }
}
