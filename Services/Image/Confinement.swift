import Faults
import Glibc
import Linux
import SystemPackage

/// Gives up what the service does not need before it reads anything that others sent: archives, configurations.
///
/// - As root: all capabilities go but CAP_DAC_READ_SEARCH, which `importPath` needs to read a user's archive.
/// - With `--user`: the service is that user and has none. Its sockets are in STATE/image, a folder of the user's, and
///   STATE/image.sock leads there.
/// - Either way, with Landlock: files change only beneath ROOT/image and the folder of the sockets; nothing is executed.
enum Confinement {
  /// Where the service works.
  struct Place {
    /// For `ServiceMain`, which makes its folder beneath its root.
    var root: FilePath
    var folder: String
    var state: FilePath
    /// ROOT/image.
    var content: FilePath
    /// What was given up, for the log.
    var summary: String
  }

  /// Makes the folders and gives up rights; to be called while the process has one thread.
  static func enter(root: FilePath, state: FilePath, user: String?, group: String?) throws(Fault) -> Place {
    let content = root.appending("image")
    var place = Place(root: root, folder: "image", state: state, content: content, summary: "")
    guard root.isAbsolute, state.isAbsolute else {
      throw Fault(.invalidArgument, "--root and --state must be absolute paths")
    }
    umask(0o022)
    try make(root, 0o711)
    try make(state, 0o755)
    try make(content, 0o700)
    let sockets = try group.map { name throws(Fault) in try number(ofGroup: name) }
    let account = try user.map { name throws(Fault) in
      guard let account = UserAccount(named: name) else {
        throw Fault(.invalidArgument, "there is no user \"\(name)\": make it with useradd, or leave --user out")
      }
      return account
    }
    // Nothing is changed under a service that runs; `ServiceMain` takes the lock for good.
    let lock = try FolderLock(content, owner: "gantry-imaged")
    do throws(Errno) {
      if let account {
        try become(account, sockets, &place)
      } else if geteuid() == 0 {
        try own(content, 0, 0)
        // A member may give its files to the group: no CAP_CHOWN for the sockets.
        try? Privileges.setGroups(sockets.map { [$0] } ?? [])
        try Privileges.dropCapabilities(keeping: CapabilitySet(names: ["CAP_DAC_READ_SEARCH"]) ?? [])
        place.summary = "root without capabilities but CAP_DAC_READ_SEARCH"
      } else {
        try Privileges.setNoNewPrivileges()
        place.summary = "user \(geteuid())"
      }
      let landlocked = try Landlock.allowWriting(onlyBeneath: [content, place.state])
      place.summary += landlocked ? ", landlock" : ", no landlock in this kernel"
    } catch {
      throw Fault(.permissionDenied, "gantry-imaged cannot give up its rights", cause: ["\(error)"])
    }
    _ = consume lock
    return place
  }

  /// Becomes the user of `account`, after the folders were made over to it.
  private static func become(_ account: UserAccount, _ sockets: UInt32?, _ place: inout Place) throws(Errno) {
    if geteuid() == account.uid {
      try Privileges.setNoNewPrivileges()
      place.summary = "user \(account.uid)"
      return
    }
    try own(place.content, account.uid, account.gid)
    let folder = place.state.appending("image")
    if try Files.makeDirectory(folder.string, mode: 0o755) == false,
      try FileStatus(at: nil, folder.string).kind != .directory
    {
      throw .notDirectory
    }
    if lchown(folder.string, account.uid, account.gid) != 0 { throw Errno(rawValue: errno) }
    let name = place.state.appending("image.sock").string
    let temporary = name + ".link"
    unlink(temporary)
    if symlink("image/image.sock", temporary) != 0 { throw Errno(rawValue: errno) }
    try Files.rename(temporary, name)
    try Privileges.dropBounding()
    try Privileges.become(uid: account.uid, gid: account.gid, groups: sockets.map { [$0] } ?? [])
    try Privileges.dropCapabilities()
    place.root = place.content
    place.folder = "."
    place.state = folder
    place.summary = "user \(account.uid) without capabilities"
  }

  /// Gives everything in the service's own folder to a user; a link is not followed.
  private static func own(_ path: FilePath, _ uid: UInt32, _ gid: UInt32) throws(Errno) {
    let status = try FileStatus(at: nil, path.string)
    if status.kind == .directory {
      for name in try Files.list(path.string) { try own(path.appending(name), uid, gid) }
    }
    if status.uid != uid || status.gid != gid, lchown(path.string, uid, gid) != 0 { throw Errno(rawValue: errno) }
  }

  private static func make(_ path: FilePath, _ mode: UInt32) throws(Fault) {
    do throws(Errno) {
      try Files.makeDirectories(path, mode: mode)
    } catch .readOnlyFileSystem {
      throw Fault(.readOnly, "the folder \(path) is on a read-only file system: the image service must write there")
    } catch .noSpace {
      throw Fault(.noSpace, "no space is left on the disk of \(path)")
    } catch {
      throw Fault(
        .permissionDenied, "the folder \(path) cannot be made: start the service as root, or choose another folder",
        cause: ["\(error)"])
    }
  }

  private static func number(ofGroup name: String) throws(Fault) -> UInt32 {
    if let number = UInt32(name) { return number }
    guard let entry = getgrnam(name) else {
      throw Fault(.invalidArgument, "there is no group \"\(name)\": make it with groupadd, or leave --group out")
    }
    return entry.pointee.gr_gid
  }
}
