internal import Archive
public import Faults
internal import GRDB
public import JSONRPC
internal import Linux
internal import OCI
public import Protocol
internal import SystemPackage
internal import Tar

/// Compares the files of layers with the archives that they came from: each archive is unpacked anew beside the layer, its
/// diffID is checked, and both trees are compared to the last byte.
struct LayerVerification {
  let store: SnapshotStore
  let context: CallContext
  private(set) var layers: Int64 = 0
  private(set) var files: Int64 = 0
  private(set) var damage: [SnapshotAPI.LayerDamage] = []

  init(_ store: SnapshotStore, _ context: CallContext) {
    self.store = store
    self.context = context
  }

  /// Looks at `wanted`, lowest layer first; equal contents are looked at once. Blocks.
  mutating func run(_ wanted: [LayerUnpack.Wanted], setAside: Bool) throws {
    var seen: Set<Int64> = []
    for (position, layer) in wanted.enumerated() {
      if context.isCancelled { throw Fault(.cancelled, "the check was taken back") }
      guard let row = try store.database.read({ try $0.layer(layer.chainID.rawValue) }),
        seen.insert(row.content).inserted
      else { continue }
      layers += 1
      context.progress(
        ImportProgress(
          stage: "check", id: layer.chainID.rawValue, current: Int64(position), total: Int64(wanted.count)))
      guard let problem = try problem(layer, row) else { continue }
      // A layer that was removed or set aside meanwhile is not damaged.
      guard try store.database.read({ try $0.layer(layer.chainID.rawValue) }) == row else { continue }
      damage.append(
        .init(chainID: layer.chainID.rawValue, diffID: layer.diffID.rawValue, problem: problem))
      if setAside { try self.setAside(row) }
    }
  }

  private mutating func problem(_ layer: LayerUnpack.Wanted, _ row: LayerRecord) throws -> String? {
    guard let place = row.place, let folder = open(place) else { return "its folder is gone" }
    guard (try? FileStatus(layer.blob.string, followLinks: true)) != nil else { return nil }
    let fresh = "ingest/\(store.folders.number())"
    try store.folders.make(fresh)
    defer {
      try? store.folders.move(fresh, to: store.folders.trash(fresh))
      store.trash.empty()
    }
    try store.folders.make("\(fresh)/fs")
    guard let target = open(fresh) else { throw Fault(.internal, "the folder \(fresh) is gone") }
    let unpacked = try LayerUnpacking.unpack(blob: layer.blob, into: target.rawValue, limits: store.jobs.limits)
    guard unpacked.diffID == layer.diffID else {
      return "its archive unpacks to \(unpacked.diffID), not to \(layer.diffID)"
    }
    let (context, linked) = (context, Set(unpacked.outerLinks.map(\.path)))
    do throws(Errno) {
      let comparison = try TreeComparison(
        target.rawValue, folder.rawValue, passingOver: linked, isCancelled: { context.isCancelled })
      files += comparison.files
      return comparison.difference
    } catch {
      if error == .canceled { throw Fault(.cancelled, "the check was taken back") }
      return "its files cannot be read: \(error)"
    }
  }

  private func open(_ place: SnapshotFolders.Place) -> OwnedDescriptor? {
    try? openat2(nil, store.folders.path("\(place)/fs").string, [.readOnly, .directory, .noFollow])
  }

  /// The row loses its folder, which moves out of the way: unpacking the layer makes another. What has it mounted goes on.
  private func setAside(_ row: LayerRecord) throws {
    try store.database.write { database in
      try database.run("UPDATE content SET place = NULL WHERE id = ?", [row.content])
    }
    guard let place = row.place, store.folders.exists(place) else { return }
    let aside = "aside/\(store.folders.number())"
    try store.folders.move(place, to: aside)
    store.log.error("a damaged layer is set aside", metadata: ["layer": "\(row.chainID)", "aside": "\(aside)"])
  }
}

extension SnapshotStore {
  /// Compares layers with their archives.
  public func verify(
    _ params: SnapshotAPI.VerifyParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.VerifyResult {
    var wanted: [LayerUnpack.Wanted] = []
    for layer in params.layers {
      wanted.append(
        .init(
          diffID: try Digest(parsing: layer.diffID), chainID: try Digest(parsing: layer.chainID), parent: nil,
          blob: FilePath(layer.path), size: layer.descriptor.size))
    }
    let names = wanted.map(\.chainID.rawValue)
    holds.hold(names)
    defer { holds.release(names) }
    do {
      let looked = wanted
      // Beside `disk`: a check of all layers takes long, and nothing waits for it.
      return try await measuring.run { [self] in
        var verification = LayerVerification(self, context)
        try verification.run(looked, setAside: params.setAside ?? false)
        return .init(layers: verification.layers, files: verification.files, damage: verification.damage)
      }
    } catch {
      throw Fault(describing: error)
    }
  }
}
