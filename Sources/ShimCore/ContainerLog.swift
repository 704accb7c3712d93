internal import FoundationEssentials
internal import Protocol

/// The log of a container's init: two encoders, one buffer, one rotating file. Execs are not logged, as in Docker.
final class ContainerLog {
  private let file: RotatingLog
  private let buffer: LogBuffer
  private let stdout: LogEncoder
  private let stderr: LogEncoder

  /// Opens the log that `options` names; `onRotate` is told when a new file was begun.
  init(_ options: LogOptions, onRotate: @escaping () -> Void) {
    let attributes = Self.attributes(options.labels ?? [:])
    let file = RotatingLog(
      path: options.path, maxSize: Int(options.maxSize), maxFiles: Int(options.maxFiles),
      attributes: attributes)
    file.onRotate = onRotate
    self.file = file
    buffer = LogBuffer { file.write($0) }
    stdout = LogEncoder(stream: "stdout", attributes: attributes)
    stderr = LogEncoder(stream: "stderr", attributes: attributes)
  }

  /// Labels as the JSON object of each entry's `attrs`, in order of their names; empty for none.
  private static func attributes(_ labels: [String: String]) -> String {
    guard !labels.isEmpty else { return "" }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(labels)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Takes output of stream 1 or 2, read at `time`; `flush` writes it.
  func append(_ stream: UInt8, _ bytes: UnsafeRawBufferPointer, time: LogTime) {
    (stream == 1 ? stdout : stderr).append(bytes, time: time, into: buffer)
  }

  /// The stream has ended: its last line needs no newline.
  func finish(_ stream: UInt8) { (stream == 1 ? stdout : stderr).finish(time: .now(), into: buffer) }

  func flush() { buffer.flush() }

  func releaseIdleMemory() {
    buffer.releaseIdleMemory()
    stdout.releaseIdleMemory()
    stderr.releaseIdleMemory()
  }
}
