internal import LogFormat
internal import Protocol

/// One entry on its way to a destination.
struct LogEvent: Equatable {
  /// What the container wrote, without the newline; not always UTF-8.
  var text: [UInt8]
  /// 1 standard output, 2 standard error.
  var stream: UInt8
  /// Nanoseconds since 1970.
  var time: Int64
  /// The line goes on in the next event.
  var continues = false
  /// 0 for a whole line, else the how-manieth piece of a long one.
  var part: UInt16 = 0

  /// `stdout` or `stderr`.
  var source: String { stream == 2 ? "stderr" : "stdout" }
  /// The text as Unicode; what is none becomes U+FFFD.
  var string: String { String(decoding: text, as: UTF8.self) }
}

/// Why events were not taken.
enum DeliveryFailure: Error, Equatable {
  /// The destination is not there, or wants us to come back: to be tried again.
  case away(String)
  /// It will never take the event that comes next.
  case refused(String)

  var words: String {
    switch self {
    case .away(let words), .refused(let words): words
    }
  }
}

/// A place where log entries go. The life of one: made from the options, then `send` again and again on one thread; it connects
/// when it first has to, and again after a failure.
protocol Destination: AnyObject {
  /// For people: `syslog udp://10.0.0.1:514`.
  var name: String { get }
  /// How long (milliseconds) events are gathered before they are sent.
  var linger: Int { get }
  /// How many events, and bytes of text, one `send` takes at most.
  var batch: (events: Int, bytes: Int) { get }
  /// The first pause (milliseconds) after a failure; it doubles up to ten seconds, or stays where it is longer.
  var pause: Int { get }
  /// Sends `events` in order. `taken` counts those that are delivered, also when it fails.
  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure)
}

extension Destination {
  var linger: Int { 0 }
  var pause: Int { 100 }
  var batch: (events: Int, bytes: Int) { (1000, 256 << 10) }
}

/// What a driver is made from.
struct DeliveryOptions {
  let delivery: LogDelivery
  /// The labels, variables that were chosen for the container.
  let attributes: [String: String]

  /// An option; nil when it is absent or empty.
  subscript(name: String) -> String? {
    guard let value = delivery.options[name], !value.isEmpty else { return nil }
    return value
  }

  /// Whether an option is true, in Go's words.
  func flag(_ name: String, default other: Bool = false) -> Bool {
    guard let value = self[name] else { return other }
    return ["1", "t", "T", "true", "TRUE", "True"].contains(value)
  }

  var tag: String { delivery.tag }
  var source: LogSource { delivery.source }

  /// This machine's name.
  static let hostname = HostName.current

  /// The destination that the driver's name means. Fails with words for the person who reads the log of the task service.
  func destination() throws(DeliveryFailure) -> any Destination {
    switch delivery.driver {
    case "journald": Journald(self)
    case "syslog": try Syslog(self)
    case "gelf": try GELF(self)
    case "fluentd": try Fluentd(self)
    case "splunk": try Splunk(self)
    case "awslogs": try AWSLogs(self)
    case "gcplogs": try GCPLogs(self)
    default: throw .refused("there is no log driver \(delivery.driver)")
    }
  }
}
