internal import Glibc
internal import Linux
internal import SystemPackage

/// Paths of `gantry cp`, with the meaning that a slash or `/.` at their end has. Docker's rules, in its order.
enum CopyPaths {
  /// One side of a copy: a container's path, or a local one.
  struct Side: Equatable {
    /// The container; empty for a local path.
    var container = ""
    var path = ""

    /// `CONTAINER:PATH`; a path that begins with `/` or `.`, or has no colon, is a local one.
    init(_ text: String) {
      guard !text.hasPrefix("/"), !text.hasPrefix("."), let colon = text.firstIndex(of: ":") else {
        path = text
        return
      }
      container = String(text[..<colon])
      path = String(text[text.index(after: colon)...])
    }
  }

  /// What is known of a source or a destination.
  struct Info: Equatable {
    var path: String
    var exists = false
    var isFolder = false
    /// The name that a followed link gives to what is copied.
    var rebaseName = ""
  }

  /// Where an archive is extracted to, and the name at the top of it that becomes another one.
  struct Plan: Equatable {
    var folder: String
    var rename: (old: String, new: String)?

    static func == (a: Plan, b: Plan) -> Bool {
      a.folder == b.folder && a.rename?.old == b.rename?.old && a.rename?.new == b.rename?.new
    }
  }

  /// Decides how `source` gets to `destination`.
  static func plan(source: Info, destination: Info) throws -> Plan {
    let (folder, base) = split(destination.path)
    let old = source.rebaseName.isEmpty ? split(source.path).base : source.rebaseName
    if destination.exists, destination.isFolder { return Plan(folder: destination.path, rename: nil) }
    if destination.exists, source.isFolder { throw CommandFailure("cannot copy directory") }
    if !destination.exists, !source.isFolder, assertsFolder(destination.path) {
      throw CommandFailure("no such directory")
    }
    return Plan(folder: folder, rename: (old, base))
  }

  /// `path` with its first part, or all of the root's parts, under another name; nothing else is changed.
  static func renamed(_ path: [UInt8], _ old: String, _ new: String) -> [UInt8] {
    let (old, new) = (Array(old.utf8), Array(new.utf8))
    if old == [47] { return new + path }
    guard path.starts(with: old), path.count == old.count || path[old.count] == 47 else { return path }
    return new + path[old.count...]
  }

  /// Cleaned by its text, as Go's filepath.Clean.
  static func clean(_ path: String) -> String {
    let isAbsolute = path.hasPrefix("/")
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == "..", let last = parts.last, last != ".." {
        parts.removeLast()
      } else if part != ".." || !isAbsolute {
        parts.append(part)
      }
    }
    let text = parts.joined(separator: "/")
    return isAbsolute ? "/" + text : text.isEmpty ? "." : text
  }

  static func endsWithSlash(_ path: String) -> Bool { path.utf8.last == 47 }

  /// Whether the last part is `.`.
  static func endsWithDot(_ path: String) -> Bool { path == "." || path.hasSuffix("/.") }

  /// Whether the path can only mean a folder.
  static func assertsFolder(_ path: String) -> Bool { endsWithSlash(path) || endsWithDot(path) }

  /// The cleaned path with the `/.` or `/` that `original` ends with.
  static func preservingEnd(_ cleaned: String, _ original: String) -> String {
    var result = cleaned
    if !endsWithDot(result), endsWithDot(original) {
      if !endsWithSlash(result) { result += "/" }
      result += "."
    }
    if !endsWithSlash(result), endsWithSlash(original) { result += "/" }
    return result
  }

  /// The folder of a path, and its last part; `.` for a path that ends with it.
  static func split(_ path: String) -> (folder: String, base: String) {
    let cleaned = clean(path)
    if endsWithDot(path) { return (cleaned, ".") }
    return (folder(cleaned), base(cleaned))
  }

  /// The folder of a cleaned path.
  static func folder(_ path: String) -> String {
    guard let index = path.lastIndex(of: "/") else { return "." }
    return index == path.startIndex ? "/" : String(path[..<index])
  }

  /// The last part of a cleaned path.
  static func base(_ path: String) -> String {
    if path == "/" { return "/" }
    return path.split(separator: "/").last.map(String.init) ?? "."
  }

  /// A local path as an absolute one, its end kept.
  static func local(_ path: String) -> String {
    preservingEnd(clean(path.hasPrefix("/") ? path : WorkingFolder.path + "/" + path), path)
  }

  /// What a followed link is called: its own name where the path does not ask for what is in it.
  static func rebased(_ path: String, _ resolved: String) -> (path: String, name: String) {
    var resolved = resolved
    if endsWithDot(path), !endsWithDot(resolved) { resolved += "/." }
    if endsWithSlash(path), !endsWithSlash(resolved) { resolved += "/" }
    // The last part as it was written: `.` where that is it.
    let names = (written: split(path).base, resolved: split(resolved).base)
    if names.written != names.resolved { return (resolved, names.written) }
    return (resolved, "")
  }
}

