/// The log of a container's init: two encoders, one buffer, one rotating file. Execs are not logged, as in Docker.
final class ContainerLog {
  private let file: RotatingLog
  private let buffer: LogBuffer
  private let stdout: LogEncoder
  private let stderr: LogEncoder

  /// Opens the log that `options` names; `onRotate` is told when a new file was begun.
  init(_ options: LogOptions, onRotate: @escaping () -> Void) {
    let file = RotatingLog(
      path: options.path, maxSize: Int(options.maxSize ?? LogOptions.defaultMaxSize),
      maxFiles: Int(options.maxFiles ?? LogOptions.defaultMaxFiles), attributes: options.attributes)
    file.onRotate = onRotate
    self.file = file
    buffer = LogBuffer { file.write($0) }
    stdout = LogEncoder(stream: "stdout", attributes: options.attributes)
    stderr = LogEncoder(stream: "stderr", attributes: options.attributes)
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
