import Faults
import OCI

/// The user namespace of one container: which ids outside its own stand for. Decided at create, kept with the container.
struct UserNamespace: Codable, Sendable, Equatable {
  var uids: [RuntimeSpec.IDMapping]
  var gids: [RuntimeSpec.IDMapping]
  /// Binds show the container's ids: what is root's on the disk is its root's. Not with `keep-id`, where ids are equal.
  var mapsBinds = true
  /// Who the program runs as when nobody says so (`keep-id`).
  var user: String?

  /// The ids outside that nobody else may get while the container exists.
  var reserved: [ClosedRange<UInt32>] {
    (uids + gids).filter { $0.size > 0 }.map { $0.hostID...($0.hostID + $0.size - 1) }
  }

  /// How many ids the container has without a gap from 0 on.
  func countFromZero(_ ranges: [RuntimeSpec.IDMapping]) -> UInt32 {
    var next: UInt32 = 0
    for range in ranges.sorted(by: { $0.containerID < $1.containerID }) where range.containerID == next {
      next += range.size
    }
    return next
  }
}

/// `--userns` as it was asked for.
enum UserNamespaceMode: Equatable {
  /// What the engine does for every container: its remap, else the host's ids.
  case standard
  case host
  /// The engine's remap; without one, as `auto`.
  case `private`
  /// A range that no other container has.
  case automatic(Automatic)
  /// The caller's own ids are the same inside.
  case keepID(Keep)

  struct Automatic: Equatable {
    var size: UInt32 = 65536
    /// Mapped as given; the rest comes from the container's own range.
    var uids: [RuntimeSpec.IDMapping] = []
    var gids: [RuntimeSpec.IDMapping] = []
  }

  struct Keep: Equatable {
    /// What the caller's ids are inside; the same when nil.
    var uid: UInt32?
    var gid: UInt32?
    var size: UInt32 = 65536
  }

  static let known =
    "allowed are host, private, auto[:size=N,uidmapping=IN:OUT:N,gidmapping=IN:OUT:N], keep-id[:uid=N,gid=N,size=N]"

  /// Reads the value of `--userns`.
  init(_ text: String) throws {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let options = parts.count == 2 ? parts[1].split(separator: ",").map(String.init) : []
    switch parts[0] {
    case "auto":
      var auto = Automatic()
      for option in options {
        let (key, value) = Self.pair(option)
        switch key {
        case "size": auto.size = try Self.number(value, of: "size", in: text, 1...(1 << 24))
        case "uidmapping": auto.uids.append(try Self.mapping(value, in: text))
        case "gidmapping": auto.gids.append(try Self.mapping(value, in: text))
        default: throw Self.invalid(text)
        }
      }
      self = .automatic(auto)
    case "keep-id":
      var keep = Keep()
      for option in options {
        let (key, value) = Self.pair(option)
        switch key {
        case "uid": keep.uid = try Self.number(value, of: "uid", in: text, 0...2_147_483_647)
        case "gid": keep.gid = try Self.number(value, of: "gid", in: text, 0...2_147_483_647)
        case "size": keep.size = try Self.number(value, of: "size", in: text, 1...(1 << 24))
        default: throw Self.invalid(text)
        }
      }
      self = .keepID(keep)
    default:
      switch text {
      case "": self = .standard
      case "host": self = .host
      case "private": self = .private
      default: throw Self.invalid(text)
      }
    }
  }

  private static func pair(_ option: String) -> (String, String) {
    let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    return (parts[0], parts.count == 2 ? parts[1] : "")
  }

  private static func invalid(_ text: String) -> Fault {
    Fault(.invalidArgument, "UsernsMode: \"\(text)\" is not known: \(known)")
  }

  private static func number(
    _ value: String, of key: String, in text: String, _ range: ClosedRange<UInt32>
  ) throws -> UInt32 {
    guard let number = UInt32(value), range.contains(number) else {
      throw Fault(
        .invalidArgument,
        "UsernsMode: \"\(text)\": \(key)=\(value) is not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// `0:100000:1000`, inside, outside, how many.
  private static func mapping(_ value: String, in text: String) throws -> RuntimeSpec.IDMapping {
    let parts = value.split(separator: ":", omittingEmptySubsequences: false).map { UInt32($0) }
    guard parts.count == 3, let inside = parts[0], let outside = parts[1], let size = parts[2], size > 0,
      UInt64(inside) + UInt64(size) <= 1 << 31, UInt64(outside) + UInt64(size) < 1 << 32
    else {
      throw Fault(
        .invalidArgument, "UsernsMode: \"\(text)\": \"\(value)\" is no mapping: give INSIDE:OUTSIDE:COUNT")
    }
    return .init(containerID: inside, hostID: outside, size: size)
  }
}

/// Puts ids inside together with ids outside.
enum IDMappings {
  typealias Mapping = RuntimeSpec.IDMapping

  /// The ids `0..<size` inside: those of `explicit` as it says, all others from `ranges` in order. Nil when these are too
  /// few.
  static func cover(_ size: UInt32, explicit: [Mapping], from ranges: [ClosedRange<UInt32>]) -> [Mapping]? {
    var result = explicit
    var rest = ranges
    var next: UInt32 = 0
    func add(upTo end: UInt32) -> Bool {
      while next < end {
        guard let range = rest.first else { return false }
        let count = UInt32(min(UInt64(end - next), UInt64(range.upperBound - range.lowerBound) + 1))
        result.append(.init(containerID: next, hostID: range.lowerBound, size: count))
        next += count
        rest.removeFirst()
        if range.upperBound - range.lowerBound >= count {
          rest.insert((range.lowerBound + count)...range.upperBound, at: 0)
        }
      }
      return true
    }
    for fixed in explicit.sorted(by: { $0.containerID < $1.containerID }) {
      guard add(upTo: min(fixed.containerID, size)) else { return nil }
      next = max(next, fixed.containerID + fixed.size)
    }
    guard add(upTo: size) else { return nil }
    return joined(result.sorted { $0.containerID < $1.containerID })
  }

  /// Neighbours that go on both inside and outside, as one.
  private static func joined(_ mappings: [Mapping]) -> [Mapping] {
    var result: [Mapping] = []
    for mapping in mappings {
      if let last = result.last, last.containerID + last.size == mapping.containerID,
        last.hostID + last.size == mapping.hostID
      {
        result[result.count - 1].size += mapping.size
      } else {
        result.append(mapping)
      }
    }
    return result
  }

  /// Fails when two of `mappings` overlap inside or outside.
  static func check(_ mappings: [Mapping], _ text: String) throws {
    for (index, first) in mappings.enumerated() {
      for second in mappings[(index + 1)...] {
        func overlap(_ a: UInt32, _ b: UInt32) -> Bool {
          UInt64(a) < UInt64(b) + UInt64(second.size) && UInt64(b) < UInt64(a) + UInt64(first.size)
        }
        if overlap(first.containerID, second.containerID) || overlap(first.hostID, second.hostID) {
          throw Fault(.invalidArgument, "UsernsMode: \"\(text)\": two of its mappings overlap")
        }
      }
    }
  }
}
