import Faults
import FoundationEssentials
import OCI

/// `gantry.json` of a checkpoint: what its processes were part of. They can go on only in a container that is the same in all
/// that a process carries with it or refers to; every path, device and cgroup is then the container's own, never the
/// checkpoint's.
struct CheckpointRecord: Codable, Sendable, Equatable {
  /// The file's name; CRIU's own end in `.img` or `.log`.
  static let file = "gantry.json"

  /// The digest of the image's configuration.
  var image: String
  var terminal: Bool
  var noNewPrivileges: Bool
  /// Each set of capabilities, sorted.
  var capabilities: [String: [String]]
  /// Types of namespaces, with a path where one is shared.
  var namespaces: [String: String]
  /// Where something is mounted, in order.
  var mounts: [String]
  var readOnlyRoot: Bool

  /// What a container that is started as `spec` is.
  init(image: String, _ spec: RuntimeSpec) {
    self.image = image
    let process = spec.process
    terminal = process?.terminal ?? false
    noNewPrivileges = process?.noNewPrivileges ?? false
    capabilities = [:]
    for (name, set) in [
      ("bounding", process?.capabilities?.bounding), ("effective", process?.capabilities?.effective),
      ("permitted", process?.capabilities?.permitted), ("inheritable", process?.capabilities?.inheritable),
      ("ambient", process?.capabilities?.ambient),
    ] { capabilities[name] = (set ?? []).sorted() }
    namespaces = [:]
    for namespace in spec.linux?.namespaces ?? [] { namespaces[namespace.type] = namespace.path ?? "" }
    mounts = (spec.mounts ?? []).map(\.destination)
    readOnlyRoot = spec.root?.readonly ?? false
  }

  /// In which of these a container that is started as `other` differs, in words; nil when it does not.
  func difference(from other: CheckpointRecord) -> String? {
    if image != other.image { return "its image (\(image.prefix(19)), not \(other.image.prefix(19)))" }
    if capabilities != other.capabilities { return "its capabilities" }
    if namespaces != other.namespaces { return "its namespaces" }
    if noNewPrivileges != other.noNewPrivileges { return "no-new-privileges" }
    if terminal != other.terminal { return "its terminal" }
    if mounts != other.mounts { return "what is mounted in it" }
    if readOnlyRoot != other.readOnlyRoot { return "its root being read-only" }
    return nil
  }
}

/// Names of checkpoints and of the files in them.
enum CheckpointName {
  /// Fails with `invalidArgument` for what could be anything but one plain folder.
  static func check(_ name: String) throws {
    guard isPlain(name), name.utf8.count <= 128 else {
      throw Fault(
        .invalidArgument,
        "Invalid checkpoint ID (\(name.prefix(100))), only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed")
    }
  }

  /// Letters, digits, `_`, `.` and `-`, a letter or digit first: no name of another folder, of no hidden one.
  static func isPlain(_ name: String) -> Bool {
    guard let first = name.utf8.first, (1...255).contains(name.utf8.count) else { return false }
    func isAlphanumeric(_ byte: UInt8) -> Bool {
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }
    return isAlphanumeric(first)
      && name.utf8.allSatisfy { isAlphanumeric($0) || $0 == 95 || $0 == 46 || $0 == 45 }
  }
}
