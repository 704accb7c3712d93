internal import Faults
internal import Protocol

/// What a tree worker is told to do, as its first line on the control socket.
///
///     service                                    worker
///       order, one line of JSON ────────────────▶ enters the tree and nothing else, gives up rights, looks at the path
///                       ◀──── ready(stat) or fault, one line
///       one byte with the stream's socket ──────▶ (archive, extract, changes)
///                       ◀──── done(bytes) or fault, one line
///
/// Each side ends when the other is gone.
struct TreeOrder: Codable, Sendable {
  /// The tree's root.
  enum Root: Codable, Sendable {
    /// Mounted by the worker, to be written to.
    case mounted(MountSpec)
    /// Folders to look at, topmost first.
    case layers([String])
    /// The root of a process, which must have this upper folder.
    case process(Int32, upper: String)
  }

  /// What to do.
  enum Work: Codable, Sendable {
    case stat(path: String)
    case archive(path: String, contents: Bool)
    case extract(path: String, keepsKind: Bool, user: String?)
    /// The folder that was written to, and the layers below it, topmost first.
    case changes(upper: String, lower: [String], mountPoints: [String])
  }

  var root: Root
  /// What messages call it.
  var name: String
  var mounts: [SnapshotAPI.TreeMount]
  var readOnly: Bool
  var work: Work
}

/// What a tree worker answers: one line of JSON each.
enum TreeReply: Codable, Sendable {
  /// The path was found, and the stream may come.
  case ready(PathStat?)
  /// All bytes went through the stream.
  case done(bytes: Int64)
  case fault(code: String, message: String, cause: [String])

  init(_ fault: Fault) { self = .fault(code: fault.code.rawValue, message: fault.message, cause: fault.cause) }
}
