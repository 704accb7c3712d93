internal import Glibc

/// syslog over a socket of this machine, UDP, TCP, or TCP with TLS: RFC 3164, RFC 5424, or the form of a local syslog.
final class Syslog: Destination {
  /// How a message is written.
  enum Format: String {
    /// `<30>Jan  2 15:04:05 TAG[PID]: text`: what syslog(3) writes.
    case local
    /// The same with this machine's name.
    case rfc3164
    case rfc5424
    /// RFC 5424 with six digits of a second.
    case rfc5424micro
  }

  private enum Transport {
    case link(Link)
    case tls(TLSLink)
  }

  private static let localPaths = ["/dev/log", "/var/run/syslog", "/var/run/log"]
  private static let facilities = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
  ]

  let name: String
  private let transport: Transport
  private let format: Format
  private let facility: Int
  private let tag: String
  private let pid = getpid()
  /// Messages of a stream are ended by a newline, or begin with their length (RFC 5425).
  private let framing: (_ message: [UInt8]) -> [UInt8]

  init(_ options: DeliveryOptions) throws(DeliveryFailure) {
    tag = options.tag
    let address = options["syslog-address"] ?? ""
    name = address.isEmpty ? "syslog" : "syslog \(address)"
    facility = options["syslog-facility"].map { Self.number(ofFacility: $0) } ?? 3
    format = options["syslog-format"].map { Format(rawValue: $0) ?? .rfc3164 } ?? .local
    let parts = address.split(separator: ":", maxSplits: 1)
    let rest = parts.count == 2 ? parts[1].drop { $0 == "/" } : ""
    let path = "/" + rest
    switch parts.first {
    case "udp":
      let (host, port) = LinkAddress.hostAndPort(rest, default: "514")
      transport = .link(Link(.udp(host: host, port: port)))
    case "tcp":
      let (host, port) = LinkAddress.hostAndPort(rest, default: "514")
      transport = .link(Link(.tcp(host: host, port: port)))
    case "tcp+tls":
      let (host, port) = LinkAddress.hostAndPort(rest, default: "6514")
      transport = .tls(
        try TLSLink(
          host: host, port: port, caFile: options["syslog-tls-ca-cert"], certificate: options["syslog-tls-cert"],
          key: options["syslog-tls-key"], skipVerify: options.flag("syslog-tls-skip-verify")))
    case "unix": transport = .link(Link(.unixStream(path)))
    case "unixgram": transport = .link(Link(.unixDatagram(path)))
    default:
      let path = Self.localPaths.first { access($0, F_OK) == 0 } ?? Self.localPaths[0]
      transport = .link(Link(.unixDatagram(path)))
    }
    let counted = parts.first == "tcp+tls" && (format == .rfc5424 || format == .rfc5424micro)
    framing = { counted ? Array("\($0.count) ".utf8) + $0 : $0 + [10] }
  }

  static func number(ofFacility text: String) -> Int {
    if let number = Int(text) { return number }
    if text.hasPrefix("local"), let number = Int(text.dropFirst(5)) { return 16 + number }
    return facilities.firstIndex(of: text) ?? 3
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    switch transport {
    case .link(let link):
      try link.open()
      for event in events {
        try link.send(framing(message(event)))
        taken += 1
      }
    case .tls(let link):
      for event in events {
        try link.send(framing(message(event)))
        taken += 1
      }
    }
  }

  /// One message, without what frames it.
  func message(_ event: LogEvent) -> [UInt8] {
    let priority = facility << 3 | (event.stream == 2 ? 3 : 6)
    let moment = Moment(event.time)
    let head =
      switch format {
      case .local: "<\(priority)>\(moment.stamp) \(tag)[\(pid)]: "
      case .rfc3164: "<\(priority)>\(moment.stamp) \(DeliveryOptions.hostname) \(tag)[\(pid)]: "
      case .rfc5424, .rfc5424micro:
        "<\(priority)>1 \(moment.rfc3339(digits: format == .rfc5424 ? 0 : 6)) \(DeliveryOptions.hostname) \(tag) \(pid) \(tag) - "
      }
    // A newline or NUL inside would end the message early.
    return Array(head.utf8) + event.text.map { $0 == 10 || $0 == 0 ? 32 : $0 }
  }
}
