internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// Tells a container's own work in its upper folder from what the runtime made there to mount something on.
struct CaptureScope {
  private let source: LayerCapture.Source
  private let points: Set<[UInt8]>
  private let holders: Set<[UInt8]>

  init(_ source: LayerCapture.Source) throws {
    self.source = source
    var points: Set<[UInt8]> = []
    var holders: Set<[UInt8]> = []
    for text in source.mountPoints {
      var path = EntryPath(Array(text.utf8))
      points.insert(path.bytes)
      while !path.parent.isEmpty {
        path = EntryPath(path.parent)
        holders.insert(path.bytes)
      }
    }
    self.points = points
    self.holders = holders
  }

  /// Whether the container changed nothing: nothing is in its folder, and the folder is as the one below it.
  var isEmpty: Bool {
    get throws {
      let root: FileStatus
      do throws(Errno) { root = try FileStatus(of: source.folder) } catch {
        throw LayerCapture.unreadable([dot], error)
      }
      guard try holdsNothing(source.folder, []) else { return false }
      guard let below = source.below, let was = try? FileStatus(of: below.root.top) else { return true }
      return (root.mode, root.uid, root.gid) == (was.mode, was.uid, was.gid)
    }
  }

  /// Whether `name` in the open folder `parent`, whose whole path is `path`, is not the container's work.
  func isLeftOut(_ path: [UInt8], _ status: FileStatus, _ parent: Int32, _ name: [UInt8]) throws -> Bool {
    let isPoint = points.contains(path)
    guard isPoint || holders.contains(path) else { return false }
    guard status.kind == .directory else {
      return isPoint && status.kind == .regular && status.size == 0 && !isBelow(path)
    }
    let result = name.withTerminated { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    if result < 0 { return false }
    let folder = OwnedDescriptor(result)
    guard try holdsNothing(folder.rawValue, path) else { return false }
    switch found(path) {
    case nil: return true
    case .folder(let was)?:
      guard let old = try? FileStatus(of: was.top) else { return false }
      return (status.mode, status.uid, status.gid) == (old.mode, old.uid, old.gid)
        && !LayerStack.isOpaque(folder.rawValue)
    case .file?: return false
    }
  }

  private func holdsNothing(_ folder: Int32, _ path: [UInt8]) throws -> Bool {
    // The caller reads the folder from its beginning as well.
    let again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if again < 0 { throw LayerCapture.unreadable(path, Errno(rawValue: errno)) }
    let own = OwnedDescriptor(again)
    var names = FolderNames()
    while true {
      let part: [[UInt8]]
      do throws(Errno) { part = try names.next(own.rawValue) } catch { throw LayerCapture.unreadable(path, error) }
      if part.isEmpty { return true }
      for name in part {
        let below = path.isEmpty ? name : path + [slash] + name
        let node: TreeNode?
        do throws(Errno) { node = try TreeNode(own.rawValue, name) } catch {
          throw LayerCapture.unreadable(below, error)
        }
        guard let node else { continue }
        if try !isLeftOut(below, node.status, own.rawValue, name) { return false }
      }
    }
  }

  private func isBelow(_ path: [UInt8]) -> Bool { found(path) != nil }

  /// What the layers below have at a path.
  private func found(_ path: [UInt8]) -> LayerStack.Node? {
    guard let below = source.below else { return nil }
    return (try? below.resolve(path))??.node
  }
}
