internal import CLinux
internal import Glibc
package import Linux
package import SystemPackage

/// The root of a tree in which paths are resolved as if it were `/`: links lead nowhere outside, however they are exchanged
/// meanwhile (CVE-2018-15664).
public struct TreeRoot: ~Copyable {
  package let descriptor: OwnedDescriptor

  /// Takes an open folder.
  package init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// A path as people write it, cleaned by its text as Docker does.
  package struct Path: Sendable, Equatable {
    /// Absolute without `.` and `..`, and without the slash in front; empty for the root.
    package var clean: [UInt8]
    /// A slash or `/.` was at its end: it means a folder, and a link is followed.
    package var asksFolder: Bool

    package init(_ text: [UInt8]) {
      clean = EntryPath(text).bytes
      asksFolder = clean.isEmpty || text.last == slash || text.suffix(2).elementsEqual([slash, dot]) || text == [dot]
    }

    /// The last part as Docker names what is copied: `.` for `dir/.`, `/` for the root.
    package func name(_ text: [UInt8]) -> [UInt8] {
      if text.suffix(2).elementsEqual([slash, dot]) || text == [dot] { return [dot] }
      return clean.isEmpty ? [slash] : EntryPath(clean).name
    }
  }

  /// What `path` means, a link itself unless the path asks for a folder; `notDirectory` when that is none.
  package borrowing func find(_ path: Path) throws(Errno) -> TreeNode {
    var flags = UInt64(CL_O_PATH | O_CLOEXEC)
    flags |= UInt64(path.asksFolder ? O_DIRECTORY : O_NOFOLLOW)
    return try TreeNode(open(path.clean, flags))
  }

  /// The folder that `path` leads to, every link followed.
  package borrowing func folder(_ path: Path) throws(Errno) -> OwnedDescriptor {
    try open(path.clean, UInt64(CL_O_PATH | O_DIRECTORY | O_CLOEXEC))
  }

  private borrowing func open(_ path: [UInt8], _ flags: UInt64) throws(Errno) -> OwnedDescriptor {
    let result = (path.isEmpty ? [dot] : path).withTerminated {
      cl_openat2(descriptor.rawValue, $0, flags, 0, UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS))
    }
    return OwnedDescriptor(try check(result))
  }

  /// Where the link at `path` leads to in the end, as an absolute path of the tree; what is missing is taken by its text.
  package borrowing func target(of path: Path) throws(Errno) -> [UInt8] {
    var rest = EntryPath.parts(path.clean).map(Array.init)[...]
    var done: [[UInt8]] = []
    var links = 0
    while let part = rest.popFirst() {
      let whole = Array((done + [part]).joined(separator: [slash]))
      let found: OwnedDescriptor
      do throws(Errno) {
        found = try open(whole, UInt64(CL_O_PATH | O_NOFOLLOW | O_CLOEXEC))
      } catch {
        guard error == .noSuchFileOrDirectory || error == .notDirectory else { throw error }
        done.append(part)
        continue
      }
      let node = try TreeNode(found)
      guard node.status.kind == .symbolicLink else {
        done.append(part)
        continue
      }
      links += 1
      if links > 40 { throw Errno.tooManySymbolicLinkLevels }
      let link = try node.link()
      let base = link.first == slash ? [] : Array(done.joined(separator: [slash])) + [slash]
      let remaining = Array(rest.joined(separator: [slash]))
      rest = EntryPath.parts(base + link + [slash] + remaining).map(Array.init)[...]
      done = []
    }
    return [slash] + Array(done.joined(separator: [slash]))
  }
}
