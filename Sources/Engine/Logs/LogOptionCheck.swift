import Faults
import Protocol

/// The names of log options, by driver, as Docker has them.
enum LogOptionNames {
  private static let mode: Set<String> = ["mode", "max-buffer-size"]
  private static let rotation: Set<String> = ["max-size", "max-file", "compress"]
  private static let cache: Set<String> = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"]
  private static let chosen: Set<String> = ["labels", "labels-regex", "env", "env-regex"]

  /// Every name that `driver` takes.
  static func known(to driver: LogSettings.Driver) -> Set<String> {
    switch driver {
    case .none: mode
    case .jsonFile: mode.union(rotation).union(chosen).union(["tag"])
    case .local: mode.union(rotation)
    case .journald: delivering(["tag"])
    case .syslog:
      delivering([
        "tag", "syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert",
        "syslog-tls-key", "syslog-tls-skip-verify",
      ])
    case .gelf:
      delivering([
        "tag", "gelf-address", "gelf-compression-type", "gelf-compression-level", "gelf-tcp-max-reconnect",
        "gelf-tcp-reconnect-delay",
      ])
    case .fluentd:
      delivering([
        "tag", "fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-async-reconnect-interval",
        "fluentd-buffer-limit", "fluentd-max-retries", "fluentd-request-ack", "fluentd-retry-wait",
        "fluentd-sub-second-precision", "fluentd-read-timeout", "fluentd-write-timeout",
      ])
    case .splunk:
      delivering([
        "tag", "splunk-url", "splunk-token", "splunk-source", "splunk-sourcetype", "splunk-index", "splunk-capath",
        "splunk-caname", "splunk-insecureskipverify", "splunk-format", "splunk-verify-connection", "splunk-gzip",
        "splunk-gzip-level", "splunk-index-acknowledgment",
      ])
    case .awslogs:
      delivering([
        "tag", "awslogs-region", "awslogs-endpoint", "awslogs-group", "awslogs-stream", "awslogs-create-group",
        "awslogs-create-stream", "awslogs-datetime-format", "awslogs-multiline-pattern",
        "awslogs-credentials-endpoint", "awslogs-force-flush-interval-seconds", "awslogs-max-buffered-events",
        "awslogs-format",
      ])
    case .gcplogs: delivering(["gcp-project", "gcp-log-cmd", "gcp-meta-zone", "gcp-meta-name", "gcp-meta-id"])
    }
  }

  private static func delivering(_ own: Set<String>) -> Set<String> { own.union(mode).union(cache).union(chosen) }
}

