internal import Archive
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// What the writable folder of a snapshot changed of the layers below it, in the way of `docker diff`: a file is changed when
/// its kind, mode, owner, size, time or capabilities are others, a folder when its mode or owner is, or something in it.
final class TreeChanges {
  /// What became of a path.
  enum Kind: UInt8 {
    case added = 65
    case changed = 67
    case deleted = 68
  }

  /// A folder on the way down, told of when it changed itself or something in it did.
  private final class Level {
    let path: [UInt8]
    let kind: Kind
    let parent: Level?
    var isTold: Bool

    init(_ path: [UInt8], _ kind: Kind, _ parent: Level?, isTold: Bool) {
      self.path = path
      self.kind = kind
      self.parent = parent
      self.isTold = isTold
    }
  }

  private static let depthLimit = 2048

  private let upper: OwnedDescriptor
  private let lower: LayerStack
  private let mountPoints: Set<[UInt8]>
  private let holdsMountPoints: Set<[UInt8]>
  private var output: Int32 = -1
  private var buffer: [UInt8] = []
  private var bytes: Int64 = 0

  /// Opens the folders: `upper` was written to, `lower` are the layers below it, topmost first.
  init(upper: String, lower: [String], mountPoints: [String]) throws {
    do throws(Errno) {
      self.upper = try openat2(nil, upper, [.readOnly, .directory, .noFollow])
      self.lower = try LayerStack(lower.map { FilePath($0) })
    } catch {
      throw Fault(.internal, "a folder of the snapshot cannot be opened", cause: ["\(error)"])
    }
    var points: Set<[UInt8]> = []
    var holders: Set<[UInt8]> = []
    for point in mountPoints {
      var path = EntryPath(Array(point.utf8))
      points.insert([slash] + path.bytes)
      while !path.parent.isEmpty {
        path = EntryPath(path.parent)
        holders.insert([slash] + path.bytes)
      }
    }
    self.mountPoints = points
    holdsMountPoints = holders
  }

  /// Writes the records and gives the bytes that they took.
  func write(to output: Int32) throws -> Int64 {
    self.output = output
    try walk(upper.rawValue, lower.root, Level([], .changed, nil, isTold: true), 0)
    try flush()
    return bytes
  }

  /// - Parameter below: the folder that layers have there; nil when it is new.
  private func walk(_ folder: Int32, _ below: LayerStack.Folder?, _ level: Level, _ depth: Int) throws {
    guard depth < Self.depthLimit else {
      throw Fault(.limitExceeded, "\(ArchiveEntry.text(level.path)) is nested too deep")
    }
    var names = FolderNames()
    while true {
      let part = try reading(level.path) { () throws(Errno) in try names.next(folder) }
      if part.isEmpty { break }
      for name in part { try compare(name, folder, below, level, depth) }
    }
    if let below, LayerStack.isOpaque(folder) { try tellHidden(by: folder, below, level) }
  }

  private func compare(
    _ name: [UInt8], _ folder: Int32, _ below: LayerStack.Folder?, _ level: Level, _ depth: Int
  ) throws {
    let path = level.path + [slash] + name
    let found = try reading(path) { () throws(Errno) in try TreeNode(folder, name) }
    guard let node = found else { return }  // removed meanwhile
    let status = node.status
    let old = try reading(path) { () throws(Errno) -> LayerStack.Node? in
      guard let below else { return nil }
      return try lower.find(name, in: below)
    }
    if status.isWhiteout {
      if old != nil { try tell(.deleted, path, level) }
      return
    }
    guard status.kind == .directory else {
      switch old {
      case nil:
        if mountPoints.contains(path), status.size == 0 { return }
        try tell(.added, path, level)
      case .folder: try tell(.changed, path, level)
      case .file(_, let holder, let before):
        if try differs(status, before, path, { try capability(folder, name) == capability(holder, name) }) {
          try tell(.changed, path, level)
        }
      }
      return
    }
    let inner: LayerStack.Folder?
    let next: Level
    switch old {
    case nil:
      inner = nil
      let mayBeOurs = mountPoints.contains(path) || holdsMountPoints.contains(path)
      next = Level(path, .added, level, isTold: false)
      if !mayBeOurs { try tell(next) }
    case .file:
      inner = nil
      next = Level(path, .changed, level, isTold: false)
      try tell(next)
    case .folder(let before):
      inner = before
      next = Level(path, .changed, level, isTold: false)
      let was = try reading(path) { () throws(Errno) in try FileStatus(of: before.top) }
      if (status.mode, status.uid, status.gid) != (was.mode, was.uid, was.gid) { try tell(next) }
    }
    let opened = try reading(path) { () throws(Errno) in
      try openat2(nil, "\(node.number)", [.readOnly, .directory])
    }
    _ = consume node
    try walk(opened.rawValue, inner, next, depth + 1)
  }

