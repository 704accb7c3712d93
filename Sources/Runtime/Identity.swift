internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// As whom a process runs: USER as images and people write it, looked up in the container's own files.
///
/// Rules, each against an attack (CVE-2024-40635, 2022-36109, 2023-25173):
/// - ids are 0 to 2147483647; empty parts (`u:`, `:g`), `-1` and larger numbers are refused, never wrapped;
/// - a number is an id: an entry whose *name* is that number is not it;
/// - supplementary groups are those of /etc/group for the user (unless a group was named) and those asked for, and the
///   primary group is always among them;
/// - an empty USER is the given uid, with the groups that /etc/group has for it; without one, ids are taken as they are;
/// - the files are plain files of at most 16 MiB, opened inside the container's root.
struct Identity: Equatable {
  var uid: UInt32
  var gid: UInt32
  /// All groups, the primary one first.
  var groups: [UInt32]
  /// The user's folder, when /etc/passwd has one.
  var home: String?

  /// The largest /etc/passwd or /etc/group that is read.
  static let fileLimit = 16 << 20

  /// Looks `user` up in the tree at `root`.
  static func resolve(_ user: RuntimeSpec.User, root: Int32, needsHome: Bool) throws(Fault) -> Identity {
    var identity = Identity(uid: user.uid, gid: user.gid, groups: [])
    var extra: [UInt32] = user.additionalGids ?? []
    if let name = user.username {
      let files = AccountFiles(passwd: try read("etc/passwd", root), group: try read("etc/group", root))
      let supplementary: [UInt32]
      (identity, supplementary) = try files.resolve(name.isEmpty ? String(user.uid) : name)
      extra = supplementary + extra
    } else {
      guard user.uid <= maximumID, user.gid <= maximumID else { throw outOfRange("\(user.uid):\(user.gid)") }
      if needsHome { identity.home = AccountFiles(passwd: try read("etc/passwd", root), group: []).home(of: user.uid) }
    }
    if let names = user.additionalGroupNames, !names.isEmpty {
      let files = AccountFiles(passwd: [], group: try read("etc/group", root))
      for name in names { extra.append(try files.group(name)) }
    }
    identity.groups = [identity.gid]
    for group in extra where !identity.groups.contains(group) { identity.groups.append(group) }
    return identity
  }

  static let maximumID: UInt32 = 0x7fff_ffff

  static func outOfRange(_ text: String) -> Fault {
    Fault(.invalidArgument, "the user \"\(text)\" is out of range: ids are from 0 to \(maximumID)")
  }

  /// The file's bytes; empty when there is none.
  private static func read(_ path: String, _ root: Int32) throws(Fault) -> [UInt8] {
    do throws(Errno) {
      let file = try openat2(
        root, path, [.readOnly, .nonBlocking, .noControllingTerminal], resolve: [.inRoot, .noMagicLinks])
      guard try FileStatus(of: file.rawValue).kind == .regular else {
        throw Errno.invalidArgument
      }
      return try Files.read(file.rawValue, limit: fileLimit)
    } catch {
      switch error {
      case .noSuchFileOrDirectory, .notDirectory: return []
      case .fileTooLarge:
        throw Fault(
          .limitExceeded,
          "/\(path) in the container is larger than \(fileLimit >> 20) MiB: users are not looked up in it")
      default:
        throw Fault(
          .invalidArgument, "/\(path) in the container cannot be read to look up the user", cause: [error.description])
      }
    }
  }
}

/// /etc/passwd and /etc/group as bytes, read line by line without copies.
struct AccountFiles {
  let passwd: [UInt8]
  let group: [UInt8]

