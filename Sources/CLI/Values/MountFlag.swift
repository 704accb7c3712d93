/// A `--mount` value: `type=bind,source=/a,target=/b,readonly`.
struct MountFlag: Equatable {
  /// `bind`, `volume`, `tmpfs` or `image`.
  var type = "volume"
  var source: String?
  var target = ""
  var readOnly = false

  // For binds.
  var propagation: String?
  /// Mount only the folder itself, not what is mounted below it.
  var nonRecursive: Bool?
  var createMountpoint: Bool?
  /// How `readonly` treats mounts below: nil is Docker's default, which makes them read-only too.
  var readOnlyNonRecursive: Bool?
  var readOnlyForceRecursive: Bool?

  // For volumes.
  var noCopy: Bool?
  var labels: [String: String] = [:]
  var driver: String?
  var driverOptions: [String: String] = [:]
  var volumeSubpath: String?

  /// For images.
  var imageSubpath: String?

  // For a tmpfs.
  /// Bytes.
  var tmpfsSize: Int64?
  /// Mode of its root.
  var tmpfsMode: Int64?

  /// Reads one value, in the comma-separated form of Docker.
  init(_ text: String, workingDirectory: @autoclosure () -> String) throws {
    for field in try CommaSeparated.fields(text) {
      let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      try take(parts[0].lowercased(), parts.count == 2 ? parts[1] : nil, field: field)
    }
    guard !target.isEmpty else { throw CommandFailure("target is required") }
    guard target.hasPrefix("/") else { throw CommandFailure("target \"\(target)\" must be an absolute path") }
    try checkSource(workingDirectory())
    try checkOptions()
  }

  private mutating func checkSource(_ workingDirectory: String) throws {
    switch type {
    case "tmpfs":
      if let source { throw CommandFailure("a tmpfs has no source, and \"\(source)\" is given") }
    case "bind":
      guard let source, !source.isEmpty else { throw CommandFailure("source is required for a bind mount") }
      self.source = source.hasPrefix(".") ? AbsolutePath.join(workingDirectory, source) : source
      guard source.hasPrefix("/") || source.hasPrefix(".") else {
        throw CommandFailure("source \"\(source)\" must be an absolute path")
      }
    case "image":
      guard let source, !source.isEmpty else { throw CommandFailure("source is required for an image mount") }
    default: break
    }
  }

  private func checkOptions() throws {
    let given: [(kind: String, isGiven: Bool)] = [
      ("bind", hasBindOptions), ("volume", hasVolumeOptions), ("image", imageSubpath != nil),
      ("tmpfs", tmpfsSize != nil || tmpfsMode != nil),
    ]
    if let other = given.first(where: { $0.isGiven && $0.kind != type }) {
      throw CommandFailure("cannot mix '\(other.kind)-*' options with mount type '\(type)'")
    }
    if readOnlyNonRecursive ?? false, !readOnly {
      throw CommandFailure("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
    }
    if readOnlyForceRecursive ?? false {
      guard readOnly else {
        throw CommandFailure("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
      }
      guard propagation == "rprivate" else {
        throw CommandFailure(
          "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
      }
    }
  }

  private var hasBindOptions: Bool {
    propagation != nil || nonRecursive != nil || createMountpoint != nil || readOnlyNonRecursive != nil
      || readOnlyForceRecursive != nil
  }

  private var hasVolumeOptions: Bool {
    noCopy != nil || !labels.isEmpty || driver != nil || !driverOptions.isEmpty || volumeSubpath != nil
  }

  private mutating func take(_ key: String, _ value: String?, field: String) throws {
    func text() throws -> String {
      guard let value else { throw CommandFailure("invalid field '\(field)' must be a key=value pair") }
      return value
    }
    func truth() throws -> Bool {
      switch value {
      case nil, "1", "t", "T", "true", "True", "TRUE": return true
      case "0", "f", "F", "false", "False", "FALSE": return false
      default: throw CommandFailure("invalid value for \(key): \(value ?? "")")
      }
    }
    switch key {
    case "type":
      type = try text().lowercased()
      guard ["bind", "volume", "tmpfs", "image"].contains(type) else {
        throw CommandFailure("mount type \"\(type)\" is not known: it is bind, volume, tmpfs or image")
      }
    case "source", "src": source = try text()
    case "target", "dst", "destination": target = try text()
    case "readonly", "ro": readOnly = try truth()
    case "bind-propagation": propagation = try text().lowercased()
    case "bind-nonrecursive": nonRecursive = try truth()
    case "bind-recursive": try takeRecursion(text())
    case "bind-create-mountpoint", "bind-create-src": createMountpoint = try truth()
    case "volume-nocopy": noCopy = try truth()
    case "volume-label": try take(&labels, text())
    case "volume-driver": driver = try text()
    case "volume-opt": try take(&driverOptions, text())
    case "volume-subpath": volumeSubpath = try text()
    case "image-subpath": imageSubpath = try text()
    case "tmpfs-size": tmpfsSize = try Quantity.bytes(text())
    case "tmpfs-mode":
      guard let mode = Int64(try text(), radix: 8), mode >= 0 else {
        throw CommandFailure("invalid value for tmpfs-mode: \(field)")
      }
      tmpfsMode = mode
    case "consistency": _ = try text()
    default: throw CommandFailure("unexpected key '\(key)' in '\(field)'")
    }
  }

  private func take(_ map: inout [String: String], _ text: String) throws {
    let (name, value) = try KeyValues.pair(text)
    map[name] = value
  }

  private mutating func takeRecursion(_ value: String) throws {
    switch value {
    case "enabled": break
    case "disabled": nonRecursive = true
    case "writable": readOnlyNonRecursive = true
    case "readonly": readOnlyForceRecursive = true
    default:
      throw CommandFailure(
        "invalid value for bind-recursive: \(value) (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")")
    }
  }
}