  private func differs(
    _ now: FileStatus, _ before: FileStatus, _ path: [UInt8], _ hasSameCapability: () throws -> Bool
  ) throws -> Bool {
    if (now.mode, now.uid, now.gid) != (before.mode, before.uid, before.gid) || now.special != before.special {
      return true
    }
    if now.modified != before.modified || now.size != before.size { return true }
    return try !hasSameCapability()
  }

  private func capability(_ folder: Int32, _ name: [UInt8]) throws -> [UInt8]? {
    let node = try reading(name) { () throws(Errno) in try TreeNode(folder, name) }
    guard let node, node.status.kind == .regular else { return nil }
    return try reading(name) { () throws(Errno) in try node.attribute("security.capability", "") }
  }

  /// What layers have in a folder of which the writable one shows nothing of theirs.
  private func tellHidden(by folder: Int32, _ below: LayerStack.Folder, _ level: Level) throws {
    for part in below.parts {
      var names = FolderNames()
      while true {
        let some = try reading(level.path) { () throws(Errno) in try names.next(part.folder) }
        if some.isEmpty { break }
        for name in some {
          if try reading(level.path, { () throws(Errno) in try LayerStack.status(folder, name) }) != nil { continue }
          // Told once, by the topmost layer that has it.
          switch try reading(level.path, { () throws(Errno) in try lower.find(name, in: below) }) {
          case nil: continue
          case .folder(let found) where found.parts[0].layer != part.layer: continue
          case .file(let layer, _, _) where layer != part.layer: continue
          default: try tell(.deleted, level.path + [slash] + name, level)
          }
        }
      }
    }
  }

  private func tell(_ kind: Kind, _ path: [UInt8], _ level: Level) throws {
    try tell(level)
    try put(kind, path)
  }

  /// Tells of a folder, after those above it.
  private func tell(_ level: Level) throws {
    var waiting: [Level] = []
    var next: Level? = level
    while let level = next, !level.isTold {
      waiting.append(level)
      next = level.parent
    }
    for level in waiting.reversed() {
      level.isTold = true
      try put(level.kind, level.path)
    }
  }

  private func put(_ kind: Kind, _ path: [UInt8]) throws {
    buffer.append(kind.rawValue)
    buffer += path
    buffer.append(0)
    if buffer.count > 64 << 10 { try flush() }
  }

  private func flush() throws {
    do { try buffer.withUnsafeBytes { try Descriptors.writeAll(output, $0) } } catch {
      throw Fault(.cancelled, "nobody reads the list of changes any more", cause: ["\(error)"])
    }
    bytes += Int64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }

  private func reading<Result: ~Copyable>(
    _ path: [UInt8], _ body: () throws(Errno) -> Result
  ) throws(Fault) -> Result {
    do throws(Errno) { return try body() } catch {
      throw Fault(.internal, "\(ArchiveEntry.text(path)) cannot be read", cause: ["\(error)"])
    }
  }
}
