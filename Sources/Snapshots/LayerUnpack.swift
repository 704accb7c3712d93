internal import Archive
internal import Faults
internal import GRDB
internal import GarbageCollection
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
    /// Where the blob is while it is fetched.
    var partial: FilePath?
    var size: Int64
  }

  let store: SnapshotStore
  let wanted: [Wanted]
  /// What keeps the layers after the call.
  let lease: String?

  /// Checks that the layers are a stack: well-formed digests, and chainIDs that follow from the diffIDs.
  init(_ store: SnapshotStore, _ layers: [LayerSource], lease: String?) throws(Fault) {
    self.store = store
    self.lease = lease
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
      if let partial = layer.partial, partial.utf8.first != UInt8(ascii: "/") || partial.utf8.contains(0) {
        throw Fault(.invalidArgument, "the path of the growing layer \(layer.diffID) must be absolute")
      }
      wanted.append(
        Wanted(
          diffID: diffIDs[index], chainID: chainID, parent: wanted.last?.chainID, blob: FilePath(layer.path),
          partial: layer.partial.map { FilePath($0) }, size: layer.descriptor.size))
    }
    self.wanted = wanted
  }

  /// Unpacks what is missing.
  func run(_ context: CallContext) async throws -> SnapshotAPI.UnpackResult {
    guard let top = wanted.last else { return SnapshotAPI.UnpackResult(chainID: "", unpacked: [], bytes: 0) }
    let names = wanted.map(\.chainID.rawValue) + wanted.map(\.diffID.rawValue)
    store.holds.hold(names)
    defer {
      // In this order: a prune that does not see the hold any more sees the touch.
      store.marks.touch(names)
      store.holds.release(names)
    }
    if let lease { try store.database.write { try LeaseRows.hold($0, lease, names) } }
    var unpacked: [String] = []
    var bytes: Int64 = 0
    while true {
      let missing = try missing()
      if missing.isEmpty, try store.database.read({ try $0.stack(top.chainID.rawValue).count }) == wanted.count {
        return SnapshotAPI.UnpackResult(chainID: top.chainID.rawValue, unpacked: unpacked, bytes: bytes)
      }
      let round = try await unpack(missing, context)
      unpacked += round.unpacked
      bytes += round.bytes
      // Only a folder that another call took for layers of its own makes another round: each one adds layers somewhere.
    }
  }

  /// Unpacks `missing` and takes them in with those that were there.
  private func unpack(_ missing: [Wanted], _ context: CallContext) async throws -> (unpacked: [String], bytes: Int64) {
    var jobs: [LayerJobs.Job] = []
    do {
      for layer in missing {
        jobs.append(
          try await store.jobs.join(layer.diffID, blob: layer.blob, partial: layer.partial, size: layer.size))
      }
      let unpacked = try await wait(jobs, context)
      let finished = jobs.compactMap { job in unpacked[job.diffID].map { (job, $0) } }
      let store = store
      let wanted = wanted
      let result = try await store.disk.run { try store.takeIn(wanted, finished) }
      for job in jobs { await store.jobs.leave(job) }
      return result
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
        if try database.layer(layer.chainID.rawValue)?.place != nil { return false }
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
