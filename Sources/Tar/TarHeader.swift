internal import Glibc

/// One header of a tar archive as bytes: a ustar block, behind a pax header when something does not fit into it
/// (POSIX.1-2017, pax, "ustar Interchange Format").
package struct TarHeader {
  /// A part of a sparse file that holds data.
  package struct Segment: Equatable {
    package var offset: Int64
    package var count: Int64

    package init(offset: Int64, count: Int64) {
      self.offset = offset
      self.count = count
    }
  }

  /// The longest name or link that the block holds, in bytes.
  private static let nameBytes = 100
  /// Numbers of 7 and 11 octal digits.
  private static let (shortNumber, longNumber) = (Int64(0o7777777), Int64(0o77777777777))

  /// The bytes for `entry`; with `segments`, for a sparse file in GNU's format 1.0, whose map is the beginning of the content.
  package static func bytes(_ entry: ArchiveEntry, segments: [Segment]? = nil) -> (header: [UInt8], map: [UInt8]) {
    var records = Records()
    var name = entry.path
    var size = entry.kind == .file ? entry.size : 0
    let map = segments.map { Self.map($0) } ?? []
    if let segments {
      records.add("GNU.sparse.major", "1")
      records.add("GNU.sparse.minor", "0")
      records.add("GNU.sparse.name", entry.path)
      records.add("GNU.sparse.realsize", String(entry.size))
      size = segments.reduce(Int64(map.count)) { $0 + $1.count }
      name = Array("GNUSparseFile.0/".utf8) + (entry.path.split(separator: slash).last ?? [])
    }
    let link: [UInt8]
    switch entry.kind {
    case .symbolicLink(let target), .hardLink(let target): link = target
    default: link = []
    }
    if name.count > nameBytes, segments == nil { records.add("path", entry.path) }
    if link.count > nameBytes { records.add("linkpath", link) }
    if size > longNumber { records.add("size", String(size)) }
    if entry.uid > shortNumber { records.add("uid", String(entry.uid)) }
    if entry.gid > shortNumber { records.add("gid", String(entry.gid)) }
    let isPlainTime = entry.modifiedNanoseconds == 0 && (0...longNumber).contains(entry.modifiedSeconds)
    if !isPlainTime { records.add("mtime", time(entry.modifiedSeconds, entry.modifiedNanoseconds)) }
    for attribute in entry.attributes { records.add(Array("SCHILY.xattr.".utf8) + attribute.name, attribute.value) }

    var result: [UInt8] = []
    if !records.bytes.isEmpty {
      let short = Array("PaxHeaders/".utf8) + (entry.path.split(separator: slash).last ?? []).prefix(80)
      result += block(short, "x", mode: 0o644, size: Int64(records.bytes.count))
      result += records.bytes
      result += padding(Int64(records.bytes.count))
    }
    result += block(
      name, type(entry.kind), mode: entry.permissions, uid: entry.uid, gid: entry.gid, size: size,
      time: entry.modifiedSeconds, link: link, device: device(entry.kind))
    return (result, map)
  }

  /// The zeros that fill the last block of `count` bytes.
  package static func padding(_ count: Int64) -> [UInt8] {
    [UInt8](repeating: 0, count: Int((512 - count % 512) % 512))
  }

  private static func type(_ kind: ArchiveEntry.Kind) -> Character {
    switch kind {
    case .file, .other: "0"
    case .hardLink: "1"
    case .symbolicLink: "2"
    case .characterDevice: "3"
    case .blockDevice: "4"
    case .folder: "5"
    case .fifo: "6"
    }
  }

  private static func device(_ kind: ArchiveEntry.Kind) -> (major: UInt32, minor: UInt32) {
    switch kind {
    case .characterDevice(let major, let minor), .blockDevice(let major, let minor): (major, minor)
    default: (0, 0)
    }
  }

  /// Seconds with as many digits of a fraction as are needed. Before 1970 whole ones: of a negative fraction libarchive and
  /// others make different times.
  static func time(_ seconds: Int64, _ nanoseconds: Int64) -> String {
    if nanoseconds == 0 || seconds < 0 { return String(seconds) }
    var digits = String(nanoseconds + 1_000_000_000).dropFirst()
    while digits.last == "0" { digits.removeLast() }
    return "\(seconds).\(digits)"
  }

  /// The map of a sparse file: how many parts, then offset and length of each, a line for each number.
  private static func map(_ segments: [Segment]) -> [UInt8] {
    var text = "\(segments.count)\n"
    for segment in segments { text += "\(segment.offset)\n\(segment.count)\n" }
    let bytes = Array(text.utf8)
    return bytes + padding(Int64(bytes.count))
  }

  private static func block(
    _ name: [UInt8], _ type: Character, mode: UInt32, uid: Int64 = 0, gid: Int64 = 0, size: Int64, time: Int64 = 0,
    link: [UInt8] = [], device: (major: UInt32, minor: UInt32) = (0, 0)
  ) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ bytes: some Collection<UInt8>, _ offset: Int) {
      var position = offset
      for byte in bytes {
        block[position] = byte
        position += 1
      }
    }
    func number(_ value: Int64, _ offset: Int, _ digits: Int) {
      var rest = value
      for position in (offset..<(offset + digits)).reversed() {
        block[position] = UInt8(ascii: "0") + UInt8(rest & 7)
        rest >>= 3
      }
    }
    put(name.prefix(nameBytes), 0)
    number(Int64(mode & 0o7777), 100, 7)
    number(min(max(uid, 0), shortNumber), 108, 7)
    number(min(max(gid, 0), shortNumber), 116, 7)
    number(min(size, longNumber), 124, 11)
    number(min(max(time, 0), longNumber), 136, 11)
    put([UInt8](repeating: 32, count: 8), 148)
    put(String(type).utf8, 156)
    put(link.prefix(nameBytes), 157)
    put("ustar\u{0}00".utf8, 257)
    number(Int64(device.major), 329, 7)
    number(Int64(device.minor), 337, 7)
    number(Int64(block.reduce(0) { $0 + Int($1) }), 148, 6)
    put([0, 32], 154)
    return block
  }

  /// `LENGTH KEY=VALUE\n`, the length counting itself.
  private struct Records {
    var bytes: [UInt8] = []

    mutating func add(_ key: String, _ value: String) { add(Array(key.utf8), Array(value.utf8)) }
    mutating func add(_ key: String, _ value: [UInt8]) { add(Array(key.utf8), value) }

    mutating func add(_ key: [UInt8], _ value: [UInt8]) {
      let rest = key.count + value.count + 3
      var length = rest + 1
      while String(length).utf8.count + rest != length { length = String(length).utf8.count + rest }
      bytes += Array(String(length).utf8)
      bytes.append(32)
      bytes += key
      bytes.append(UInt8(ascii: "="))
      bytes += value
      bytes.append(10)
    }
  }
}
