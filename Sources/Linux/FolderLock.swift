internal import CLinux
public import Faults
internal import Glibc
public import SystemPackage

/// The exclusive use of a state folder, held as long as this value (or the process) lives.
///
/// The lock is flock(2) on `FOLDER/lock`: the kernel drops it with the process, so a crash never leaves it behind.
public struct FolderLock: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor

  /// Takes the lock, or fails with `.locked` and the holder's pid when another process has it.
  ///
  /// - Parameters:
  ///   - folder: an existing folder.
  ///   - owner: who uses it, in words for the message (`gantry-imaged`).
  public init(_ folder: FilePath, owner: String) throws(Fault) {
    let path = folder.appending("lock").string
    do throws(Errno) {
      let file = try openat2(nil, path, [.readWrite, .create, .noFollow], mode: 0o600)
      try check(cl_flock(file.rawValue, LOCK_EX | LOCK_NB))
      let text = "\(getpid())\n"
      Glibc.ftruncate(file.rawValue, 0)
      _ = text.withCString { Glibc.write(file.rawValue, $0, text.utf8.count) }
      descriptor = file
    } catch Errno.wouldBlock {
      let holder = (try? Files.readText(path, limit: 64))?.prefix { $0 != "\n" } ?? ""
      throw Fault(
        .locked,
        "another \(owner) (process \(holder.isEmpty ? "unknown" : holder)) uses the folder \(folder): "
          + "stop it, or give this one a --root of its own")
    } catch Errno.readOnlyFileSystem {
      throw Fault(.readOnly, "the folder \(folder) is on a read-only file system: \(owner) must be able to write there")
    } catch Errno.noSpace {
      throw Fault(.noSpace, "no space is left on the disk of \(folder)")
    } catch {
      throw Fault(.permissionDenied, "\(owner) cannot lock the folder \(folder)", cause: ["\(path): \(error)"])
    }
  }

  /// Unlocks before it closes: a child that was just forked holds a copy of the descriptor until its exec, and the lock
  /// with it.
  deinit { _ = cl_flock(descriptor.rawValue, LOCK_UN) }
}
