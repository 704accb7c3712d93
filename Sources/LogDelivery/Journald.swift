internal import Glibc

/// systemd's journal by its native protocol: one datagram an entry, `NAME=value` lines, or a length where the value has lines
/// of its own.
final class Journald: Destination {
  private static let path = "/run/systemd/journal/socket"

  let name = "journald"
  private let link: Link
  private let fields: [UInt8]
  private var partialID = ""

  init(_ options: DeliveryOptions, path: String = path) {
    link = Link(.unixDatagram(path))
    let source = options.source
    var fields: [UInt8] = []
    for (name, value) in [
      ("CONTAINER_ID", String(source.id.prefix(12))), ("CONTAINER_ID_FULL", source.id), ("CONTAINER_NAME", source.name),
      ("CONTAINER_TAG", options.tag), ("IMAGE_NAME", source.imageName), ("SYSLOG_IDENTIFIER", options.tag),
    ] + options.attributes.sorted(by: { $0.key < $1.key }).map({ (Self.fieldName($0.key), $0.value) }) {
      Self.put(name, Array(value.utf8), into: &fields)
    }
    self.fields = fields
  }

  func send(_ events: [LogEvent], taken: inout Int) throws(DeliveryFailure) {
    try link.open()
    for event in events {
      try link.send(message(event))
      taken += 1
    }
  }

  /// The datagram of one entry.
  func message(_ event: LogEvent) -> [UInt8] {
    var message = fields
    Self.put("PRIORITY", Array((event.stream == 2 ? "3" : "6").utf8), into: &message)
    Self.put("SYSLOG_TIMESTAMP", Array(Moment(event.time).rfc3339(digits: 9).utf8), into: &message)
    if event.part > 0 {
      if event.part == 1 { partialID = Fluentd.randomID() }
      if event.continues { Self.put("CONTAINER_PARTIAL_MESSAGE", Array("true".utf8), into: &message) }
      Self.put("CONTAINER_PARTIAL_ID", Array(partialID.utf8), into: &message)
      Self.put("CONTAINER_PARTIAL_ORDINAL", Array("\(event.part)".utf8), into: &message)
      Self.put("CONTAINER_PARTIAL_LAST", Array("\(!event.continues)".utf8), into: &message)
    }
    Self.put("MESSAGE", event.text, into: &message)
    return message
  }

  /// A label's or variable's name as a field may be called: capitals, digits, and underscores that are not first.
  static func fieldName(_ name: String) -> String {
    let mapped = name.uppercased().unicodeScalars.map { scalar -> Character in
      ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) ? Character(scalar) : "_"
    }
    let text = String(mapped.drop { $0 == "_" })
    return text.first?.isNumber ?? true ? "F_" + text : text
  }

  private static func put(_ name: String, _ value: [UInt8], into message: inout [UInt8]) {
    message += Array(name.utf8)
    if value.contains(10) {
      message.append(10)
      withUnsafeBytes(of: UInt64(value.count).littleEndian) { message.append(contentsOf: $0) }
    } else {
      message.append(0x3D)
    }
    message += value
    message.append(10)
  }
}
