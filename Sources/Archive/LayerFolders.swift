internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// The folders of a layer that is being written, as open descriptors.
///
/// A path may lead through symbolic links that the same layer made (`var/run/x` with `var/run` → `/run`): they are followed
/// as in a container, with the layer's folder as root, by the kernel (RESOLVE_IN_ROOT). No link ever leads out.
final class LayerFolders {
  let root: Int32
  /// Folders made because an entry needed them and the archive had none.
  private(set) var implied: Int64 = 0
  private var open: [[UInt8]: Int32] = [:]
  /// The one asked for last, which is not closed to make room.
  private var latest: [UInt8] = []
  /// Enough for the folders that a tar's order goes back and forth between, far below the limit of open files.
  private let capacity = 96
  private let linkLimit = 40

  init(root: Int32) { self.root = root }

  deinit { forgetAll() }

  /// The folder with the cleaned path `path`, made (0755) when it is missing. The descriptor stays this value's and is
  /// valid until the next call but one.
  func folder(_ path: [UInt8]) throws -> Int32 {
    if path.isEmpty { return root }
    if let descriptor = open[path] {
      latest = path
      return descriptor
    }
    let result = path.withTerminated {
      cl_openat2(
        root, $0, UInt64(CL_O_PATH | O_DIRECTORY | O_CLOEXEC), 0, UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS))
    }
    let descriptor: Int32
    switch result {
    case 0...: descriptor = result
    case -ENOENT, -ENOTDIR, -ELOOP, -EAGAIN: descriptor = try make(path)
    default: throw Fault(unpacking: path, Errno(rawValue: -result))
    }
    remember(path, descriptor)
    return descriptor
  }

  /// The folder with the cleaned path `path` when it exists, following links as `folder` does; nil when it does not.
  func existing(_ path: [UInt8]) -> Int32? {
    if path.isEmpty { return root }
    if let descriptor = open[path] {
      latest = path
      return descriptor
    }
    let result = path.withTerminated {
      cl_openat2(
        root, $0, UInt64(CL_O_PATH | O_DIRECTORY | O_CLOEXEC), 0, UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS))
    }
    if result < 0 { return nil }
    remember(path, result)
    return result
  }

  /// Keeps `descriptor`, which is given away, as the folder of `path`.
  func remember(_ path: [UInt8], _ descriptor: Int32) {
    if open.count >= capacity {
      let kept = open.removeValue(forKey: latest)
      forgetAll()
      if let kept { open[latest] = kept }
    }
    latest = path
    if let old = open.updateValue(descriptor, forKey: path) { close(old) }
  }

  /// To be called when a folder or symbolic link was removed: any path may lead elsewhere now.
  func forgetAll() {
    for descriptor in open.values { close(descriptor) }
    open.removeAll(keepingCapacity: true)
  }

  /// Walks `path` part by part, following links inside the layer, and makes what is missing.
  private func make(_ path: [UInt8]) throws -> Int32 {
    var parts = EntryPath.parts(path)
    var links = 0
    restart: while true {
      var current = OwnedDescriptor(cl_dup_from(root, 3))
      for index in parts.indices {
        let name = Array(parts[index])
        if let next = try step(current.rawValue, name, path) {
          current = OwnedDescriptor(next)
          continue
        }
        guard let target = Self.readLink(current.rawValue, name) else {
          throw Fault(
            .corrupt,
            "the layer has \(ArchiveEntry.text(path)) as a folder, but "
              + "\(ArchiveEntry.text(EntryPath.joined(parts[...index]))) is not a folder")
        }
        links += 1
        guard links <= linkLimit else {
          throw Fault(.corrupt, "the layer has a loop of symbolic links at \(ArchiveEntry.text(path))")
        }
        let start = target.first == slash ? [] : EntryPath.joined(parts[..<index]) + [slash]
        parts = EntryPath.parts(start + target + [slash] + EntryPath.joined(parts[(index + 1)...]))
        continue restart
      }
      return current.take()
    }
  }

  /// The folder `name` in `parent`, made when missing or whited out; nil when something else has the name.
  private func step(_ parent: Int32, _ name: [UInt8], _ path: [UInt8]) throws -> Int32? {
    let result = openFolder(parent, name)
    if result >= 0 { return result }
    var isWhiteout = false
    switch result {
    case -ENOENT: break
    case -ENOTDIR, -ELOOP:
      guard try EntryStatus(parent, name)?.isWhiteout == true else { return nil }
      isWhiteout = true
      _ = name.withTerminated { unlinkat(parent, $0, 0) }
    default: throw Fault(unpacking: path, Errno(rawValue: -result))
    }
    let made = name.withTerminated { mkdirat(parent, $0, 0o755) == 0 ? 0 : errno }
    if made != 0 { throw Fault(unpacking: path, Errno(rawValue: made)) }
    implied += 1
    let folder = name.withTerminated { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    if folder < 0 { throw Fault(unpacking: path, Errno(rawValue: errno)) }
    // Neither the process's file mode mask nor a parent's set-group-id bit may show.
    if fchown(folder, 0, 0) != 0 || fchmod(folder, 0o755) != 0 {
      let failure = errno
      close(folder)
      throw Fault(unpacking: path, Errno(rawValue: failure))
    }
    if isWhiteout { try OverlayMarks.makeOpaque(folder, path) }
    return folder
  }

  private func openFolder(_ parent: Int32, _ name: [UInt8]) -> Int32 {
    name.withTerminated {
      cl_openat2(
        parent, $0, UInt64(CL_O_PATH | O_DIRECTORY | O_CLOEXEC), 0,
        UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS))
    }
  }

  static func readLink(_ parent: Int32, _ name: [UInt8]) -> [UInt8]? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      let count = name.withTerminated { readlinkat(parent, $0, buffer.baseAddress!, buffer.count) }
      return count < 0 ? nil : buffer[..<count].map { UInt8(bitPattern: $0) }
    }
  }
}
