internal import CLinux
internal import Faults
internal import Glibc
public import Linux
public import SystemPackage
internal import Tar

/// Layers as overlayfs shows them on top of each other, read without a mount: whiteouts hide, opaque folders hide what is
/// below them, folders of the same name are one. Paths are resolved inside the stack; links never lead out of it.
public final class LayerStack {
  /// A folder of the stack: the folders of all layers that make it up, topmost first.
  public final class Folder {
    /// The layers that have a part in it, by number, with their open folders.
    public let parts: [(layer: Int, folder: Int32)]

    /// The open folder of the topmost layer, whose owner, mode and time count.
    public var top: Int32 { parts[0].folder }

    init(_ parts: [(layer: Int, folder: Int32)]) { self.parts = parts }

    deinit { for part in parts { Descriptors.close(part.folder) } }
  }

  /// What has a name in a folder of the stack.
  public enum Node {
    case folder(Folder)
    /// Anything else: the number of its layer, and the open folder there that holds it.
    case file(layer: Int, holder: Int32, status: FileStatus)
  }

  /// `/` of the stack.
  public let root: Folder

  /// Opens the folders of layers, topmost first.
  public init(_ layers: [FilePath]) throws(Errno) {
    var parts: [(layer: Int, folder: Int32)] = []
    for (number, path) in layers.enumerated() {
      do throws(Errno) {
        parts.append((number, try openat2(nil, path.string, [.readOnly, .directory, .noFollow]).take()))
      } catch {
        for part in parts { Descriptors.close(part.folder) }
        throw error
      }
    }
    root = Folder(parts)
  }

  /// What `name`, one part, means in `folder`; nil when nothing has it or it is hidden.
  public func find(_ name: [UInt8], in folder: Folder) throws(Errno) -> Node? {
    var parts: [(layer: Int, folder: Int32)] = []
    func close() { for part in parts { Descriptors.close(part.folder) } }
    do throws(Errno) {
      for (layer, holder) in folder.parts {
        guard let status = try Self.status(holder, name) else { continue }
        guard status.kind == .directory else {
          if parts.isEmpty, !status.isWhiteout { return .file(layer: layer, holder: holder, status: status) }
          break
        }
        let result = name.withTerminated { openat(holder, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
        if result < 0 { throw Errno(rawValue: errno) }
        parts.append((layer, result))
        if Self.isOpaque(result) { break }
      }
    } catch {
      close()
      throw error
    }
    return parts.isEmpty ? nil : .folder(Folder(parts))
  }

  /// The status of a name in a layer, the link itself; nil when nothing has it.
  public static func status(_ folder: Int32, _ name: [UInt8]) throws(Errno) -> FileStatus? {
    // Names of layers are bytes; what is no UTF-8 has no status by text.
    let result = name.withTerminated { openat(folder, $0, Int32(CL_O_PATH) | O_NOFOLLOW | O_CLOEXEC) }
    if result < 0 {
      if errno == ENOENT || errno == ENAMETOOLONG { return nil }
      throw Errno(rawValue: errno)
    }
    let handle = OwnedDescriptor(result)
    return try FileStatus(of: handle.rawValue)
  }

  /// Whether overlayfs shows nothing of what is below this folder.
  public static func isOpaque(_ folder: Int32) -> Bool {
    (try? ExtendedAttributes.get(folder, "trusted.overlay.opaque")) == Array("y".utf8)
  }

  /// A path without links, and what is there.
  struct Resolved {
    /// The folders on the way, the root first.
    var folders: [Folder]
    /// Its parts; the last names the file in the last of `folders`.
    var path: [[UInt8]]
    var node: Node
  }

  /// Follows `path` through the stack, every link but the last part; nil when nothing is there.
  func resolve(_ path: [UInt8]) throws(Errno) -> Resolved? {
    var rest = EntryPath.parts(path).map(Array.init)[...]
    var folders = [root]
    var done: [[UInt8]] = []
    var links = 0
    while let part = rest.popFirst() {
      guard let node = try find(part, in: folders[folders.count - 1]) else { return nil }
      switch node {
      case .folder(let folder):
        if rest.isEmpty { return Resolved(folders: folders, path: done + [part], node: node) }
        folders.append(folder)
        done.append(part)
      case .file(_, let holder, let status):
        if rest.isEmpty { return Resolved(folders: folders, path: done + [part], node: node) }
        guard status.kind == .symbolicLink, let link = LayerFolders.readLink(holder, part) else { return nil }
        links += 1
        if links > 40 { throw Errno.tooManySymbolicLinkLevels }
        let base = link.first == slash ? [] : Array(done.joined(separator: [slash])) + [slash]
        let remaining = Array(rest.joined(separator: [slash]))
        rest = EntryPath.parts(base + link + [slash] + remaining).map(Array.init)[...]
        folders = [root]
        done = []
      }
    }
    return nil
  }
}

extension FileStatus {
  /// A character device 0:0, which hides what the layers below have under the name.
  public var isWhiteout: Bool { kind == .characterDevice && special == DeviceNumber(major: 0, minor: 0) }
}
