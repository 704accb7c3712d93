internal import Glibc
public import Logging

/// Writes one line an event to standard error: `2026-11-24T02:00:00.123Z info gantry-imaged: audit method=image.tag uid=0`.
public struct ServiceLog: LogHandler {
  /// Goes with every line.
  public var metadata: Logger.Metadata = [:]
  /// Lines below this are not written.
  public var logLevel: Logger.Level
  private let label: String

  /// Lines of `label`, from `level` on.
  public init(label: String, level: Logger.Level = .info) {
    self.label = label
    logLevel = level
  }

  /// One value that goes with every line.
  public subscript(metadataKey key: String) -> Logger.MetadataValue? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  /// Writes one line with a single call, so that lines of several threads do not mix.
  public func log(event: LogEvent) {
    var line = Self.time() + " \(event.level) \(label): " + Self.clean("\(event.message)")
    let all = event.metadata.map { metadata.merging($0) { _, new in new } } ?? metadata
    for (key, value) in all.sorted(by: { $0.key < $1.key }) {
      let text = Self.clean("\(value)")
      line += " \(key)=" + (text.contains(" ") ? "\"\(text)\"" : text)
    }
    line += "\n"
    var text = line
    text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// No line breaks and no control characters: text of others cannot look like a line of ours.
  private static func clean(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) { return String(text.prefix(4096)) }
    return String(text.prefix(4096).map { $0.isNewline || ($0.asciiValue ?? 0x20) < 0x20 || $0 == "\u{7F}" ? " " : $0 })
  }

  private static func time() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var parts = tm()
    gmtime_r(&now.tv_sec, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):"
      + "\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
  }
}
