internal import Glibc

/// Graylog's extended log format: one JSON object a line, in UDP datagrams (compressed, cut into chunks where they are long) or
/// over TCP, ended by a zero byte.
final class GELF: Destination {
  /// A chunk's payload: with its header of 12 bytes it passes through most networks in one piece.
  private static let chunk = 1420 - 12
  private static let mostChunks = 128

  let name: String
  private let link: Link
  private let overTCP: Bool
  private let compression: Deflate.Form?
  private let level: Int
  private let extra: JSONBytes
  private let tries: Int
  let pause: Int
  private var failures = 0

  init(_ options: DeliveryOptions) throws(DeliveryFailure) {
    guard let address = options["gelf-address"], let start = address.firstRange(of: "://") else {
      throw .refused("gelf-address is missing")
    }
    name = "gelf \(address)"
    overTCP = address.hasPrefix("tcp")
    let (host, port) = LinkAddress.hostAndPort(address[start.upperBound...], default: "12201")
    link = Link(overTCP ? .tcp(host: host, port: port) : .udp(host: host, port: port))
    switch options["gelf-compression-type"] ?? "gzip" {
    case "none": compression = nil
    case "zlib": compression = .zlib
    default: compression = .gzip
    }
    level = options["gelf-compression-level"].flatMap { Int($0) } ?? 1
    tries = options["gelf-tcp-max-reconnect"].flatMap { Int($0) } ?? .max
    pause = options["gelf-tcp-reconnect-delay"].flatMap { Int($0) }.map { max(1, $0 * 1000) } ?? 100
    let source = options.source
    var members = [
      "_container_id": source.id, "_container_name": source.name, "_image_id": source.imageId,
      "_image_name": source.imageName, "_command": source.command, "_tag": options.tag, "_created": source.created,
    ]
    for (name, value) in options.attributes where name != "id" { members["_" + name] = value }
    extra = JSONBytes.object(members)
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    do throws(DeliveryFailure) {
      try link.open()
      for event in events {
        // Docker sends no empty lines: Graylog refuses a message without text.
        if !event.text.isEmpty {
          let message = message(event)
          if overTCP {
            try link.send(message + [0])
          } else {
            for datagram in try datagrams(
              compression.flatMap { Deflate.compress(message, $0, level: level) } ?? message)
            {
              try link.send(datagram)
            }
          }
        }
        taken += 1
        failures = 0
      }
    } catch {
      failures += 1
      if case .away(let words) = error, overTCP, failures > tries {
        failures = 0
        throw .refused("\(words), \(tries) times in a row (gelf-tcp-max-reconnect)")
      }
      throw error
    }
  }

  /// The JSON object of one line.
  func message(_ event: LogEvent) -> [UInt8] {
    var json = JSONBytes()
    json.object { json in
      json.member("version", "1.1")
      json.member("host", DeliveryOptions.hostname)
      json.member("short_message", event.string)
      json.member("timestamp", json: Moment(event.time).decimal)
      json.member("level", json: event.stream == 2 ? "3" : "6")
    }
    return json.bytes.dropLast() + [0x2C] + extra.bytes.dropFirst()
  }

  /// The datagrams that a message becomes.
  func datagrams(_ message: [UInt8]) throws(DeliveryFailure) -> [[UInt8]] {
    if message.count <= Self.chunk + 12 { return [message] }
    let count = (message.count + Self.chunk - 1) / Self.chunk
    guard count <= Self.mostChunks else { throw .refused("\(message.count) bytes are more than 128 chunks hold") }
    var id = UInt64.random(in: 0 ... .max)
    let mark = withUnsafeBytes(of: &id) { Array($0) }
    return (0..<count).map { index in
      let piece = message[(index * Self.chunk)..<min((index + 1) * Self.chunk, message.count)]
      return [0x1E, 0x0F] + mark + [UInt8(index), UInt8(count)] + piece
    }
  }
}
