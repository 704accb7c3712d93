internal import Faults
internal import Glibc
internal import Linux

/// Standard output and standard error.
enum Output {
  /// Writes `text` to standard output.
  static func write(_ text: String) { write(text, to: STDOUT_FILENO) }

  /// Writes `text` to standard error.
  static func note(_ text: String) { write(text, to: STDERR_FILENO) }

  /// Writes `gantry: ` and `text` to standard error.
  static func fail(_ text: String) { note("gantry: " + text) }

  /// The words of a failure: its message, and its causes where they add to it.
  static func words(of fault: Fault, debug: Bool = true) -> String {
    var parts = [fault.message]
    for cause in fault.cause where !cause.isEmpty && !fault.message.contains(cause) { parts.append(cause) }
    return (debug ? parts + ["(\(fault.code.rawValue))"] : parts).joined(separator: ": ")
  }

  /// Whether moving lines may be used on `descriptor`.
  static func isTerminal(_ descriptor: Int32 = STDOUT_FILENO) -> Bool { Terminal.isTerminal(descriptor) }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
      // What cannot be written to a closed pipe has no reader; SIGPIPE ends the process before that.
      try? Descriptors.writeAll(descriptor, UnsafeRawBufferPointer(bytes))
    }
  }
}
