import Faults
import Protocol

/// How a container's output is kept and where else it goes, read from `HostConfig.LogConfig`.
///
/// Every driver but `none` keeps files on this machine: what was asked for, or the cache from which `logs` reads and from
/// which gantry-logger delivers.
struct LogSettings: Sendable, Equatable {
  /// Docker's names.
  enum Driver: String, CaseIterable, Sendable {
    case jsonFile = "json-file"
    case local
    case none
    case journald
    case syslog
    case gelf
    case fluentd
    case splunk
    case awslogs
    case gcplogs

    /// Whether it sends lines away.
    var delivers: Bool {
      switch self {
      case .jsonFile, .local, .none: false
      default: true
      }
    }
  }

  let driver: Driver
  /// Bytes after which a new file is begun; 0 for no limit.
  private(set) var maxSize: Int64
  /// How many files there are at most.
  private(set) var maxFiles: Int
  /// Whether rotated files are compressed.
  private(set) var compress: Bool
  /// Whether the container never waits for a destination.
  private(set) var nonBlocking = false
  /// Bytes that may wait to be delivered.
  private(set) var maxBuffer: Int64 = 1 << 20
  /// Nothing is kept for `logs` beyond what waits to be delivered.
  private(set) var cacheDisabled = false
  let options: [String: String]

  init(_ host: HostConfig) throws {
    let name = host.logConfig?.type ?? ""
    guard let driver = Driver(rawValue: name.isEmpty ? "json-file" : name) else {
      throw Fault(
        .invalidArgument,
        "logger: no log driver named '\(name)' is registered: known are "
          + Driver.allCases.map(\.rawValue).sorted().joined(separator: ", "))
    }
    self.driver = driver
    options = host.logConfig?.config ?? [:]
    (maxSize, maxFiles, compress) = driver == .jsonFile ? (10 << 20, 3, false) : (20 << 20, 5, true)
    for (name, value) in options.sorted(by: { $0.key < $1.key }) { try take(name, value) }
    if options["max-buffer-size"] != nil, !nonBlocking {
      throw Fault(.invalidArgument, "LogConfig: max-buffer-size option is only supported with 'mode=non-blocking'")
    }
    if compress, maxFiles < 2 || maxSize == 0 {
      if options["compress"] == "true" || options["cache-compress"] == "true" {
        throw Fault(
          .invalidArgument, "LogConfig: compress cannot be true when max-file is less than 2 or max-size is not set")
      }
      compress = false
    }
    if driver.delivers {
      if cacheDisabled { (maxSize, maxFiles, compress) = (max(maxBuffer, 1 << 20), 2, false) }
      // A part is only taken away once its successor is full: what waits must fit in the parts that are left.
      maxFiles = max(maxFiles, 2)
      maxBuffer = maxSize == 0 ? maxBuffer : min(maxBuffer, max(maxSize * Int64(maxFiles - 1) / 2, 1))
    }
  }

  private mutating func take(_ name: String, _ value: String) throws {
    guard LogOptionNames.known(to: driver).contains(name) else {
      throw Fault(
        .invalidArgument,
        "LogConfig: unknown log opt '\(name)' for \(driver.rawValue) log driver: known are "
          + LogOptionNames.known(to: driver).sorted().joined(separator: ", "))
    }
    switch name {
    case "max-size", "cache-max-size":
      guard let size = LogSettings.bytes(value), size > 0 || value == "-1" else {
        throw Fault(
          .invalidArgument, "LogConfig: \(name) \"\(value)\" is no size: give such as 10m, or -1 for no limit")
      }
      maxSize = value == "-1" ? 0 : size
    case "max-file", "cache-max-file":
      guard let count = Int(value), (1...1000).contains(count) else {
        throw Fault(.invalidArgument, "LogConfig: \(name) \"\(value)\" is not a number from 1 to 1000")
      }
      maxFiles = count
    case "compress", "cache-compress": compress = try LogSettings.flag(name, value)
    case "cache-disabled": cacheDisabled = try LogSettings.flag(name, value)
    case "max-buffer-size":
      guard let size = LogSettings.bytes(value), size > 0 else {
        throw Fault(.invalidArgument, "LogConfig: error parsing option max-buffer-size: \"\(value)\" is no size")
      }
      maxBuffer = size
    case "mode":
      guard value == "blocking" || value == "non-blocking" || value.isEmpty else {
        throw Fault(
          .invalidArgument, "LogConfig: logging mode not supported: \(value): give blocking or non-blocking")
      }
      nonBlocking = nonBlocking || value == "non-blocking"
    case "fluentd-async", "fluentd-async-connect":
      // Docker's client then keeps a buffer of its own, and drops what does not fit.
      if try LogSettings.flag(name, value) { nonBlocking = true }
    case "fluentd-buffer-limit":
      guard let size = LogSettings.bytes(value), size > 0 else {
        throw Fault(.invalidArgument, "LogConfig: fluentd-buffer-limit \"\(value)\" is no size")
      }
      if options["max-buffer-size"] == nil { maxBuffer = size }
    default: break  // `check` looks at those of the driver, `details` at those of the container
    }
  }

  /// Nothing is kept.
  var disabled: Bool { driver == .none }

  /// Whether `logs` can read what was written.
  var readable: Bool { !disabled && !cacheDisabled }

  /// The file of the newest entries.
  func path(_ files: ContainerFiles) -> String {
    switch driver {
    case .jsonFile, .none: files.log
    case .local: files.localLog
    default: files.cachedLog
    }
  }

  /// What the task service is told to do with the output of a container of this name; nil to keep nothing.
  func taskOptions(_ definition: ContainerDefinition, name: String) throws -> LogOptions? {
    if disabled { return nil }
    let values = LogTag.Values(definition, name: name)
    var labels = try attributes(definition.config)
    var delivery: LogDelivery?
    if driver.delivers {
      let template = options["tag"] ?? (driver == .awslogs ? "{{.FullID}}" : "{{.ID}}")
      delivery = LogDelivery(
        driver: driver.rawValue, options: options, tag: try LogTag.render(template, values), blocking: !nonBlocking,
        maxBuffer: maxBuffer, source: values.source)
    } else if let tag = options["tag"], !tag.isEmpty {
      labels["tag"] = try LogTag.render(tag, values)
    }
    return LogOptions(
      path: path(definition.files), maxSize: maxSize, maxFiles: Int64(maxFiles), labels: labels.isEmpty ? nil : labels,
      format: driver == .jsonFile ? nil : "local", compress: compress ? true : nil, delivery: delivery)
  }

  /// `10m` in bytes; units of 1024.
  static func bytes(_ text: String) -> Int64? {
    var digits = text.lowercased()
    if digits == "-1" { return -1 }
    if digits.hasSuffix("b") { digits.removeLast() }
    if digits.hasSuffix("i") { digits.removeLast() }
    var scale: Double = 1
    if let unit = digits.last, let power = ["k", "m", "g", "t"].firstIndex(of: unit) {
      digits.removeLast()
      for _ in 0...power { scale *= 1024 }
    }
    guard let value = Double(digits), value >= 0, value * scale < 9e18 else { return nil }
    return Int64(value * scale)
  }

  /// Go's words for true and false.
  static func flag(_ name: String, _ value: String) throws -> Bool {
    switch value {
    case "1", "t", "T", "true", "TRUE", "True": return true
    case "0", "f", "F", "false", "FALSE", "False": return false
    default: throw Fault(.invalidArgument, "LogConfig: \(name) \"\(value)\" is neither true nor false")
    }
  }
}
