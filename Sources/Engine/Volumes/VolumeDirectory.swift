import Faults
import Synchronization

/// A volume that a new container wants: made when there is none of that name.
struct WantedVolume: Sendable, Equatable {
  var name: String
  var options: [String: String] = [:]
  var labels: [String: String] = [:]
  var isAnonymous = false
}

/// All volumes, and which containers have them. Containers' rows say the same: after a restart the uses are read from them,
/// so that no count can be lost.
///
/// The lock is held for look-ups alone. A volume that is being removed keeps its name until it is gone.
final class VolumeDirectory: Sendable {
  private struct Entry {
    var volume: Volume
    var users: Set<String> = []
    /// Its row is in the database.
    var isStored: Bool
    var isGoing = false
    /// One filling at a time.
    let lane = Lane()
  }
  private let entries = Mutex<[String: Entry]>([:])
  /// A container's row cannot be read at all: which volumes it has is not known, so none is removed.
  private let isInDoubt = Mutex(false)

  /// Takes in a volume of the database.
  func load(_ volume: Volume, going: Bool) {
    entries.withLock { $0[volume.name] = Entry(volume: volume, isStored: true, isGoing: going) }
  }

  /// From now on no volume is removed: there is a container whose volumes are not known.
  func noteDoubt() { isInDoubt.withLock { $0 = true } }

  /// Notes at start that a container has these volumes; those that are unknown are given back.
  func use(_ names: some Sequence<String>, by container: String) -> [String] {
    entries.withLock { entries in
      names.filter { entries[$0]?.users.insert(container) == nil }
    }
  }

  /// The volume of that name, in Docker's words when there is none.
  func find(_ name: String) throws -> Volume {
    try entries.withLock { entries in
      guard let entry = entries[name], !entry.isGoing else { throw Self.unknown(name) }
      return entry.volume
    }
  }

  /// What is mounted for the volume of that name.
  func backing(of name: String) -> VolumeBacking { entries.withLock { $0[name]?.volume.backing } ?? .folder }

  /// Every volume with the containers that have it, by name.
  var all: [(volume: Volume, users: Set<String>)] {
    entries.withLock { $0.values.filter { !$0.isGoing && $0.isStored } }.sorted { $0.volume.name < $1.volume.name }
      .map { ($0.volume, $0.users) }
  }

  /// The containers that have a volume.
  func users(of name: String) -> Set<String> { entries.withLock { $0[name]?.users } ?? [] }

  /// Runs `body` when nobody else fills the volume.
  func filling<Result: Sendable>(_ name: String, _ body: () async throws -> Result) async throws -> Result {
    guard let lane = entries.withLock({ $0[name]?.lane }) else { throw Self.unknown(name) }
    return try await lane.run(body)
  }

  /// Gives `container` (nil: nobody yet) all of these volumes or none, and makes those that are missing.
  ///
  /// - Returns: those that have no row yet. `stored` must follow when they have, `release` when that failed.
  func take(_ wanted: [WantedVolume], for container: String?) throws -> [Volume] {
    if wanted.isEmpty { return [] }
    return try entries.withLock { entries in
      for want in wanted {
        guard let entry = entries[want.name] else {
          _ = try VolumeBacking(options: want.options)
          continue
        }
        if entry.isGoing {
          throw Fault(.conflict, "the volume \(want.name) is being removed: try again when it is gone")
        }
        if !want.options.isEmpty, want.options != entry.volume.options {
          throw Fault(
            .conflict, "the volume \(want.name) exists with other options: remove it first, or leave the options out")
        }
        if !want.labels.isEmpty, want.labels != entry.volume.labels {
          throw Fault(
            .conflict, "the volume \(want.name) exists with other labels: remove it first, or leave the labels out")
        }
      }
      var unstored: [Volume] = []
      for want in wanted {
        var labels = want.labels
        if want.isAnonymous { labels[Volume.anonymousLabel] = "" }
        var entry =
          entries[want.name]
          ?? Entry(
            volume: Volume(
              name: want.name, created: .now(), labels: labels, options: want.options, isAnonymous: want.isAnonymous),
            isStored: false)
        if let container { entry.users.insert(container) }
        entries[want.name] = entry
        if !entry.isStored, !unstored.contains(entry.volume) { unstored.append(entry.volume) }
      }
      return unstored
    }
  }

  /// These have rows now; those that are new are given back.
  func stored(_ volumes: [Volume]) -> [Volume] {
    entries.withLock { entries in
      volumes.filter { volume in
        guard let entry = entries[volume.name], !entry.isStored else { return false }
        entries[volume.name]?.isStored = true
        return true
      }
    }
  }

  /// Takes back what `take` gave.
  func release(_ names: [String], of container: String?) {
    entries.withLock { entries in
      for name in names {
        if let container { entries[name]?.users.remove(container) }
        if let entry = entries[name], !entry.isStored, entry.users.isEmpty { entries[name] = nil }
      }
    }
  }

  /// The container has its volumes no more. The anonymous ones that nobody else has are marked as going and given back,
  /// when they are to go with it.
  func endUse(_ container: ContainerDefinition, removing: Bool) -> [String] {
    let names = container.volumeNames
    if names.isEmpty { return [] }
    let anonymous = removing && !isInDoubt.withLock { $0 } ? container.anonymousVolumes : []
    return entries.withLock { entries in
      var going: [String] = []
      for name in names {
        guard var entry = entries[name] else { continue }
        entry.users.remove(container.id)
        if entry.users.isEmpty, !entry.isStored {
          entries[name] = nil
          continue
        }
        if anonymous.contains(name), entry.volume.isAnonymous, entry.users.isEmpty, !entry.isGoing {
          entry.isGoing = true
          going.append(name)
        }
        entries[name] = entry
      }
      return going
    }
  }

  /// Marks a volume that no container has as going.
  func beginRemoval(_ name: String) throws {
    try entries.withLock { entries in
      guard let entry = entries[name], !entry.isGoing else { throw Self.unknown(name) }
      if isInDoubt.withLock({ $0 }) {
        throw Fault(
          .conflict,
          "remove \(name): a container's row cannot be read, which may have the volume: see `gantry system logs gantryd`"
        )
      }
      guard entry.users.isEmpty else {
        throw Fault(
          .conflict, "remove \(name): volume is in use - [\(entry.users.sorted().joined(separator: ", "))]")
      }
      entries[name]?.isGoing = true
    }
  }

  /// It is still there.
  func removalFailed(_ name: String) { entries.withLock { $0[name]?.isGoing = false } }

  /// It is gone.
  func forget(_ name: String) { entries.withLock { _ = $0.removeValue(forKey: name) } }

  private static func unknown(_ name: String) -> Fault { Fault(.notFound, "get \(name): no such volume") }
}
