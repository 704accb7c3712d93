internal import Faults
internal import Glibc
internal import Linux
internal import Synchronization
internal import SystemPackage

/// The folders of the service, all 0700, so that no user of the host walks into a container's files:
///
///     ROOT/snapshot/
///       lock  snapshots.db
///       layers/N/fs           whole layers; `fs` has the mode of the image's root folder
///       layers/N/recipe       how the layer's archive is made again, where that is possible
///       active/N/{fs,work}    writable snapshots: overlayfs's upper and work folder
///       ingest/N/fs           layers being unpacked; worthless after a restart
///       trash/N               what is being deleted
///       aside/TIME/…          what a check at start could not explain: reported, never deleted
///
/// N is counted up and never used twice while anything with it exists.
struct SnapshotFolders: Sendable {
  /// A folder's place below the root, such as `layers/12`, as the database has it.
  typealias Place = String

  let root: FilePath
  private let counter: Counter

  private final class Counter: Sendable {
    let last: Atomic<Int64>
    init(_ last: Int64) { self.last = Atomic(last) }
  }

  /// Makes what is missing of the folders below `root`, an existing folder.
  init(_ root: FilePath) throws(Fault) {
    self.root = root
    var last: Int64 = 0
    for name in Self.names {
      let folder = root.appending(name)
      do throws(Errno) {
        try Files.makeDirectory(folder.string, mode: 0o700)
        for entry in try Files.list(folder.string) { last = max(last, Int64(entry) ?? 0) }
      } catch {
        throw Fault(storing: error, folder.string)
      }
    }
    counter = Counter(last)
  }

  static let names = ["layers", "active", "ingest", "trash", "aside"]

  /// Tells of a number that the database knows.
  func reserve(_ place: Place) {
    guard let number = Int64(place.split(separator: "/").last ?? "") else { return }
    var last = counter.last.load(ordering: .relaxed)
    while last < number {
      let result = counter.last.compareExchange(
        expected: last, desired: number, ordering: .relaxed)
      if result.exchanged { return }
      last = result.original
    }
  }

  /// A number that nothing has.
  func number() -> Int64 { counter.last.add(1, ordering: .relaxed).newValue }

  /// The absolute path of a place.
  func path(_ place: Place) -> FilePath { root.appending(place) }

  /// Makes a folder (0700) that must be new.
  func make(_ place: Place) throws(Fault) {
    do throws(Errno) {
      guard try Files.makeDirectory(path(place).string, mode: 0o700) else { throw Errno.fileExists }
    } catch {
      throw Fault(storing: error, path(place).string)
    }
  }

  /// Whether something is there.
  func exists(_ place: Place) -> Bool { (try? FileStatus(path(place).string)) != nil }

  /// Renames within the root.
  func move(_ place: Place, to target: Place) throws(Fault) {
    do throws(Errno) {
      try Files.rename(path(place).string, path(target).string, noReplace: true)
    } catch {
      throw Fault(storing: error, path(target).string)
    }
  }

  /// Where a place is while it is being deleted.
  func trash(_ place: Place) -> Place { "trash/\(place.split(separator: "/").last ?? "")" }

  /// Everything that was written so far is on the disk when this returns.
  func sync() throws(Fault) {
    do throws(Errno) {
      try DurableFile.syncFileSystem(root)
    } catch {
      throw Fault(storing: error, root.string)
    }
  }
}

extension Fault {
  /// What it means that a folder or file of the service's own could not be made or changed.
  init(storing error: Errno, _ path: String) {
    switch error {
    case .noSpace, .diskQuotaExceeded:
      self.init(.noSpace, "no space is left on the disk of \(path): free some, then try again", cause: ["\(error)"])
    case .readOnlyFileSystem:
      self.init(
        .readOnly, "\(path) is on a read-only file system: the snapshot service must write there", cause: ["\(error)"])
    case .permissionDenied, .notPermitted:
      self.init(
        .permissionDenied, "\(path) cannot be changed: the snapshot service must run as root", cause: ["\(error)"])
    default:
      self.init(.internal, "\(path) cannot be changed", cause: ["\(error)"])
    }
  }
}
