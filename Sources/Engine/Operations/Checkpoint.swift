import Faults
import FoundationEssentials
import Glibc
import Linux
import OCI
import Protocol
import SystemPackage

/// Checkpoints of a container: `checkpoints/NAME` in its own folder, or `NAME` in a folder that the request names.
///
/// ```
/// create    checkpoints/.new-X → the task service and CRIU fill it → gantry.json → renamed, or signed and copied out
/// start     own: as it is; outside: checked and copied to checkpoints/.restore-X → the task service and CRIU read it
/// ```
///
/// What a crash leaves has a dot first: it is in no list, and goes with the container.
extension Engine {
  /// Writes a running container's processes to disk.
  func checkpoint(_ container: Container, name: String, folder: String?, leaveRunning: Bool) async throws {
    try CheckpointName.check(name)
    let run = try await container.lane.run {
      if case .paused = container.state {
        throw Fault(.conflict, "Container \(container.name) is paused: unpause it before a checkpoint is made")
      }
      guard let run = container.state.running else {
        throw Fault(.conflict, "Container \(container.name) is not running")
      }
      let own = container.definition.files.checkpoints
      let place = "\(own)/\(name)"
      let exists = Folders.exists(folder.map { "\($0)/\(name)" } ?? place)
      guard !exists else {
        throw Fault(.alreadyExists, "checkpoint with name \(name) already exists for container \(container.name)")
      }
      try Folders.make(own, mode: 0o700)
      let new = "\(own)/.new-\(Identifier.random(digits: 16))"
      try Folders.make(new, mode: 0o700)
      do {
        let definition = container.definition
        let images = definition.hasImages ? try await prepareImages(definition) : [:]
        let spec = try builder.build(specInput(definition, shared: sharedNamespaces(definition), images: images))
        let record = CheckpointRecord(image: definition.imageID, spec)
        // The end that comes with it is wanted: no restart policy follows it.
        if !leaveRunning { await noteStopByHand(container) }
        _ = try await tasks.checkpoint(.init(id: container.id, folder: new, leaveRunning: leaveRunning))
        try DurableFile.write(FilePath("\(new)/\(CheckpointRecord.file)"), Array(JSONEncoder().encode(record)))
      } catch {
        try? Folders.removeTree(new)
        throw error
      }
      try await keep(new, as: name, in: folder, own: place)
      return run
    }
    publish("checkpoint", container, ["checkpoint": name])
    if !leaveRunning { _ = try await ended(container, run, within: 60) }
  }

  /// Gives a finished checkpoint its name. Its container may have ended by now: what cannot be copied out is kept.
  private func keep(_ new: String, as name: String, in folder: String?, own place: String) async throws {
    if let folder {
      do {
        let archive = try CheckpointArchive(keyPath: checkpointKey)
        try await blocking.run { try archive.export(new, to: folder, name: name) }
        try Folders.removeTree(new)
        return
      } catch {
        _ = Glibc.rename(new, place)
        throw Fault(describing: error).wrapped(
          "the checkpoint \(name) could not be written to \(folder): it is kept with the container instead")
      }
    }
    guard Glibc.rename(new, place) == 0 else { throw SmallFile.failure("rename", new) }
  }

  /// The names of a container's checkpoints.
  func checkpoints(_ container: Container, folder: String?) throws -> [String] {
    let place = folder ?? container.definition.files.checkpoints
    if let folder, !Folders.exists(folder) { throw Fault(.notFound, "the checkpoint folder \(folder) does not exist") }
    let file = folder == nil ? CheckpointRecord.file : CheckpointArchive.Seal.file
    return ((try? Files.list(place)) ?? []).filter {
      CheckpointName.isPlain($0) && Folders.exists("\(place)/\($0)/\(file)")
    }.sorted()
  }

  /// Deletes a checkpoint.
  func removeCheckpoint(_ container: Container, name: String, folder: String?) async throws {
    try CheckpointName.check(name)
    guard try checkpoints(container, folder: folder).contains(name) else {
      throw Fault(.notFound, "checkpoint \(name) does not exist for container \(container.name)")
    }
    let place = "\(folder ?? container.definition.files.checkpoints)/\(name)"
    try await blocking.run { try Folders.removeTree(place) }
  }

  /// The folder that the task service may restore `checkpoint` from in a container that is started as `spec`; the second
  /// one, if any, is to be deleted afterwards.
  func restoreFolder(
    _ container: Container, _ checkpoint: (name: String, folder: String?), _ spec: RuntimeSpec
  ) async throws -> (path: String, temporary: String?) {
    try CheckpointName.check(checkpoint.name)
    let own = container.definition.files.checkpoints
    guard let folder = checkpoint.folder else {
      let place = "\(own)/\(checkpoint.name)"
      guard Folders.exists(place) else {
        throw Fault(.notFound, "checkpoint \(checkpoint.name) does not exist for container \(container.name)")
      }
      try fits(place, container, checkpoint.name, spec)
      return (place, nil)
    }
    try Folders.make(own, mode: 0o700)
    let copy = "\(own)/.restore-\(Identifier.random(digits: 16))"
    try Folders.make(copy, mode: 0o700)
    do {
      let archive = try CheckpointArchive(keyPath: checkpointKey)
      let name = checkpoint.name
      try await blocking.run { try archive.import(from: folder, name: name, to: copy) }
      try fits(copy, container, name, spec)
    } catch {
      try? Folders.removeTree(copy)
      throw error
    }
    return (copy, copy)
  }

  /// Fails with `conflict` when the processes of a checkpoint belong to another kind of container.
  private func fits(_ place: String, _ container: Container, _ name: String, _ spec: RuntimeSpec) throws {
    let record: CheckpointRecord
    do {
      let text = try SmallFile.read("\(place)/\(CheckpointRecord.file)")
      record = try JSONDecoder().decode(CheckpointRecord.self, from: Data(text.utf8))
    } catch {
      throw Fault(.corrupt, "checkpoint \(name) cannot be understood", cause: ["\(error)"])
    }
    let own = CheckpointRecord(image: container.definition.imageID, spec)
    if let difference = record.difference(from: own) {
      throw Fault(
        .conflict,
        "checkpoint \(name) was made of another kind of container than \(container.name): \(difference) differs")
    }
  }

  private var checkpointKey: String { settings.folder + "/checkpoint.key" }
}
