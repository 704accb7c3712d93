/// Builds tar archives byte by byte, hostile ones too: nothing is checked.
public struct Tar {
  /// What was written so far, without the end-of-archive marker.
  public private(set) var bytes: [UInt8] = []

  /// An empty archive.
  public init() {}

  /// Builds one in a closure.
  public init(_ build: (inout Tar) -> Void) { build(&self) }

  /// The whole archive: two blocks of zeros at the end.
  public var archive: [UInt8] { bytes + Array(repeating: 0, count: 1024) }

  /// Adds one entry with a ustar header, behind a pax header when there are `pax` records.
  public mutating func entry(
    _ name: String, type: Character, content: [UInt8] = [], link: String = "", mode: UInt32 = 0o644, uid: UInt32 = 0,
    gid: UInt32 = 0, time: Int = 1_000_000_000, major: UInt32 = 0, minor: UInt32 = 0, size: Int? = nil,
    pax: [(String, [UInt8])] = []
  ) {
    var records = pax
    if name.utf8.count > 100 { records.append(("path", Array(name.utf8))) }
    if link.utf8.count > 100 { records.append(("linkpath", Array(link.utf8))) }
    if !records.isEmpty { self.pax(records) }
    bytes += Self.header(
      Array(name.utf8.prefix(100)), type: type, size: size ?? content.count, link: Array(link.utf8.prefix(100)),
      mode: mode, uid: uid, gid: gid, time: time, major: major, minor: minor)
    self.content(content)
  }

  /// Adds a pax header for the next entry.
  public mutating func pax(_ records: [(String, [UInt8])], global: Bool = false) {
    var text: [UInt8] = []
    for (key, value) in records { text += Self.record(key, value) }
    bytes += Self.header(Array("PaxHeaders/x".utf8), type: global ? "g" : "x", size: text.count)
    content(text)
  }

  /// Adds a GNU long name (`L`) or long link (`K`) for the next entry.
  public mutating func gnuLong(_ type: Character, _ name: [UInt8]) {
    bytes += Self.header(Array("././@LongLink".utf8), type: type, size: name.count + 1)
    content(name + [0])
  }

  /// Adds raw bytes, padded to a block.
  public mutating func content(_ content: [UInt8]) {
    bytes += content
    bytes += Array(repeating: 0, count: (512 - content.count % 512) % 512)
  }

  public mutating func file(
    _ name: String, _ content: String = "x", mode: UInt32 = 0o644, uid: UInt32 = 0, gid: UInt32 = 0,
    pax: [(String, [UInt8])] = []
  ) {
    entry(name, type: "0", content: Array(content.utf8), mode: mode, uid: uid, gid: gid, pax: pax)
  }

  public mutating func folder(
    _ name: String, mode: UInt32 = 0o755, uid: UInt32 = 0, gid: UInt32 = 0, pax: [(String, [UInt8])] = []
  ) {
    entry(name, type: "5", mode: mode, uid: uid, gid: gid, pax: pax)
  }

  public mutating func symlink(_ name: String, _ target: String) { entry(name, type: "2", link: target, mode: 0o777) }

  public mutating func hardlink(_ name: String, _ target: String, mode: UInt32 = 0o644) {
    entry(name, type: "1", link: target, mode: mode)
  }

  public mutating func device(_ name: String, major: UInt32, minor: UInt32, type: Character = "3") {
    entry(name, type: type, mode: 0o600, major: major, minor: minor)
  }

  public mutating func fifo(_ name: String) { entry(name, type: "6") }

  /// One block of header.
  public static func header(
    _ name: [UInt8], type: Character, size: Int, link: [UInt8] = [], mode: UInt32 = 0o644, uid: UInt32 = 0,
    gid: UInt32 = 0, time: Int = 0, major: UInt32 = 0, minor: UInt32 = 0, magic: [UInt8] = Array("ustar\u{0}00".utf8)
  ) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ bytes: [UInt8], at offset: Int) { block.replaceSubrange(offset..<(offset + bytes.count), with: bytes) }
    func octal(_ value: Int, _ digits: Int) -> [UInt8] {
      let text = String(value, radix: 8)
      return Array(String(repeating: "0", count: max(0, digits - text.count)).utf8) + Array(text.utf8.suffix(digits))
    }
    put(Array(name.prefix(100)), at: 0)
    put(octal(Int(mode), 7), at: 100)
    put(octal(Int(uid) & 0o7777777, 7), at: 108)
    put(octal(Int(gid) & 0o7777777, 7), at: 116)
    if size < 1 << 33 {
      put(octal(size, 11), at: 124)
    } else {
      put([0x80] + (0..<11).map { UInt8(truncatingIfNeeded: $0 < 3 ? 0 : size >> ((10 - $0) * 8)) }, at: 124)
    }
    put(octal(time, 11), at: 136)
    put(Array("        ".utf8), at: 148)
    put([type.asciiValue ?? 0], at: 156)
    put(Array(link.prefix(100)), at: 157)
    put(magic, at: 257)
    put(octal(Int(major), 7), at: 329)
    put(octal(Int(minor), 7), at: 337)
    put(octal(block.reduce(0) { $0 + Int($1) }, 6) + [0, 32], at: 148)
    return block
  }

  /// `LENGTH KEY=VALUE\n`, the length counting itself.
  static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
    let rest = [32] + Array(key.utf8) + [61] + value + [10]
    var length = rest.count + 1
    while String(length).utf8.count + rest.count != length { length = String(length).utf8.count + rest.count }
    return Array(String(length).utf8) + rest
  }
}
