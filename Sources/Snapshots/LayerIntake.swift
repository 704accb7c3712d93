internal import Archive
internal import Faults
internal import GRDB
internal import OCI
internal import SystemPackage

extension SnapshotStore {
  /// A layer on its way from `ingest` into `layers`.
  private struct Intake {
    var layer: UnpackedLayer
    var place: SnapshotFolders.Place
    /// Whether hard links to files of the layers below were made in it: then its files are right on these layers alone, and
    /// no other stack may share them.
    var isBound: Bool
  }

  /// Makes what finished layers need of those below them, moves them to their places, syncs once, and writes all rows in one
  /// transaction: the layers of the image appear together or not at all. Runs on `disk`, one call after the other.
  ///
  /// A folder that another call took is passed over. When that call bound it to its own layers, rows of this one's are
  /// missing afterwards, and the caller asks again.
  func takeIn(
    _ wanted: [LayerUnpack.Wanted], _ finished: [(job: LayerJobs.Job, layer: UnpackedLayer)]
  ) throws -> (unpacked: [String], bytes: Int64) {
    var taken: [Digest: Intake] = [:]
    do {
      for (job, layer) in finished {
        let isThere = try database.read { database in
          if try database.content(diffID: layer.diffID.rawValue)?.place != nil { return true }
          return try wanted.allSatisfy { other in
            try other.diffID != layer.diffID || database.layer(other.chainID.rawValue)?.place != nil
          }
        }
        if isThere || !job.take() { continue }
        taken[layer.diffID] = Intake(layer: layer, place: job.place, isBound: !layer.outerLinks.isEmpty)
      }
      try bind(wanted, &taken)
      for (diffID, intake) in taken {
        let place = "layers/" + (intake.place.split(separator: "/").last ?? "")
        try folders.move(intake.place, to: place)
        taken[diffID]?.place = place
      }
      if !taken.isEmpty { try folders.sync() }
      let unpacked = try database.write { database in
        var contents: [Digest: Int64] = [:]
        for (diffID, intake) in taken {
          contents[diffID] = try database.insertContent(
            diffID: intake.isBound ? nil : diffID.rawValue, place: intake.place, bytes: intake.layer.bytes,
            inodes: intake.layer.inodes, isOpaque: intake.layer.isOpaque)
        }
        return try insertRows(wanted, contents, database)
      }
      return (unpacked, taken.values.reduce(0) { $0 + $1.layer.bytes })
    } catch {
      for intake in taken.values { try? folders.move(intake.place, to: folders.trash(intake.place)) }
      trash.empty()
      throw error
    }
  }

  /// Makes the hard links to files of lower layers, lowest layer first, as a layer above may link to what a link made.
  private func bind(_ wanted: [LayerUnpack.Wanted], _ taken: inout [Digest: Intake]) throws {
    guard taken.values.contains(where: \.isBound) else { return }
    var below: [FilePath] = []
    var bound: Set<Digest> = []
    for layer in wanted {
      if let intake = taken[layer.diffID] {
        let folder = folders.path("\(intake.place)/fs")
        if intake.isBound, bound.insert(layer.diffID).inserted {
          do {
            let added = try OuterLinks.make(
              intake.layer.outerLinks, in: folder, above: intake.layer.isOpaque ? [] : below)
            taken[layer.diffID]?.layer.bytes += added.bytes
            taken[layer.diffID]?.layer.inodes += added.inodes
          } catch {
            throw Fault(describing: error).wrapped("the layer \(layer.diffID) cannot be unpacked")
          }
        }
        if intake.layer.isOpaque { below = [] }
        below.insert(folder, at: 0)
        continue
      }
      let known = try database.read { database -> (place: SnapshotFolders.Place, isOpaque: Bool)? in
        if let row = try database.layer(layer.chainID.rawValue), let place = row.place { return (place, row.isOpaque) }
        guard let row = try database.content(diffID: layer.diffID.rawValue), let place = row.place else { return nil }
        return (place, row.isOpaque)
      }
      // Bound to other layers by another call meanwhile: what stands on it cannot be made in this round.
      guard let (place, isOpaque) = known else {
        for index in wanted.indices where taken[wanted[index].diffID]?.isBound == true {
          guard !bound.contains(wanted[index].diffID) else { continue }
          if let intake = taken.removeValue(forKey: wanted[index].diffID) {
            try folders.move(intake.place, to: folders.trash(intake.place))
          }
        }
        trash.empty()
        return
      }
      if isOpaque { below = [] }
      below.insert(folders.path("\(place)/fs"), at: 0)
    }
  }

  /// Rows for the layers whose files are there, up to the first whose are not.
  private func insertRows(
    _ wanted: [LayerUnpack.Wanted], _ taken: [Digest: Int64], _ database: Database
  ) throws -> [String] {
    var new: [String] = []
    for layer in wanted where try database.layer(layer.chainID.rawValue)?.place == nil {
      var content = taken[layer.diffID]
      if content == nil, let known = try database.content(diffID: layer.diffID.rawValue), known.place != nil {
        content = known.id
      }
      guard let content else { return new }
      // A row whose folder was lost gets the new one.
      if try database.layer(layer.chainID.rawValue) != nil {
        try database.run("UPDATE layer SET content = ? WHERE chain_id = ?", [content, layer.chainID.rawValue])
      }
      try database.insertLayer(
        chainID: layer.chainID.rawValue, parent: layer.parent?.rawValue, content: content, labels: [:])
      new.append(layer.chainID.rawValue)
    }
    return new
  }
}