  /// `name`, `uid`, `name:group`, `uid:gid` and their mixtures, with the supplementary groups that go with it.
  func resolve(_ text: String) throws(Fault) -> (Identity, supplementary: [UInt32]) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, !parts.contains(where: \.isEmpty) else {
      throw Fault(.invalidArgument, "the user \"\(text)\" is not of the form user or user:group")
    }
    var identity = Identity(uid: 0, gid: 0, groups: [], home: nil)
    var name: [UInt8]?
    if Self.isNumber(parts[0]) {
      guard parts[0].first != "+", let uid = UInt32(parts[0]), uid <= Identity.maximumID else {
        throw Identity.outOfRange(text)
      }
      identity.uid = uid
      if let entry = entry(ofUser: uid) {
        identity.gid = entry.gid
        identity.home = entry.home
        name = entry.name
      }
    } else {
      guard let entry = entry(named: Array(parts[0].utf8)) else {
        throw Fault(.invalidArgument, "unable to find user \(parts[0]): no matching entries in passwd file")
      }
      identity.uid = entry.uid
      identity.gid = entry.gid
      identity.home = entry.home
      name = entry.name
    }
    if parts.count == 2 {
      identity.gid = try self.group(String(parts[1]))
      return (identity, [])
    }
    return (identity, name.map(groups(of:)) ?? [])
  }

  /// A group by name or number.
  func group(_ text: String) throws(Fault) -> UInt32 {
    if Self.isNumber(text[...]) {
      guard text.first != "+", let gid = UInt32(text), gid <= Identity.maximumID else {
        throw Identity.outOfRange(text)
      }
      return gid
    }
    let wanted = Array(text.utf8)
    var found: UInt32?
    Self.forEachLine(group) { fields in
      if found == nil, fields.count >= 3, fields[0].elementsEqual(wanted) { found = Self.id(fields[2]) }
    }
    guard let found else {
      throw Fault(.invalidArgument, "unable to find group \(text): no matching entries in group file")
    }
    return found
  }

  /// The folder of the user with this id.
  func home(of uid: UInt32) -> String? { entry(ofUser: uid)?.home }

  private struct Entry {
    var name: [UInt8]
    var uid: UInt32
    var gid: UInt32
    var home: String?
  }

  private func entry(ofUser uid: UInt32) -> Entry? { firstEntry { $0.uid == uid } }

  private func entry(named name: [UInt8]) -> Entry? { firstEntry { $0.name == name } }

  private func firstEntry(_ matches: (Entry) -> Bool) -> Entry? {
    var found: Entry?
    Self.forEachLine(passwd) { fields in
      guard found == nil, fields.count >= 4, let uid = Self.id(fields[2]), let gid = Self.id(fields[3]) else { return }
      var entry = Entry(name: Array(fields[0]), uid: uid, gid: gid)
      guard matches(entry) else { return }
      if fields.count > 5, !fields[5].isEmpty { entry.home = String(decoding: fields[5], as: UTF8.self) }
      found = entry
    }
    return found
  }

  private func groups(of name: [UInt8]) -> [UInt32] {
    var result: [UInt32] = []
    Self.forEachLine(group) { fields in
      guard fields.count >= 4, let gid = Self.id(fields[2]) else { return }
      if fields[3].split(separator: UInt8(ascii: ",")).contains(where: { $0.elementsEqual(name) }) {
        result.append(gid)
      }
    }
    return result
  }

  private static func isNumber(_ text: Substring) -> Bool {
    // "-1" and "+1" are numbers to refuse, not names to look up.
    let digits = text.first == "-" || text.first == "+" ? text.dropFirst() : text
    return !digits.isEmpty && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  private static func id(_ bytes: ArraySlice<UInt8>) -> UInt32? {
    guard !bytes.isEmpty, bytes.count <= 10 else { return nil }
    var value: UInt64 = 0
    for byte in bytes {
      guard (0x30...0x39).contains(byte) else { return nil }
      value = value * 10 + UInt64(byte - 0x30)
    }
    return value <= UInt64(Identity.maximumID) ? UInt32(value) : nil
  }

  private static func forEachLine(_ bytes: [UInt8], _ body: ([ArraySlice<UInt8>]) -> Void) {
    for line in bytes.split(separator: 0x0a) where line.first != UInt8(ascii: "#") {
      body(line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false))
    }
  }
}
