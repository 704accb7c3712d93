internal import Faults
internal import Glibc
internal import Linux
internal import QuickJSON
internal import SystemPackage

/// Messages: to standard error as plain words, and to `--log` in the form that engines read back to explain a failure.
struct Log {
  private let file: Int32?
  private let json: Bool
  private let isDebug: Bool

  /// Standard error alone.
  init() {
    file = nil
    json = false
    isDebug = false
  }

  /// As the options say. The file is made when missing and appended to.
  init(_ options: GlobalOptions) throws(Fault) {
    json = options.logsJSON
    isDebug = options.debug
    guard let path = options.logFile else {
      file = nil
      return
    }
    do throws(Errno) {
      file = try openat2(nil, path, [.writeOnly, .create, .append], mode: 0o644).take()
    } catch {
      throw Fault(.invalidArgument, "the log \(path) cannot be opened", cause: ["\(error)"])
    }
  }

  /// What the command failed with.
  func error(_ message: String) {
    if let file { write(line("error", message), to: file) }
    write(json && file == nil ? line("error", message) : message, to: 2)
  }

  /// What went wrong without failing the command.
  func warning(_ message: String) {
    if let file {
      write(line("warning", message), to: file)
    } else {
      write(json ? line("warning", message) : message, to: 2)
    }
  }

  /// Said with `--debug` only.
  func debug(_ message: @autoclosure () -> String) {
    guard isDebug else { return }
    write(line("debug", message()), to: file ?? 2)
  }

  private func line(_ level: String, _ message: String) -> String {
    let time = Timestamp.now(withFraction: false)
    guard json else {
      var quoted = CompactJSON()
      quoted.add("m", message)
      // As logrus writes: msg="…" with the escapes that JSON has too.
      return "time=\"\(time)\" level=\(level) msg=\(quoted.object.dropFirst(5).dropLast())"
    }
    var object = CompactJSON()
    object.add("level", level)
    object.add("msg", message)
    object.add("time", time)
    return object.object
  }

  private func write(_ text: String, to descriptor: Int32) {
    let bytes = Array((text + "\n").utf8)
    _ = try? bytes.withUnsafeBytes { try Descriptors.writeAll(descriptor, $0) }
  }
}

/// Moments in RFC 3339.
enum Timestamp {
  /// The present one, in UTC, with or without nanoseconds.
  static func now(withFraction: Bool = true) -> String {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    var parts = tm()
    gmtime_r(&time.tv_sec, &parts)
    func padded(_ number: Int, _ digits: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
    let date = [(Int(parts.tm_year) + 1900, 4), (Int(parts.tm_mon) + 1, 2), (Int(parts.tm_mday), 2)]
    let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec]
    let day = date.map { padded($0.0, $0.1) }.joined(separator: "-")
    let hour = clock.map { padded(Int($0), 2) }.joined(separator: ":")
    return "\(day)T\(hour)" + (withFraction ? "." + padded(time.tv_nsec, 9) : "") + "Z"
  }
}
