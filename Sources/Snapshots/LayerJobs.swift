internal import Archive
internal import Faults
internal import Linux
internal import OCI
internal import Synchronization
internal import SystemPackage
internal import Tar

/// The layers being unpacked, each once however many calls want it.
///
/// A job ends with a whole layer in `ingest/N`. The first call that has all its layers takes them to their places and
/// writes their rows (`LayerUnpack`); a job that nobody waits for any more is stopped and its folder thrown away.
actor LayerJobs {
  /// One layer on its way.
  final class Job: Sendable {
    let diffID: Digest
    let place: SnapshotFolders.Place
    let progress = UnpackingProgress()
    let task: Task<UnpackedLayer, any Error>
    private let taken = Atomic<Bool>(false)

    init(
      diffID: Digest, place: SnapshotFolders.Place,
      _ work: @escaping @Sendable (UnpackingProgress) async throws -> UnpackedLayer
    ) {
      self.diffID = diffID
      self.place = place
      let progress = progress
      task = Task { try await work(progress) }
    }

    /// Its folder has left `ingest`, or is about to.
    var isTaken: Bool { taken.load(ordering: .acquiring) }

    /// Claims the folder; true for the first.
    func take() -> Bool { !taken.exchange(true, ordering: .acquiringAndReleasing) }
  }

  private struct Entry {
    var job: Job
    var waiting = 1
  }

  private var entries: [Digest: Entry] = [:]
  /// Jobs that were stopped and whose folders are still to be thrown away.
  private var ending: [ObjectIdentifier: Task<Void, Never>] = [:]
  private let folders: SnapshotFolders
  let limits: ArchiveLimits
  private let trash: Trash
  private let pool: WorkPool
  /// For layers whose files still grow: they wait for the network most of the time, and must not hold up others.
  private let following = WorkPool(limit: 12)

  /// - Parameter parallel: how many layers are unpacked at once; the others wait in order.
  init(_ folders: SnapshotFolders, _ trash: Trash, limits: ArchiveLimits, parallel: Int) {
    self.folders = folders
    self.limits = limits
    self.trash = trash
    pool = WorkPool(limit: parallel)
  }

  /// The job for a layer, begun when there is none. `leave` must follow.
  /// - Parameter partial: where the blob is while it is still fetched.
  func join(_ diffID: Digest, blob: FilePath, partial: FilePath?, size: Int64) throws(Fault) -> Job {
    if let entry = entries[diffID], !entry.job.isTaken, !entry.job.progress.isCancelled {
      entries[diffID]?.waiting += 1
      return entry.job
    }
    let place = "ingest/\(folders.number())"
    let (folders, limits, pool) = (folders, limits, partial == nil ? pool : following)
    let job = Job(diffID: diffID, place: place) { progress in
      try await pool.run {
        try Self.unpack(diffID, blob, partial, size, folders, place, limits, progress)
      }
    }
    entries[diffID] = Entry(job: job)
    return job
  }

  /// The caller does not need the job any more, whatever became of it.
  func leave(_ job: Job) {
    guard var entry = entries[job.diffID], entry.job === job else { return }
    entry.waiting -= 1
    if entry.waiting > 0 {
      entries[job.diffID] = entry
      return
    }
    entries[job.diffID] = nil
    if job.isTaken { return }
    job.progress.cancel()
    let (folders, trash) = (folders, trash)
    let key = ObjectIdentifier(job)
    ending[key] = Task {
      _ = await job.task.result
      if folders.exists(job.place) {
        try? folders.move(job.place, to: folders.trash(job.place))
        trash.empty()
      }
      ending[key] = nil
    }
  }

  /// Returns when the folders of all stopped jobs are in the trash.
  func settle() async {
    for task in ending.values { await task.value }
  }

  private static func unpack(
    _ diffID: Digest, _ blob: FilePath, _ partial: FilePath?, _ size: Int64, _ folders: SnapshotFolders,
    _ place: SnapshotFolders.Place, _ limits: ArchiveLimits, _ progress: UnpackingProgress
  ) throws -> UnpackedLayer {
    if progress.isCancelled { throw Fault(.cancelled, "the unpacking was taken back") }
    let growing = try partial.flatMap { path throws(Fault) in try isGrowing(path, size) ? path : nil }
    if growing == nil { try check(blob, size) }
    try folders.make(place)
    do {
      try folders.make("\(place)/fs")
      let folder = try openat2(nil, folders.path("\(place)/fs").string, [.readOnly, .directory, .noFollow])
      let layer = try LayerUnpacking.unpack(
        blob: growing ?? blob, growingTo: growing.map { _ in size }, into: folder.rawValue, limits: limits,
        progress: progress)
      guard layer.diffID == diffID else {
        throw Fault(
          .corrupt,
          "the layer \(blob.lastComponent?.string ?? blob.string) unpacks to \(layer.diffID), but the image says \(diffID)"
        )
      }
      return layer
    } catch {
      throw Fault(describing: error).wrapped("the layer \(diffID) cannot be unpacked")
    }
  }

  /// Whether the beginning of the blob is there, a plain file that is not too long; a whole blob has left that place.
  private static func isGrowing(_ partial: FilePath, _ size: Int64) throws(Fault) -> Bool {
    guard let status = try? FileStatus(partial.string, followLinks: false) else { return false }
    guard status.kind == .regular, status.size <= UInt64(max(0, size)) else {
      throw Fault(.corrupt, "the layer's file \(partial) is not the beginning of what the image says")
    }
    return true
  }

  /// The blob is a plain file of the size that its descriptor says: never a fifo or device that would block.
  private static func check(_ blob: FilePath, _ size: Int64) throws(Fault) {
    guard let status = try? FileStatus(blob.string, followLinks: true) else {
      throw Fault(.notFound, "the layer's file \(blob) does not exist")
    }
    guard status.kind == .regular else {
      throw Fault(.invalidArgument, "the layer's file \(blob) is not a plain file")
    }
    guard status.size == UInt64(max(0, size)) else {
      throw Fault(.corrupt, "the layer's file \(blob) has \(status.size) bytes, but the image says \(size)")
    }
  }
}
