internal import FoundationEssentials
internal import Protocol

/// The log of a container's init: two encoders, one buffer, one rotating file. Execs are not logged, as in Docker.
final class ContainerLog {
  private let options: LogOptions
  private let file: RotatingLog
  private let buffer: LogBuffer
  private let stdout: LogEncoder
  private let stderr: LogEncoder
  private var compressor: LogCompressor?
  private var delivery: LogDeliveryLink?

  /// Opens the log that `options` names; `onRotate` is told when a new file was begun.
  init(_ options: LogOptions, onRotate: @escaping () -> Void) {
    self.options = options
    let format: LogFileFormat = options.format == "local" ? .records : .lines
    let attributes = Self.attributes(options.labels ?? [:])
    let file = RotatingLog(
      path: options.path, maxSize: Int(options.maxSize), maxFiles: Int(options.maxFiles), format: format,
      attributes: attributes)
    self.file = file
    buffer = LogBuffer { file.write($0) }
    stdout = LogEncoder(stream: "stdout", format: format, attributes: attributes)
    stderr = LogEncoder(stream: "stderr", format: format, attributes: attributes)
    file.onRotate = { [unowned self] in
      compressor?.rotated()
      onRotate()
    }
  }

  /// Starts what needs a process beside the shim; `logger` is gantry-logger. `onRoom` is called when a
  /// container that was held back may go on.
  func begin(folder: TaskFolder, logger: LoggerProgram?, loop: EventLoop, onRoom: @escaping () -> Void) {
    guard let logger else { return }
    if options.compress == true { compressor = LogCompressor(file: file, program: logger.path) }
    if let wanted = options.delivery {
      delivery = LogDeliveryLink(file: file, delivery: wanted, folder: folder, program: logger, loop: loop)
      delivery?.onRoom = onRoom
    }
  }

  /// Whether the container must wait for the delivery of its log.
  var isCongested: Bool { delivery?.isCongested(buffer.count) ?? false }

  /// How many bytes of output may be read at once.
  var readable: Int { delivery?.readable(buffer.count) ?? .max }

  /// Whether a part is being compressed.
  var isBusy: Bool { compressor?.isBusy ?? false }

  /// Takes the end of a child of the shim; false when it is none of ours.
  func childEnded(_ pid: Int32, code: Int32) -> Bool {
    compressor?.childEnded(pid, code: code) ?? false || delivery?.childEnded(pid) ?? false
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

  func flush() {
    buffer.flush()
    delivery?.grown()
  }

  func releaseIdleMemory() {
    buffer.releaseIdleMemory()
    stdout.releaseIdleMemory()
    stderr.releaseIdleMemory()
  }
}
