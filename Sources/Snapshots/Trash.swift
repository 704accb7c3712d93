internal import Linux
internal import Logging
internal import Synchronization

/// Deletes what was moved to the trash, off every caller's path, one folder after the other.
final class Trash: Sendable {
  private let folders: SnapshotFolders
  private let log: Logger
  private let pool = WorkPool(limit: 1)
  private let isScheduled = Mutex(false)

  init(_ folders: SnapshotFolders, _ log: Logger) {
    self.folders = folders
    self.log = log
  }

  /// Begins to empty the trash; returns at once.
  func empty() {
    let isNew = isScheduled.withLock { scheduled in
      defer { scheduled = true }
      return !scheduled
    }
    guard isNew else { return }
    pool.start { [self] in
      isScheduled.withLock { $0 = false }
      removeAll()
    }
  }

  /// Returns when everything that is in the trash now is gone, or cannot be removed.
  func drain() async {
    try? await pool.run { self.removeAll() }
  }

  private func removeAll() {
    do {
      let trash = try openat2(nil, folders.path("trash").string, [.readOnly, .directory])
      for name in try Files.list(trash.rawValue) {
        do { try RemoveTree.remove(at: trash.rawValue, name) } catch {
          log.warning("a removed folder is still there", metadata: ["place": "trash/\(name)", "error": "\(error)"])
        }
      }
    } catch {
      log.warning("the trash cannot be read", metadata: ["error": "\(error)"])
    }
  }
}
