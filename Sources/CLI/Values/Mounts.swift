/// A `-v` value: what is bound to where.
struct BindFlag: Equatable {
  /// `source:target[:options]`, the source absolute; or a path alone for an anonymous volume.
  var text: String

  /// Reads `SOURCE:TARGET[:OPTIONS]`; a source that begins with a dot is taken from `workingDirectory`.
  init(_ text: String, workingDirectory: @autoclosure () -> String) throws {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count >= 2 else {
      throw CommandFailure.unbuilt("--volume \(text)", .volumes)
    }
    guard parts.count <= 3, !parts[0].isEmpty, !parts[1].isEmpty else {
      throw CommandFailure("invalid spec: \(text): it must be SOURCE:TARGET or SOURCE:TARGET:OPTIONS")
    }
    guard parts[1].hasPrefix("/") else {
      throw CommandFailure("invalid spec: \(text): the path in the container must be absolute")
    }
    guard parts[1] != "/" else {
      throw CommandFailure("invalid spec: \(text): the path in the container cannot be '/'")
    }
    var source = String(parts[0])
    if source.hasPrefix(".") {
      source = AbsolutePath.join(workingDirectory(), source)
    } else if !source.hasPrefix("/") {
      throw CommandFailure.unbuilt("--volume \(text)", .volumes)
    }
    let options = parts.count == 3 ? ":" + parts[2] : ""
    for option in parts.count == 3 ? parts[2].split(separator: ",") : [] where !Self.options.contains(String(option)) {
      throw CommandFailure("invalid spec: \(text): unknown option \"\(option)\"")
    }
    self.text = "\(source):\(parts[1])\(options)"
  }

  private static let options: Set<String> = [
    "ro", "rw", "z", "Z", "nocopy", "shared", "rshared", "slave", "rslave", "private", "rprivate", "delegated",
    "cached", "consistent", "bind-nonrecursive",
  ]
}

/// Absolute paths, put together by their words alone.
enum AbsolutePath {
  /// `relative` taken from `base`, with `.` and `..` resolved in the text.
  static func join(_ base: String, _ relative: String) -> String {
    if relative.hasPrefix("/") { return clean(relative) }
    return clean(base + "/" + relative)
  }

  private static func clean(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }
}

/// A `--mount` value: `type=bind,source=/a,target=/b,readonly`.
struct MountFlag: Equatable {
  /// `bind` or `tmpfs`.
  var type = ""
  var source: String?
  var target = ""
  var readOnly = false
  var propagation: String?
  /// Mount only the folder itself, not what is mounted below it.
  var nonRecursive: Bool?
  var createMountpoint: Bool?
  /// How `readonly` treats mounts below: nil is Docker's default (as far as the kernel can).
  var readOnlyNonRecursive: Bool?
  var readOnlyForceRecursive: Bool?
  /// Size of a tmpfs in bytes.
  var tmpfsSize: Int64?
  /// Mode of a tmpfs's root.
  var tmpfsMode: Int64?

  /// Reads one value, in the comma-separated form of Docker.
  init(_ text: String, workingDirectory: @autoclosure () -> String) throws {
    type = "volume"
    for field in try CommaSeparated.fields(text) {
      let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      try take(parts[0].lowercased(), parts.count == 2 ? parts[1] : nil, field: field)
    }
    guard type != "volume" else { throw CommandFailure.unbuilt("--mount type=volume", .volumes) }
    guard !target.isEmpty else { throw CommandFailure("target is required") }
    guard target.hasPrefix("/") else { throw CommandFailure("target \"\(target)\" must be an absolute path") }
    try checkSource(workingDirectory())
    if tmpfsSize != nil || tmpfsMode != nil, type != "tmpfs" {
      throw CommandFailure("cannot mix 'tmpfs-*' options with mount type '\(type)'")
    }
    if propagation != nil || nonRecursive != nil, type != "bind" {
      throw CommandFailure("cannot mix 'bind-*' options with mount type '\(type)'")
    }
  }

  private mutating func checkSource(_ workingDirectory: String) throws {
    guard type == "bind" else {
      if let source { throw CommandFailure("a tmpfs has no source, and \"\(source)\" is given") }
      return
    }
    guard let source, !source.isEmpty else { throw CommandFailure("source is required for a bind mount") }
    self.source = source.hasPrefix(".") ? AbsolutePath.join(workingDirectory, source) : source
    guard source.hasPrefix("/") || source.hasPrefix(".") else {
      throw CommandFailure("source \"\(source)\" must be an absolute path")
    }
  }

  private mutating func take(_ key: String, _ value: String?, field: String) throws {
    func text() throws -> String {
      guard let value else { throw CommandFailure("invalid field '\(field)' must be a key=value pair") }
      return value
    }
    func truth() throws -> Bool {
      switch value {
      case nil, "1", "true", "True", "TRUE": return true
      case "0", "false", "False", "FALSE": return false
      default: throw CommandFailure("invalid value for \(key): \(value ?? "")")
      }
    }
    switch key {
    case "type":
      type = try text().lowercased()
      guard ["bind", "tmpfs", "volume"].contains(type) else {
        throw CommandFailure("mount type \"\(type)\" is not built yet: use bind or tmpfs")
      }
    case "source", "src": source = try text()
    case "target", "dst", "destination": target = try text()
    case "readonly", "ro": readOnly = try truth()
    case "bind-propagation": propagation = try text()
    case "bind-nonrecursive": nonRecursive = try truth()
    case "bind-recursive": try takeRecursion(text())
    case "bind-create-mountpoint", "bind-create-src": createMountpoint = try truth()
    case "tmpfs-size": tmpfsSize = try Quantity.bytes(text())
    case "tmpfs-mode":
      guard let mode = Int64(try text(), radix: 8) else {
        throw CommandFailure("invalid value for tmpfs-mode: \(field)")
      }
      tmpfsMode = mode
    case "consistency": _ = try text()
    case "volume-label", "volume-nocopy", "volume-driver", "volume-opt", "volume-subpath", "image-subpath":
      throw CommandFailure.unbuilt("--mount \(key)", .volumes)
    default: throw CommandFailure("unexpected key '\(key)' in '\(field)'")
    }
  }

  private mutating func takeRecursion(_ value: String) throws {
    switch value {
    case "enabled": break
    case "disabled": nonRecursive = true
    case "writable": readOnlyNonRecursive = true
    case "readonly": readOnlyForceRecursive = true
    default:
      throw CommandFailure("invalid value for bind-recursive: \(value) (enabled, disabled, writable or readonly)")
    }
  }
}

/// One line of comma-separated values, with quotes as in RFC 4180.
enum CommaSeparated {
  /// The fields of `text`.
  static func fields(_ text: String) throws -> [String] {
    var fields: [String] = []
    var field = ""
    var quoted = false
    var rest = text[...]
    while let character = rest.popFirst() {
      switch (character, quoted) {
      case ("\"", true) where rest.first == "\"":
        field.append("\"")
        rest.removeFirst()
      case ("\"", true): quoted = false
      case ("\"", false) where field.isEmpty: quoted = true
      case (",", false):
        fields.append(field)
        field = ""
      default: field.append(character)
      }
    }
    guard !quoted else { throw CommandFailure("a quotation mark is not closed in '\(text)'") }
    return fields + [field]
  }
}
