internal import Faults
internal import FoundationEssentials
internal import GRDB
internal import Linux
internal import Logging
internal import SystemPackage

/// What happens once at a start: the database is opened, and folders and rows are made to agree.
///
/// | found | meaning | done |
/// |---|---|---|
/// | `ingest/N` | a layer was being unpacked | trash |
/// | `layers/N` without a row | killed between rename and row | trash: it can be unpacked again |
/// | `active/N` without a row, `fs` empty | killed while preparing | trash |
/// | `active/N` without a row, `fs` has files | the row was lost | set aside, reported |
/// | row without a folder, the folder is in the trash | killed while removing | the row goes |
/// | row without a folder | somebody removed it | the row's place is cleared, reported |
/// | damaged database | – | set aside with all folders, reported |
struct StoreCheck {
  let root: FilePath
  let log: Logger

  /// Folders and database, the latter new when the old one is damaged.
  func open() throws(Fault) -> (SnapshotFolders, SnapshotDatabase) {
    let folders = try SnapshotFolders(root)
    let path = root.appending("snapshots.db")
    do {
      return (folders, try SnapshotDatabase(path))
    } catch {
      let fault = SnapshotDatabase.fault(error)
      guard fault.code == .corrupt else { throw fault }
      let aside = "aside/\(folders.number())"
      log.error(
        "the snapshot database is damaged: it is set aside with all layers and snapshots",
        metadata: ["aside": "\(folders.path(aside))", "error": "\(fault)"])
      try folders.make(aside)
      for name in ["snapshots.db", "snapshots.db-wal", "snapshots.db-shm", "layers", "active"]
      where folders.exists(name) {
        try folders.move(name, to: "\(aside)/\(name)")
      }
      let fresh = try SnapshotFolders(root)
      do { return (fresh, try SnapshotDatabase(path)) } catch { throw SnapshotDatabase.fault(error) }
    }
  }

  /// What overlayfs needs of the file system below the folders, tried out: its attributes, and that it is no overlay.
  static func probe(_ folders: SnapshotFolders) throws(Fault) {
    let place = "ingest/probe"
    do throws(Errno) { try Files.makeDirectory(folders.path(place).string) } catch {
      throw Fault(storing: error, folders.path(place).string)
    }
    defer { try? Files.removeDirectory(folders.path(place).string) }
    do throws(Errno) {
      let folder = try openat2(nil, folders.path(place).string, [.readOnly, .directory, .noFollow])
      if try Files.fileSystemType(folder.rawValue) == FileSystemMagic.overlay {
        throw Errno.notSupported
      }
      try ExtendedAttributes.set(folder.rawValue, "trusted.overlay.opaque", Array("y".utf8))
    } catch .notSupported {
      throw Fault(
        .unsupported,
        "the file system of \(folders.root) cannot hold layers for overlayfs: give --root a folder on ext4, xfs, btrfs or tmpfs"
      )
    } catch {
      throw Fault(storing: error, folders.root.string)
    }
  }

  /// Makes folders and rows agree.
  func reconcile(_ folders: SnapshotFolders, _ database: SnapshotDatabase) throws(Fault) {
    let (contents, snapshots) = try database.read { (try $0.contents(), try $0.snapshots()) }
    let known = Set(contents.compactMap(\.place) + snapshots.compactMap(\.place))
    for place in known { folders.reserve(place) }
    for name in try list(folders, "ingest") { try discard("ingest/\(name)", folders) }
    for name in try list(folders, "layers") where !known.contains("layers/\(name)") {
      log.notice("a layer's folder without a row is removed", metadata: ["place": "layers/\(name)"])
      try discard("layers/\(name)", folders)
    }
    for name in try list(folders, "active") where !known.contains("active/\(name)") {
      try settle("active/\(name)", folders)
    }
    let lost = known.filter { !folders.exists("\($0)/fs") }
    if lost.isEmpty { return }
    try database.write { database in
      for place in lost {
        if folders.exists(folders.trash(place)) {
          try database.forget(place: place)
        } else {
          log.error("the folder of a row is gone", metadata: ["place": "\(place)"])
          try database.clear(place: place)
        }
      }
    }
  }

  private func list(_ folders: SnapshotFolders, _ name: String) throws(Fault) -> [String] {
    do throws(Errno) { return try Files.list(folders.path(name).string) } catch {
      throw Fault(storing: error, folders.path(name).string)
    }
  }

  private func discard(_ place: SnapshotFolders.Place, _ folders: SnapshotFolders) throws(Fault) {
    try folders.move(place, to: "trash/\(folders.number())")
  }

  /// A writable snapshot that no row knows: with files in it, it may be somebody's work.
  private func settle(_ place: SnapshotFolders.Place, _ folders: SnapshotFolders) throws(Fault) {
    let content = (try? Files.list(folders.path("\(place)/fs").string)) ?? []
    if content.isEmpty { return try discard(place, folders) }
    let aside = "aside/\(folders.number())"
    log.error(
      "a snapshot's folder without a row is set aside",
      metadata: ["place": "\(place)", "aside": "\(folders.path(aside))"])
    try folders.move(place, to: aside)
  }
}

extension Database {
  /// Removes the rows of a place whose folder is in the trash already.
  fileprivate func forget(place: SnapshotFolders.Place) throws {
    try run("DELETE FROM snapshot WHERE place = ?", [place])
    try clear(place: place)
    try removeUnusedContents()
  }

  /// Sets the rows of a place aside.
  fileprivate func clear(place: SnapshotFolders.Place) throws {
    try run("UPDATE snapshot SET place = NULL WHERE place = ?", [place])
    try run("UPDATE content SET place = NULL WHERE place = ?", [place])
  }

  /// Removes contents without a folder that no layer names.
  func removeUnusedContents() throws {
    try run("DELETE FROM content WHERE place IS NULL AND id NOT IN (SELECT content FROM layer)", [])
  }
}
