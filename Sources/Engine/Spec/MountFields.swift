import Faults
import Protocol

/// What Docker's API refuses of an entry of `HostConfig.Mounts`, in its words.
enum MountFields {
  /// Throws for an unknown type, and for fields that do not go with the type.
  static func check(_ mount: GatewayAPI.Mount, _ type: String) throws {
    guard ["bind", "volume", "tmpfs", "image"].contains(type) else {
      throw Fault(
        .invalidArgument,
        "invalid mount config for type \"\(type)\": mount type unknown: \"\(type)\": known are bind, image, tmpfs, volume"
      )
    }
    func refuse(_ field: String, _ isGiven: Bool) throws {
      guard isGiven else { return }
      throw Fault(.invalidArgument, "invalid mount config for type \"\(type)\": field \(field) must not be specified")
    }
    func require(_ field: String, _ value: String?) throws {
      guard (value ?? "").isEmpty else { return }
      throw Fault(.invalidArgument, "invalid mount config for type \"\(type)\": field \(field) must not be empty")
    }
    try require("Target", mount.target)
    try refuse("BindOptions", type != "bind" && mount.bindOptions != nil)
    try refuse("VolumeOptions", type != "volume" && mount.volumeOptions != nil)
    try refuse("TmpfsOptions", type != "tmpfs" && mount.tmpfsOptions != nil)
    try refuse("ImageOptions", type != "image" && mount.imageOptions != nil)
    try refuse("Source", type == "tmpfs" && !(mount.source ?? "").isEmpty)
    if type == "bind" || type == "image" { try require("Source", mount.source) }
    guard let options = mount.bindOptions else { return }
    let (atTop, all) = (options.readOnlyNonRecursive ?? false, options.readOnlyForceRecursive ?? false)
    guard atTop || all else { return }
    if !(mount.readOnly ?? false) {
      throw Fault(
        .invalidArgument,
        "mount options conflict: \(atTop ? "ReadOnlyNonRecursive" : "ReadOnlyForceRecursive") needs ReadOnly")
    }
    if atTop, all {
      throw Fault(.invalidArgument, "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive")
    }
  }

  /// A path within a volume or image: relative, and without a way out by its words. What its links do is seen at start.
  static func subpath(_ path: String?) throws -> String? {
    guard let path, !path.isEmpty else { return nil }
    guard !path.hasPrefix("/"), !path.utf8.contains(0), !path.split(separator: "/").contains("..") else {
      throw Fault(
        .invalidArgument, "invalid mount config: subpath \"\(path)\" must be a relative path within the volume")
    }
    return path
  }
}

/// `CONTAINER[:MODE]` of `--volumes-from`.
struct VolumesFrom: Equatable {
  var container: String
  var readOnly = false
  /// As it was given.
  var mode = ""

  init(_ text: String) throws {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard !parts[0].isEmpty else {
      throw Fault(.invalidArgument, "malformed 'volumes from' specification: \"\(text)\": give CONTAINER[:ro|rw]")
    }
    container = parts[0]
    guard parts.count == 2 else { return }
    mode = parts[1]
    for option in mode.split(separator: ",", omittingEmptySubsequences: false) {
      switch option {
      case "ro": readOnly = true
      case "rw", "z", "Z": break
      default: throw Fault(.invalidArgument, "invalid mode: \(mode): volumes-from takes ro and rw")
      }
    }
  }
}
