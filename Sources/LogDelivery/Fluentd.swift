internal import Glibc

/// Fluentd's forward protocol: `[tag, [[time, record], …], options]` in MessagePack, over TCP, TLS or a socket of this machine.
final class Fluentd: Destination {
  private enum Transport {
    case link(Link)
    case tls(TLSLink)
  }

  let name: String
  private let transport: Transport
  private let tag: String
  private let subSecond: Bool
  private let acknowledged: Bool
  private let readMilliseconds: Int32
  private let tries: Int
  let pause: Int
  private let source: (id: String, name: String)
  private let extra: [(name: String, value: String)]
  private var failures = 0
  /// What the pieces of the long line that is being sent have in common.
  private var partialID = ""

  init(_ options: DeliveryOptions) throws(DeliveryFailure) {
    let address = options["fluentd-address"] ?? "127.0.0.1:24224"
    name = "fluentd \(address)"
    tag = options.tag
    subSecond = options.flag("fluentd-sub-second-precision")
    acknowledged = options.flag("fluentd-request-ack")
    let writeLimit = Self.milliseconds(options["fluentd-write-timeout"]) ?? 10_000
    readMilliseconds = Int32(clamping: Self.milliseconds(options["fluentd-read-timeout"]) ?? 10_000)
    pause = max(
      1, Self.milliseconds(options["fluentd-retry-wait"] ?? options["fluentd-async-reconnect-interval"]) ?? 1000)
    tries = options["fluentd-max-retries"].flatMap { Int($0) } ?? .max
    source = (options.source.id, options.source.name)
    extra = options.attributes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    if address.hasPrefix("unix://") {
      transport = .link(Link(.unixStream(String(address.dropFirst(7))), writeMilliseconds: Int32(clamping: writeLimit)))
    } else {
      let rest = address.firstRange(of: "://").map { address[$0.upperBound...] } ?? address[...]
      let (host, port) = LinkAddress.hostAndPort(rest, default: "24224")
      if address.hasPrefix("tls://") {
        transport = .tls(
          try TLSLink(host: host, port: port, caFile: nil, certificate: nil, key: nil, skipVerify: false))
      } else {
        transport = .link(Link(.tcp(host: host, port: port), writeMilliseconds: Int32(clamping: writeLimit)))
      }
    }
  }

  /// Go's lengths of time, of one unit; a plain number is milliseconds.
  static func milliseconds(_ text: String?) -> Int? {
    guard let text else { return nil }
    let digits = text.prefix { $0.isNumber || $0 == "." }
    guard let value = Double(digits) else { return nil }
    switch text.dropFirst(digits.count) {
    case "", "ms": return Int(value)
    case "s": return Int(value * 1000)
    case "m": return Int(value * 60_000)
    case "h": return Int(value * 3_600_000)
    default: return nil
    }
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    do throws(DeliveryFailure) {
      let chunk = acknowledged ? Self.randomID() : nil
      let message = message(events, chunk: chunk)
      switch transport {
      case .link(let link):
        try link.open()
        try link.send(message)
      case .tls(let link): try link.send(message, milliseconds: 10_000)
      }
      if let chunk { try expect(chunk) }
      taken = events.count
      failures = 0
    } catch {
      failures += 1
      if case .away(let words) = error, failures > tries {
        failures = 0
        throw .refused("\(words), \(tries) times in a row (fluentd-max-retries)")
      }
      throw error
    }
  }

  /// Waits for `{"ack": chunk}`.
  private func expect(_ chunk: String) throws(DeliveryFailure) {
    let answer =
      switch transport {
      case .link(let link): try link.receive(milliseconds: readMilliseconds)
      case .tls(let link): try link.receive(milliseconds: readMilliseconds)
      }
    var expected = MessagePack()
    expected.map(1)
    expected.string("ack")
    expected.string(chunk)
    guard answer == expected.bytes else {
      if case .link(let link) = transport { link.close() }
      throw .away("it did not acknowledge what was sent")
    }
  }

  /// The message of many events.
  func message(_ events: [LogEvent], chunk: String?) -> [UInt8] {
    var pack = MessagePack()
    pack.array(chunk == nil ? 2 : 3)
    pack.string(tag)
    pack.array(events.count)
    for event in events {
      let moment = Moment(event.time)
      pack.array(2)
      if subSecond {
        pack.eventTime(seconds: moment.seconds, nanoseconds: moment.nanoseconds)
      } else {
        pack.integer(moment.seconds)
      }
      record(event, &pack)
    }
    if let chunk {
      pack.map(1)
      pack.string("chunk")
      pack.string(chunk)
    }
    return pack.bytes
  }

  private func record(_ event: LogEvent, _ pack: inout MessagePack) {
    let partial = event.part > 0
    if event.part == 1 { partialID = Self.randomID() }
    pack.map(4 + extra.count + (partial ? 4 : 0))
    for (name, value) in [
      ("container_id", source.id), ("container_name", "/" + source.name), ("source", event.source),
    ] + extra {
      pack.string(name)
      pack.string(value)
    }
    pack.string("log")
    pack.string(event.text)
    guard partial else { return }
    for (name, value) in [
      ("partial_message", "true"), ("partial_id", partialID), ("partial_ordinal", "\(event.part)"),
      ("partial_last", "\(!event.continues)"),
    ] {
      pack.string(name)
      pack.string(value)
    }
  }

  /// 32 hexadecimal digits.
  static func randomID() -> String {
    let digits = (0..<2).map { _ in String(UInt64.random(in: 0 ... .max), radix: 16) }
    return digits.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined()
  }
}
