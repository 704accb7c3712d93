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

/// A `--device` value: `HOST[:CONTAINER[:PERMISSIONS]]`.
struct DeviceFlag: Equatable {
  var host: String
  var container: String
  /// A choice of `r`, `w` and `m` (mknod).
  var permissions: String

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
