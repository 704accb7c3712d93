public import OCI

/// A list of OCI device rules in the kernel's terms: everything is allowed or denied, with exceptions.
///
/// The rules apply in order, later ones change what earlier ones said, as successive writes to v1's `devices.allow` and
/// `devices.deny` do. The start is "deny all". Where the result denies by default, the devices that the runtime
/// specification promises (`null zero full random urandom tty ptmx` and pseudo-terminals) and the making of device nodes
/// are allowed too: a node alone opens nothing.
public struct DeviceRules: Sendable, Equatable {
  /// A kind of device and its numbers; nil stands for every one.
  public struct Device: Hashable, Sendable {
    /// `c` or `b`.
    public var kind: Character
    /// The major number; nil is all.
    public var major: Int64?
    /// The minor number; nil is all.
    public var minor: Int64?
  }

  /// What may be done with a device.
  public struct Access: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// mknod; the values are those of BPF_DEVCG_ACC_* (linux/bpf.h).
    public static let makeNode = Access(rawValue: 1)
    /// Opening for reading.
    public static let read = Access(rawValue: 2)
    /// Opening for writing.
    public static let write = Access(rawValue: 4)
    /// All of them.
    public static let all: Access = [.makeNode, .read, .write]

    /// The letters of a rule, such as `rwm`; empty means all.
    init(letters: String?) {
      guard let letters, !letters.isEmpty else {
        self = .all
        return
      }
      var access: Access = []
      for letter in letters {
        switch letter {
        case "r": access.insert(.read)
        case "w": access.insert(.write)
        case "m": access.insert(.makeNode)
        default: break
        }
      }
      self = access
    }

    /// The letters in the kernel's order.
    var letters: String {
      (contains(.read) ? "r" : "") + (contains(.write) ? "w" : "") + (contains(.makeNode) ? "m" : "")
    }
  }

  /// Whether what no exception names is allowed.
  public private(set) var allowsByDefault: Bool
  /// The exceptions: what is denied when all else is allowed, and the other way round.
  public private(set) var exceptions: [Device: Access]

  /// No device at all.
  private init() {
    allowsByDefault = false
    exceptions = [:]
  }

  /// The outcome of `rules` in order, with the default devices added where the outcome denies by default.
  public init(_ rules: [RuntimeSpec.DeviceRule]) {
    self.init()
    for rule in rules { apply(rule) }
    if !allowsByDefault {
      for (device, access) in Self.defaults { exceptions[device, default: []].formUnion(access) }
    }
  }

  private mutating func apply(_ rule: RuntimeSpec.DeviceRule) {
    let access = Access(letters: rule.access)
    let major = rule.major.flatMap { $0 < 0 ? nil : $0 }
    let minor = rule.minor.flatMap { $0 < 0 ? nil : $0 }
    let kinds: [Character] =
      switch rule.type ?? "a" {
      case "c", "u": ["c"]
      case "b": ["b"]
      case "a", "": ["b", "c"]
      default: []
      }
    if kinds.count == 2 && major == nil && minor == nil && access == .all {
      allowsByDefault = rule.allow
      exceptions = [:]
      return
    }
    for kind in kinds {
      if rule.allow == allowsByDefault {
        withdraw(Device(kind: kind, major: major, minor: minor), access)
      } else {
        exceptions[Device(kind: kind, major: major, minor: minor), default: []].formUnion(access)
      }
    }
  }

  /// Takes `access` from every exception that `device` covers.
  private mutating func withdraw(_ device: Device, _ access: Access) {
    for (known, granted) in exceptions where device.covers(known) {
      let left = granted.subtracting(access)
      exceptions[known] = left.isEmpty ? nil : left
    }
  }

  /// The exceptions in a fixed order, so that what is written and compiled from them is always the same.
  var sorted: [(device: Device, access: Access)] {
    exceptions.sorted { $0.key.sortKey < $1.key.sortKey }.map { ($0.key, $0.value) }
  }

  /// What every container may use: config-linux.md, "Default Devices", and mknod of anything.
  private static let defaults: [(Device, Access)] = [
    (Device(kind: "c", major: nil, minor: nil), .makeNode),
    (Device(kind: "b", major: nil, minor: nil), .makeNode),
    (Device(kind: "c", major: 1, minor: 3), .all),  // null
    (Device(kind: "c", major: 1, minor: 5), .all),  // zero
    (Device(kind: "c", major: 1, minor: 7), .all),  // full
    (Device(kind: "c", major: 1, minor: 8), .all),  // random
    (Device(kind: "c", major: 1, minor: 9), .all),  // urandom
    (Device(kind: "c", major: 5, minor: 0), .all),  // tty
    (Device(kind: "c", major: 5, minor: 2), .all),  // ptmx
    (Device(kind: "c", major: 136, minor: nil), .all),  // pts
  ]
}

extension DeviceRules.Device {
  /// Whether every device that `other` stands for is one of this.
  func covers(_ other: DeviceRules.Device) -> Bool {
    kind == other.kind && (major == nil || major == other.major) && (minor == nil || minor == other.minor)
  }

  /// `c 1:3`, with `*` for all, as v1's files spell it.
  var text: String { "\(kind) \(major.map(String.init) ?? "*"):\(minor.map(String.init) ?? "*")" }

  var sortKey: String {
    func padded(_ number: Int64?) -> String {
      guard let number else { return "" }
      let digits = String(number)
      return String(repeating: "0", count: max(0, 20 - digits.count)) + digits
    }
    return "\(kind)\(padded(major))!\(padded(minor))"  // "!" sorts before the digits, so wildcards come first
  }
}
