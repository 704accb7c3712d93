import Glibc
import Snapshots

/// The process `gantry-snapshotd`.
public enum SnapshotDaemon {
  /// Gives up rights; to be called while the process has one thread. Returns the service, which runs until SIGTERM.
  public static func prepare() -> @Sendable () async -> Void {
    // Started again by itself to work on one container's files: with the rights that the service kept, and nothing else of it.
    if TreeWorker.isWanted { TreeWorker.run() }
    if let reason = Confinement.enter() {
      let text = "gantry-snapshotd: \(reason)\n"
      _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
      exit(1)
    }
    return { await SnapshotCommand.start() }
  }
}
