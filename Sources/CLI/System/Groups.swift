internal import Linux

/// Groups of this machine, from /etc/group alone: a static program has no name service to ask.
enum Groups {
  /// `gantry`, where that group exists.
  static var standard: String? { number("gantry") == nil ? nil : "gantry" }

  /// The number of a group; nil when there is none of that name.
  static func number(_ name: String) -> UInt32? {
    let text = (try? Files.readText("/etc/group", limit: 1 << 20)) ?? ""
    for line in text.split(separator: "\n") where line.hasPrefix(name + ":") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      return fields.count > 2 ? UInt32(fields[2]) : nil
    }
    return nil
  }
}
