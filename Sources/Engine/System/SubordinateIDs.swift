import Faults
import OCI

/// Users' ids and the ids that they may give to namespaces: /etc/passwd, /etc/group, /etc/subuid and /etc/subgid.
struct SubordinateIDs: Sendable {
  /// `/etc`.
  let folder: String

  /// The name of a user; its number where it has none.
  func name(of uid: UInt32) -> String { entry("passwd") { $0[2] == String(uid) }?.first ?? String(uid) }

  /// A user by name or number, as name and number.
  func user(_ text: String) -> (name: String, uid: UInt32)? {
    guard let fields = entry("passwd", where: { $0[0] == text || $0[2] == text }), let uid = UInt32(fields[2]) else {
      return nil
    }
    return (fields[0], uid)
  }

  /// A group by name or number.
  func group(_ text: String) -> (name: String, gid: UInt32)? {
    guard let fields = entry("group", where: { $0[0] == text || $0[2] == text }), let gid = UInt32(fields[2]) else {
      return nil
    }
    return (fields[0], gid)
  }

  /// What `file` (subuid or subgid) gives to an owner of one of these names.
  func ranges(_ file: String, of names: [String]) -> [ClosedRange<UInt32>] {
    lines(file).filter { names.contains($0.owner) }.map(\.range)
  }

  /// What `file` gives to anybody else.
  func others(_ file: String, than name: String) -> [ClosedRange<UInt32>] {
    lines(file).filter { $0.owner != name }.map(\.range)
  }

  private func lines(_ file: String) -> [(owner: String, range: ClosedRange<UInt32>)] {
    let text = (try? SmallFile.read("\(folder)/\(file)")) ?? ""
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard fields.count == 3, let start = UInt32(fields[1]), let count = UInt32(fields[2]), start > 0, count > 0,
        UInt64(start) + UInt64(count) < 1 << 32
      else { return nil }
      return (String(fields[0]), start...(start + count - 1))
    }
  }

  private func entry(_ file: String, where matches: ([String]) -> Bool) -> [String]? {
    for line in ((try? SmallFile.read("\(folder)/\(file)")) ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      if fields.count > 2, matches(fields) { return fields }
    }
    return nil
  }
}

/// The user namespaces of this engine's containers: the common one of `--userns-remap`, and ranges that one container has
/// alone. Ranges are rows of containers: they are as lasting as these.
final class UserNamespaces: Sendable {
  /// Where ranges of `auto` come from when /etc/subuid has no entry for `containers`: ids that no distribution uses.
  static let automatic: ClosedRange<UInt32> = 2_147_483_648...3_221_225_471
  /// Who owns the ranges of `auto` in /etc/subuid and /etc/subgid, as with podman.
  static let owner = "containers"

  let ids: SubordinateIDs
  /// What every container gets unless it asks for something else.
  let remap: UserNamespace?
  private let taken = TakenRanges()

  /// - Parameter remap: the setting `--userns-remap`: nil, `default`, `USER` or `USER:GROUP`.
  init(remap: String?, folder: String = "/etc") throws {
    let ids = SubordinateIDs(folder: folder)
    self.ids = ids
    self.remap = try remap.map { try Self.common($0, ids) }
  }

  private static func common(_ text: String, _ ids: SubordinateIDs) throws -> UserNamespace {
    let parts = (text == "default" ? "gantry" : text)
      .split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, !parts.contains(where: \.isEmpty) else {
      throw Fault(.invalidArgument, "--userns-remap \"\(text)\" is not default, USER or USER:GROUP")
    }
    func mapping(_ file: String, _ name: String, _ number: UInt32?) throws -> [RuntimeSpec.IDMapping] {
      let ranges = ids.ranges(file, of: [name] + (number.map { [String($0)] } ?? []))
      let total = ranges.reduce(UInt64(0)) { $0 + UInt64($1.upperBound - $1.lowerBound) + 1 }
      let size = UInt32(min(total, 1 << 31))
      guard size > 0, let mapping = IDMappings.cover(size, explicit: [], from: ranges) else {
        throw Fault(
          .invalidArgument,
          "--userns-remap \(text): \(ids.folder)/\(file) gives \"\(name)\" no ids: add a line such as \(name):100000:65536"
        )
      }
      return mapping
    }
    let user = ids.user(parts[0])
    let group = parts.count == 2 ? ids.group(parts[1]).map { ($0.name, Optional($0.gid)) } : nil
    let name = user?.name ?? parts[0]
    return UserNamespace(
      uids: try mapping("subuid", name, user?.uid),
      gids: try mapping("subgid", group?.0 ?? (parts.count == 2 ? parts[1] : name), group?.1 ?? user?.uid))
  }

