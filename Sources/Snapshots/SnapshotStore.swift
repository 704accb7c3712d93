public import Archive
public import Faults
internal import GRDB
internal import GarbageCollection
internal import Linux
public import Logging
internal import OCI
internal import Protocol
internal import Synchronization
public import SystemPackage
public import Tar

/// Layers in folders and snapshots on top of them, for overlayfs. This is the whole service without its socket:
/// `SnapshotStore+Service.swift` has its calls.
///
/// Order of every change, so that a kill at any moment leaves nothing half shown:
/// a folder is whole (and synced) before its row; a folder leaves by a rename into the trash before its row goes.
public final class SnapshotStore: Sendable {
  let folders: SnapshotFolders
  let database: SnapshotDatabase
  let overlay: OverlayMounts
  let trash: Trash
  let jobs: LayerJobs
  let log: Logger
  /// Layers that running calls count on, by chainID and diffID: never pruned.
  let holds = CallHolds()
  /// When layers were last made, asked for or released.
  let marks = LayerMarks()
  /// Long work on the disk other than unpacking, one piece after the other: taking layers in, pruning, measuring.
  let disk = WorkPool(limit: 1)
  /// Walks through folders, which change nothing.
  let measuring = WorkPool(limit: 2)
  /// Copies of folders of images.
  let copying = WorkPool(limit: 2)
  /// One copy into a folder at a time, also when the caller of the first went away and asks again.
  let turns = Turns()
  /// Moves files in and out of snapshots; nil where nobody can connect to streams.
  let treeCopies: TreeCopies?
  /// Keys of snapshots that are mounted to be written to.
  let written = Mutex<Set<String>>([])

  /// Opens the store in the folder `root` (made, 0700, when missing) and checks that folders and rows agree.
  ///
  /// One store per folder: the caller holds its `FolderLock`, as `ServiceMain` does.
  ///
  /// - Parameters:
  ///   - limits: what one layer may ask for.
  ///   - parallelUnpacks: how many layers are unpacked at once.
  ///   - copies: how files get in and out of snapshots.
  public init(
    root: FilePath, limits: ArchiveLimits = ArchiveLimits(), parallelUnpacks: Int = 2, copies: TreeCopies? = nil,
    log: Logger = Logger(label: "snapshot")
  ) throws(Fault) {
    do throws(Errno) { try Files.makeDirectories(root) } catch { throw Fault(storing: error, root.string) }
    let check = StoreCheck(root: root, log: log)
    (folders, database) = try check.open()
    self.log = log
    treeCopies = copies
    overlay = OverlayMounts(folders: folders)
    trash = Trash(folders, log)
    jobs = LayerJobs(folders, trash, limits: limits, parallel: parallelUnpacks)
    try check.reconcile(folders, database)
    try StoreCheck.probe(folders)
    trash.empty()
  }

  /// Returns when everything that was removed is off the disk too.
  public func drain() async {
    await jobs.settle()
    await trash.drain()
  }
}