extension LogSettings {
  /// Facilities of RFC 5424, in the order of their numbers.
  static let facilities = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
  ]

  /// Refuses values that a driver cannot have, when the container is created.
  func check() throws {
    for pattern in ["labels-regex", "env-regex"] {
      guard let text = options[pattern], !text.isEmpty else { continue }
      guard (try? Regex(text)) != nil else { throw refusal(pattern, "is no regular expression") }
    }
    if let tag = options["tag"] { try LogTag.check(tag) }
    switch driver {
    case .jsonFile, .local, .none, .journald, .gcplogs: break
    case .syslog: try checkSyslog()
    case .gelf: try checkGELF()
    case .fluentd: try checkFluentd()
    case .splunk: try checkSplunk()
    case .awslogs: try checkAWS()
    }
  }

  private func refusal(_ name: String, _ words: String) -> Fault {
    Fault(.invalidArgument, "LogConfig: \(name) \"\(options[name] ?? "")\" \(words)")
  }

  private func requireScheme(_ name: String, _ schemes: [String]) throws {
    guard let value = options[name], !value.isEmpty else { return }
    let scheme = value.split(separator: ":", maxSplits: 1).first.map(String.init) ?? ""
    guard value.contains("://"), schemes.contains(scheme) else {
      throw refusal(name, "is no address: give \(schemes.map { "\($0)://…" }.joined(separator: ", "))")
    }
  }

  private func requireOne(of values: [String], _ name: String) throws {
    guard let value = options[name], !value.isEmpty, !values.contains(value) else { return }
    throw refusal(name, "is not one of \(values.joined(separator: ", "))")
  }

  private func requireNumber(_ name: String, _ range: ClosedRange<Int>) throws {
    guard let value = options[name], Int(value).map(range.contains) != true else { return }
    throw refusal(name, "is not a number from \(range.lowerBound) to \(range.upperBound)")
  }

  private func requireFlags(_ names: String...) throws {
    for name in names { if let value = options[name] { _ = try LogSettings.flag(name, value) } }
  }

  private func requireDurations(_ names: String...) throws {
    for name in names where options[name] != nil && LogDuration.milliseconds(options[name] ?? "") == nil {
      throw refusal(name, "is no length of time: give such as 500ms or 2s")
    }
  }

  private func checkSyslog() throws {
    try requireScheme("syslog-address", ["unix", "unixgram", "udp", "tcp", "tcp+tls"])
    try requireOne(of: ["rfc3164", "rfc5424", "rfc5424micro"], "syslog-format")
    let names = LogSettings.facilities + (0...7).map { "local\($0)" }
    if let facility = options["syslog-facility"], !names.contains(facility),
      Int(facility).map((0...23).contains) != true
    {
      throw refusal("syslog-facility", "is not one of \(names.joined(separator: ", ")), nor a number from 0 to 23")
    }
  }

  private func checkGELF() throws {
    guard options["gelf-address"] != nil else {
      throw Fault(.invalidArgument, "LogConfig: gelf-address is a required parameter: give udp://HOST:PORT or tcp://…")
    }
    try requireScheme("gelf-address", ["udp", "tcp"])
    let tcp = options["gelf-address"]?.hasPrefix("tcp://") ?? false
    try requireOne(of: ["gzip", "zlib", "none"], "gelf-compression-type")
    try requireNumber("gelf-compression-level", -1...9)
    try requireNumber("gelf-tcp-max-reconnect", 0...Int(Int32.max))
    try requireNumber("gelf-tcp-reconnect-delay", 0...86_400)
    for name in ["gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"] where options[name] != nil && !tcp {
      throw refusal(name, "needs a gelf-address of tcp://")
    }
    for name in ["gelf-compression-type", "gelf-compression-level"] where options[name] != nil && tcp {
      throw refusal(name, "needs a gelf-address of udp://: over TCP nothing is compressed")
    }
  }

  private func checkFluentd() throws {
    if let address = options["fluentd-address"], address.contains("://") {
      try requireScheme("fluentd-address", ["tcp", "tls", "unix"])
    }
    try requireFlags("fluentd-async", "fluentd-async-connect", "fluentd-request-ack", "fluentd-sub-second-precision")
    if options["fluentd-async"] != nil, options["fluentd-async-connect"] != nil {
      throw Fault(.invalidArgument, "LogConfig: fluentd-async-connect is the old name of fluentd-async: give one")
    }
    try requireDurations(
      "fluentd-retry-wait", "fluentd-async-reconnect-interval", "fluentd-read-timeout", "fluentd-write-timeout")
    try requireNumber("fluentd-max-retries", 0...Int(Int32.max))
  }

  private func checkSplunk() throws {
    for name in ["splunk-url", "splunk-token"] where options[name]?.isEmpty ?? true {
      throw Fault(.invalidArgument, "LogConfig: splunk: \(name) is expected")
    }
    try requireScheme("splunk-url", ["http", "https"])
    try requireOne(of: ["inline", "json", "raw"], "splunk-format")
    try requireFlags(
      "splunk-insecureskipverify", "splunk-verify-connection", "splunk-gzip", "splunk-index-acknowledgment")
    try requireNumber("splunk-gzip-level", -1...9)
    if options["splunk-index-acknowledgment"].map({ (try? LogSettings.flag("", $0)) == true }) == true {
      throw Fault(.unsupported, "LogConfig: splunk-index-acknowledgment: Gantry does not ask for acknowledgments")
    }
  }

  private func checkAWS() throws {
    guard options["awslogs-group"]?.isEmpty == false else {
      throw Fault(.invalidArgument, "LogConfig: awslogs-group is a required parameter: name the log group")
    }
    try requireScheme("awslogs-endpoint", ["http", "https"])
    try requireFlags("awslogs-create-group", "awslogs-create-stream")
    try requireNumber("awslogs-force-flush-interval-seconds", 1...86_400)
    try requireNumber("awslogs-max-buffered-events", 1...1_000_000)
    try requireOne(of: ["json/emf"], "awslogs-format")
    for name in ["awslogs-datetime-format", "awslogs-multiline-pattern"] where options[name] != nil {
      throw Fault(.unsupported, "LogConfig: \(name): Gantry sends each line as an event of its own")
    }
  }
}

/// Go's lengths of time: `1h2m3.5s`, `500ms`.
enum LogDuration {
  private static let units: [(String, Double)] = [
    ("ms", 1), ("us", 0.001), ("µs", 0.001), ("ns", 0.000_001), ("h", 3_600_000), ("m", 60_000), ("s", 1000),
  ]

  /// Milliseconds; nil when it is none. A plain number is taken as milliseconds.
  static func milliseconds(_ text: String) -> Int? {
    if let plain = Int(text), plain >= 0 { return plain }
    var rest = Substring(text)
    var total = 0.0
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isNumber || $0 == "." }
      rest = rest.dropFirst(digits.count)
      guard let number = Double(digits), let unit = units.first(where: { rest.hasPrefix($0.0) }) else { return nil }
      total += number * unit.1
      rest = rest.dropFirst(unit.0.count)
    }
    return text.isEmpty || total > 1e12 ? nil : Int(total)
  }
}