  /// The ids of a new container; nil for the host's. What it gets alone is reserved for it until `release`.
  ///
  /// - Parameter caller: who asked for the container, for `keep-id`.
  func decide(_ mode: UserNamespaceMode, text: String, container: String, caller: (uid: UInt32, gid: UInt32)) throws
    -> UserNamespace?
  {
    switch mode {
    case .host: return nil
    case .standard: return remap
    case .private: return try remap ?? automatic(.init(), text, container)
    case .automatic(let options): return try automatic(options, text, container)
    case .keepID(let options): return try keep(options, text, caller)
    }
  }

  /// A range of the container's own, as far below as one is free.
  private func automatic(
    _ options: UserNamespaceMode.Automatic, _ text: String, _ container: String
  ) throws -> UserNamespace {
    let sources = [("subuid", options.uids), ("subgid", options.gids)].map { file, explicit in
      let given = ids.ranges(file, of: [Self.owner])
      return (
        ranges: given.isEmpty ? [Self.automatic] : given,
        // Ranges of ours that an administrator gave to somebody else meanwhile are theirs.
        foreign: given.isEmpty ? ids.others(file, than: Self.owner) : [], explicit: explicit
      )
    }
    return try taken.reserve(for: container) { taken in
      func mapping(_ index: Int) throws -> [RuntimeSpec.IDMapping] {
        let source = sources[index]
        let inside = source.explicit.reduce(UInt32(0)) { sum, fixed in
          sum + (fixed.containerID < options.size ? min(fixed.size, options.size - fixed.containerID) : 0)
        }
        let needed = options.size - min(inside, options.size)
        let free = TakenRanges.free(in: source.ranges, without: taken + source.foreign, count: needed)
        guard let free, let mapping = IDMappings.cover(options.size, explicit: source.explicit, from: free) else {
          throw Fault(
            .limitExceeded,
            "UsernsMode: \"\(text)\": no \(needed) ids are free: other containers have those of \"\(Self.owner)\" in "
              + "\(ids.folder)/\(index == 0 ? "subuid" : "subgid"): ask for a smaller size, or give it more")
        }
        try IDMappings.check(mapping, text)
        return mapping
      }
      return UserNamespace(uids: try mapping(0), gids: try mapping(1))
    }
  }

  /// The caller's ids unchanged, all others from those that /etc/subuid gives the caller.
  private func keep(
    _ options: UserNamespaceMode.Keep, _ text: String, _ caller: (uid: UInt32, gid: UInt32)
  ) throws -> UserNamespace {
    guard caller.uid != 0 else {
      throw Fault(
        .invalidArgument,
        "UsernsMode: \"\(text)\" keeps the ids of who calls, and that is root, which would be root of the host inside: use "
          + "auto or private, or call as an ordinary user of the engine's group")
    }
    let name = ids.name(of: caller.uid)
    func mapping(_ file: String, _ inside: UInt32, _ outside: UInt32) throws -> [RuntimeSpec.IDMapping] {
      let ranges = ids.ranges(file, of: [name, String(caller.uid)])
      let size = max(options.size, inside + 1)
      let own = RuntimeSpec.IDMapping(containerID: inside, hostID: outside, size: 1)
      guard let mapping = IDMappings.cover(size, explicit: [own], from: ranges) else {
        throw Fault(
          .invalidArgument,
          "UsernsMode: \"\(text)\" needs \(size - 1) further ids, and \(ids.folder)/\(file) gives \"\(name)\" fewer: add a "
            + "line such as \(name):100000:\(max(size, 65536)), or ask for a smaller size")
      }
      try IDMappings.check(mapping, text)
      return mapping
    }
    let uid = options.uid ?? caller.uid
    let gid = options.gid ?? caller.gid
    return UserNamespace(
      uids: try mapping("subuid", uid, caller.uid), gids: try mapping("subgid", gid, caller.gid), mapsBinds: false,
      user: "\(uid):\(gid)")
  }

  /// Notes what a container of an earlier run of the engine has.
  func restore(_ namespace: UserNamespace?, for container: String) {
    guard let namespace, namespace.reserved != remap?.reserved else { return }
    taken.restore(namespace.reserved, for: container)
  }

  /// The container is gone: others may have its ids.
  func release(_ container: String) { taken.release(container) }
}
