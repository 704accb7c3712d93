public import Faults
internal import Linux
internal import Synchronization
public import SystemPackage

/// `gantry.json` as it is now: a changed file is read again at its next use, or at once by `reload`. A file that became
/// wrong is reported, once, and what it said before goes on.
public final class LiveConfiguration: Sendable {
  /// What tells one version of a file from another; nil while there is none.
  private struct Version: Equatable {
    var inode: UInt64
    var size: UInt64
    var modified: FileStatus.Time
    var changed: FileStatus.Time

    init?(_ path: FilePath) {
      guard let status = try? FileStatus(path.string, followLinks: true) else { return nil }
      inode = status.inode
      size = status.size
      modified = status.modified
      changed = status.changed
    }
  }

  private struct State {
    var version: Version?
    var file: ConfigurationFile
  }

  /// Where the file is.
  public let path: FilePath
  private let mustExist: Bool
  private let report: @Sendable (String) -> Void
  private let state: Mutex<State>

  /// Reads the file.
  ///
  /// - Parameters:
  ///   - path: nil is the usual place, where the file may be missing.
  ///   - report: gets one sentence when a new version was taken, or could not be.
  /// - Throws: what `ConfigurationFile` throws: a service does not start with a wrong file.
  public init(path: FilePath?, report: @escaping @Sendable (String) -> Void) throws(Fault) {
    self.path = path ?? ConfigurationFile.standardPath
    mustExist = path != nil
    self.report = report
    let version = Version(self.path)
    let file = try ConfigurationFile(path: self.path, mustExist: mustExist)
    state = Mutex(State(version: version, file: file))
  }

  /// What holds now.
  public var current: ConfigurationFile {
    let version = Version(path)
    let known = state.withLock { $0 }
    return known.version == version ? known.file : read(version)
  }

  /// Reads the file again, changed or not, and reports the outcome.
  public func reload() { _ = read(Version(path)) }

  /// Folders of certificates and of `hosts.toml`, those before counting first: beside the file, Docker's, containerd's.
  public var certificateFolders: [FilePath] {
    [path.removingLastComponent().appending("certs.d"), "/etc/docker/certs.d", "/etc/containerd/certs.d"]
  }

  private func read(_ version: Version?) -> ConfigurationFile {
    do throws(Fault) {
      let file = try ConfigurationFile(path: path, mustExist: mustExist)
      state.withLock { $0 = State(version: version, file: file) }
      report("configuration read from \(path)")
      return file
    } catch {
      report("\(error.message); what was configured before stays")
      return state.withLock { state in
        state.version = version
        return state.file
      }
    }
  }
}