/// Local files as sources and destinations of copies.
enum LocalFiles {
  /// A source: links on the way are followed, the last one with `followsLinks`.
  static func source(_ path: String, followsLinks: Bool) throws -> CopyPaths.Info {
    var resolved: String
    var name = ""
    if followsLinks {
      (resolved, name) = CopyPaths.rebased(path, try real(path, path))
    } else {
      let (folder, base) = parts(path)
      let parent = try real(folder, path)
      resolved = base.isEmpty ? parent + "/" : parent == "/" ? "/" + base : parent + "/" + base
      if CopyPaths.endsWithSlash(path),
        CopyPaths.base(CopyPaths.clean(path)) != CopyPaths.base(CopyPaths.clean(resolved))
      {
        name = CopyPaths.base(CopyPaths.clean(path))
      }
    }
    guard let status = try? FileStatus(resolved) else { throw missing(path) }
    return .init(path: resolved, exists: true, isFolder: status.kind == .directory, rebaseName: name)
  }

  /// A destination: it may be missing when its folder is there, and every link is followed.
  static func destination(_ original: String) throws -> CopyPaths.Info {
    var path = original
    for _ in 0...10 {
      let status: FileStatus
      do throws(Errno) { status = try FileStatus(path) } catch {
        guard error == .noSuchFileOrDirectory else {
          throw CommandFailure("lstat \(path): \(words(error))")
        }
        let folder = CopyPaths.split(path).folder
        guard let parent = try? FileStatus(folder, followLinks: true) else { throw missing(folder) }
        guard parent.kind == .directory else { throw CommandFailure("not a directory") }
        return .init(path: path)
      }
      guard status.kind == .symbolicLink, let target = try? Files.readLink(path) else {
        return .init(path: path, exists: true, isFolder: status.kind == .directory)
      }
      path = target.hasPrefix("/") ? target : CopyPaths.clean(CopyPaths.split(path).folder + "/" + target)
    }
    throw CommandFailure("too many symlinks in \(original)")
  }

  /// Refuses an output that is a device, or whose folder is missing.
  static func checkOutput(_ path: String) throws {
    let folder = CopyPaths.folder(CopyPaths.clean(path))
    if folder != ".", access(folder, F_OK) != 0, errno == ENOENT {
      throw CommandFailure("invalid output path: directory \"\(folder)\" does not exist")
    }
    guard let status = try? FileStatus(path, followLinks: true) else { return }
    switch status.kind {
    case .characterDevice, .blockDevice:
      throw CommandFailure("invalid output path: \"\(path)\" must be a directory or a regular file: got a device")
    default: return
    }
  }

  private static func parts(_ path: String) -> (folder: String, base: String) {
    guard let index = path.lastIndex(of: "/") else { return (".", path) }
    return (index == path.startIndex ? "/" : String(path[..<index]), String(path[path.index(after: index)...]))
  }

  private static func real(_ path: String, _ named: String) throws -> String {
    guard let resolved = realpath(path, nil) else {
      if errno == ENOENT { throw missing(named) }
      throw CommandFailure("\(named): \(words(Errno(rawValue: errno)))")
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  private static func missing(_ path: String) -> CommandFailure {
    CommandFailure("lstat \(path): no such file or directory")
  }

  private static func words(_ error: Errno) -> String { "\(error)".lowercased() }
}
