/// A `--ulimit` value: `name=soft[:hard]`.
struct UlimitFlag: Equatable {
  var name: String
  var soft: Int64
  var hard: Int64

  /// Reads one value; -1 is "without a limit", and the hard limit is the soft one where it is not given.
  init(_ text: String) throws {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw CommandFailure("invalid ulimit argument: \(text) (for example: nofile=1024:2048)")
    }
    name = String(parts[0])
    guard Self.names.contains(name) else {
      throw CommandFailure("invalid ulimit type: \(name) (one of \(Self.names.sorted().joined(separator: ", ")))")
    }
    let limits = parts[1].split(separator: ":", omittingEmptySubsequences: false)
    guard limits.count <= 2, let soft = Int64(limits[0]), let hard = limits.count == 2 ? Int64(limits[1]) : soft else {
      throw CommandFailure("invalid ulimit value: \(text) (for example: nofile=1024:2048)")
    }
    guard hard == -1 || (soft != -1 && soft <= hard) else {
      throw CommandFailure("ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)")
    }
    self.soft = soft
    self.hard = hard
  }

  private static let names: Set<String> = [
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
  ]
}

/// A `--gpus` value: `all`, a number, or fields such as `driver=nvidia,"device=0,1",capabilities=compute`.
struct GPUFlag: Equatable {
  var driver = ""
  /// How many; -1 for all. 0 where devices are named.
  var count: Int64 = 1
  var devices: [String] = []
  var capabilities: [String] = ["gpu"]
  var options: [String: String] = [:]

  /// Reads one value.
  init(_ text: String) throws {
    var keys: Set<String> = []
    for field in try CommaSeparated.fields(text) {
      let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let key = parts.count == 2 ? parts[0] : "count"
      let value = parts[parts.count - 1]
      guard keys.insert(key).inserted else {
        throw CommandFailure("gpu request key '\(key)' can be specified only once")
      }
      switch key {
      case "driver": driver = value
      case "count":
        guard let number = value == "all" ? -1 : Int64(value) else {
          throw CommandFailure("invalid count (\(value)): value must be either \"all\" or an integer")
        }
        count = number
      case "device": devices = value.split(separator: ",").map(String.init)
      case "capabilities": capabilities = ["gpu"] + value.split(separator: ",").map(String.init).filter { $0 != "gpu" }
      case "options":
        for option in value.split(separator: ",") {
          let (name, setting) = try KeyValues.pair(String(option))
          options[name] = setting
        }
      default: throw CommandFailure("unexpected key '\(key)' in '\(field)'")
      }
    }
    if !devices.isEmpty {
      guard !keys.contains("count") else { throw CommandFailure("count and device cannot both be given") }
      count = 0
    }
  }
}

/// A `--device` value: `HOST[:CONTAINER[:PERMISSIONS]]`.
struct DeviceFlag: Equatable {
  var host: String
  var container: String
  /// A choice of `r`, `w` and `m` (mknod).
  var permissions: String

  /// Whether the value names a device of the Container Device Interface: `vendor.com/class=name`.
  static func isCDI(_ text: String) -> Bool {
    guard !text.hasPrefix("/"), let equals = text.firstIndex(of: "="), let slash = text.firstIndex(of: "/") else {
      return false
    }
    return slash < equals
  }

  /// Whether `text` is a rule of the device cgroup: `c 1:3 rwm`, where a number may be `*`.
  static func isRule(_ text: String) -> Bool {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    let numbers = parts.count == 3 ? parts[1].split(separator: ":", omittingEmptySubsequences: false) : []
    return numbers.count == 2 && ["a", "b", "c"].contains(parts[0])
      && numbers.allSatisfy { $0 == "*" || UInt32($0) != nil } && (1...3).contains(parts[2].count)
      && parts[2].allSatisfy { "rwm".contains($0) }
  }

  /// Reads one value.
  init(_ text: String) throws {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard !parts.isEmpty, parts.count <= 3, !parts[0].isEmpty else {
      throw CommandFailure("invalid device specification: \(text)")
    }
    func isPermissions(_ part: String) -> Bool { !part.isEmpty && part.allSatisfy { "rwm".contains($0) } }
    host = parts[0]
    container = parts[0]
    permissions = "rwm"
    if parts.count == 2, isPermissions(parts[1]) {
      permissions = parts[1]
    } else if parts.count >= 2 {
      container = parts[1]
    }
    if parts.count == 3 {
      guard isPermissions(parts[2]) else { throw CommandFailure("invalid device mode: \(parts[2])") }
      permissions = parts[2]
    }
    guard host.hasPrefix("/"), container.hasPrefix("/") else {
      throw CommandFailure("\"\(text)\" is not an absolute path")
    }
  }
}

/// The keys that leave an attached container running: `ctrl-p,ctrl-q` unless chosen otherwise.
struct DetachKeys: Equatable {
  /// The bytes to be typed one after another; empty switches detaching off.
  var bytes: [UInt8]

  /// ctrl-p ctrl-q.
  static let standard = DetachKeys(bytes: [16, 17])
  /// No keys: detaching is off.
  static let none = DetachKeys(bytes: [])

  private init(bytes: [UInt8]) { self.bytes = bytes }

  /// Reads keys separated by commas: a single letter, or `ctrl-` and one of a-z, @, [, \, ], ^, _.
  init(_ text: String) throws {
    bytes =
      try text.isEmpty
      ? []
      : text.split(separator: ",", omittingEmptySubsequences: false).map { key in
        if key.utf8.count == 1, let byte = key.utf8.first { return byte }
        let parts = key.split(separator: "-", maxSplits: 1)
        if parts.count == 2, parts[0] == "ctrl", parts[1].utf8.count == 1, let byte = parts[1].utf8.first {
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"): return byte - UInt8(ascii: "a") + 1
          case UInt8(ascii: "@"): return 0
          case UInt8(ascii: "[")...UInt8(ascii: "_"): return byte - UInt8(ascii: "[") + 27
          default: break
          }
        }
        throw CommandFailure("invalid detach keys (\(text)): unknown key '\(key)'")
      }
  }
}
