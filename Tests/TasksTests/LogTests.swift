import FoundationEssentials
import Glibc
import LogFormat
import Testing

@testable import ShimCore

/// One entry of a json-file log, as a reader sees it.
struct Entry: Codable, Equatable {
  var log: String
  var stream: String
  var time: String
}

/// Encodes `chunks` as reads of one stream and returns what a reader of the file would decode.
func encode(_ chunks: [[UInt8]], finish: Bool = true, stream: String = "stdout") throws -> [Entry] {
  var out: [UInt8] = []
  let buffer = LogBuffer { out += $0 }
  let encoder = LogEncoder(stream: stream)
  let time = LogTime(seconds: 1_767_323_045, nanoseconds: 6)
  for chunk in chunks { chunk.withUnsafeBytes { encoder.append($0, time: time, into: buffer) } }
  if finish { encoder.finish(time: time, into: buffer) }
  buffer.flush()
  return try out.split(separator: 10).map { try JSONDecoder().decode(Entry.self, from: Data($0)) }
}

@Suite struct LogEncoderTests {
  @Test func writesDockersLine() {
    var out: [UInt8] = []
    let buffer = LogBuffer { out += $0 }
    let encoder = LogEncoder(stream: "stderr", attributes: #"{"a":"b"}"#)
    let time = LogTime(seconds: 1_767_323_045, nanoseconds: 6)
    Array("say \"hi\"\t\\ \u{1}\r\n".utf8).withUnsafeBytes { encoder.append($0, time: time, into: buffer) }
    buffer.flush()
    #expect(
      String(decoding: out, as: UTF8.self)
        == #"{"log":"say \"hi\"\t\\ \u0001\r\n","stream":"stderr","attrs":{"a":"b"},"#
        + #""time":"2026-01-02T03:04:05.000000006Z"}"# + "\n")
  }

  @Test func joinsALineThatComesInPieces() throws {
    let entries = try encode([Array("one".utf8), Array(" two\nthr".utf8), Array("ee".utf8)])
    #expect(entries.map(\.log) == ["one two\n", "three"])
  }

  @Test func keepsTheLastLineUntilItsEnd() throws {
    #expect(try encode([Array("prompt> ".utf8)], finish: false).isEmpty)
  }

  @Test(arguments: [16383, 16384, 16385, 40000, 65536])
  func splitsLongLinesAt16kB(length: Int) throws {
    let line = [UInt8](repeating: UInt8(ascii: "x"), count: length) + [10]
    for chunks in [[line], [Array(line[..<100]), Array(line[100...])], line.map { [$0] }] {
      let entries = try encode(chunks)
      #expect(entries.map(\.log).joined() == String(decoding: line, as: UTF8.self))
      #expect(entries.count == length / 16384 + 1)
      #expect(entries.dropLast().allSatisfy { $0.log.utf8.count == 16384 })
      #expect(entries.last?.log.hasSuffix("\n") == true)
    }
  }

  @Test func doesNotCutACharacterInTwo() throws {
    let line = Array((String(repeating: "x", count: 16382) + "€uro\n").utf8)
    for chunks in [[line], [Array(line[..<5]), Array(line[5...])]] {
      #expect(try encode(chunks).map(\.log).joined() == String(decoding: line, as: UTF8.self))
    }
  }

  @Test func replacesWhatIsNotUTF8() throws {
    let cases: [([UInt8], String)] = [
      ([0xFF], "\u{FFFD}"), ([0xC3, 0x28], "\u{FFFD}("), ([0xE2, 0x82], "\u{FFFD}\u{FFFD}"),
      ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"), ([0xC0, 0x80], "\u{FFFD}\u{FFFD}"),
      ([0xF5, 0x80, 0x80, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
      (Array("a\u{2028}b\u{2029}c\u{10FFFF}é€😀".utf8), "a\u{2028}b\u{2029}c\u{10FFFF}é€😀"),
    ]
    for (bytes, expected) in cases { #expect(try encode([bytes + [10]]).first?.log == expected + "\n") }
  }

  @Test func survivesEveryByteInEveryPlace() throws {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<300 {
      let bytes = (0..<Int.random(in: 1...200)).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let cut = Int.random(in: 0...bytes.count)
      let whole = try encode([bytes]).map(\.log)
      #expect(try encode([Array(bytes[..<cut]), Array(bytes[cut...])]).map(\.log) == whole)
      #expect(whole.joined().filter { $0 == "\n" }.count <= bytes.count)
    }
    let all = (0...127).map { UInt8($0) }.filter { $0 != 10 }
    for offset in 0..<16 {
      let padding = [UInt8](repeating: 0x61, count: offset)
      #expect(try encode([padding + all + [10]]).first?.log == String(decoding: padding + all + [10], as: UTF8.self))
    }
  }

  @Test func entriesOverflowTheBufferWhole() throws {
    let controls = [UInt8](repeating: 1, count: 1_000_000)
    let entries = try encode([controls])
    #expect(entries.map(\.log.utf8.count).reduce(0, +) == controls.count)
  }

  @Test(arguments: [
    (0, "1970-01-01T00:00:00.000000000Z"), (951_782_399, "2000-02-28T23:59:59.000000000Z"),
    (951_782_400, "2000-02-29T00:00:00.000000000Z"), (4_102_444_799, "2099-12-31T23:59:59.000000000Z"),
    (-1, "1969-12-31T23:59:59.000000000Z"),
  ])
  func tellsTheTime(seconds: Int, text: String) {
    #expect(LogTime(seconds: seconds, nanoseconds: 0).text == text)
  }
}

@Suite struct RotatingLogTests {
  let folder: String

  init() throws {
    var template = Array("/tmp/gantry-log-XXXXXX".utf8CString)
    folder = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  private func contents(_ name: String) -> String? {
    try? String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
  }

  private func write(_ text: String, _ log: RotatingLog) { Array(text.utf8).withUnsafeBytes { log.write($0) } }

  @Test func rotatesAfterTheEntryThatFillsIt() {
    defer { removeFolder(folder) }
    var rotations = 0
    let log = RotatingLog(path: "\(folder)/log", maxSize: 10, maxFiles: 3)
    log.onRotate = { rotations += 1 }
    write("1234\n5678\nabcd\n", log)
    #expect(contents("log.1") == "1234\n5678\n")
    #expect(contents("log") == "abcd\n")
    write("efghijk\nsecond\nthird-long-line\nfourth\n", log)
    #expect(contents("log") == "fourth\n")
    #expect(contents("log.1") == "second\nthird-long-line\n")
    #expect(contents("log.2") == "abcd\nefghijk\n")
    #expect(contents("log.3") == nil)
    #expect(rotations == 3)
  }

  @Test func oneFileStartsOver() {
    defer { removeFolder(folder) }
    let log = RotatingLog(path: "\(folder)/log", maxSize: 5, maxFiles: 1)
    write("1234\n5678\nabcd\n", log)
    #expect(contents("log") == "abcd\n")
    #expect(contents("log.1") == nil)
  }

  @Test func endsATornLineOfAnEarlierCrash() throws {
    defer { removeFolder(folder) }
    try Data("whole\nto".utf8).write(to: URL(filePath: "\(folder)/log"))
    let log = RotatingLog(path: "\(folder)/log", maxSize: 0, maxFiles: 3)
    write("next\n", log)
    #expect(contents("log") == "whole\nto\nnext\n")
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: mounts a small tmpfs"))
  func aFullDiskDropsWholeEntriesAndSaysSo() throws {
    try #require(mount("tmpfs", folder, "tmpfs", 0, "size=8192") == 0)
    defer {
      umount2(folder, Int32(MNT_DETACH))
      removeFolder(folder)
    }
    let log = RotatingLog(path: "\(folder)/log", maxSize: 0, maxFiles: 3)
    let line = String(repeating: "x", count: 1023) + "\n"
    for _ in 0..<4 { write(line + line + line, log) }
    #expect(log.dropped.entries == 4)
    #expect(contents("log")?.utf8.count == 8192)
    try #require(truncate("\(folder)/log", 0) == 0)
    write(line, log)
    let lines = try #require(contents("log")).split(separator: "\n")
    #expect(lines.count == 2)
    let notice = try JSONDecoder().decode(Entry.self, from: Data(lines[0].utf8))
    #expect(notice.log == "gantry: 4 log entries (4096 bytes) were dropped: No space left on device\n")
    #expect(notice.stream == "stderr")
    #expect(log.dropped.entries == 0)
  }
}

/// What `records` of the compact format hold.
func decodeRecords(_ bytes: [UInt8]) -> [(text: String, continues: Bool, part: UInt16)] {
  var found: [(text: String, continues: Bool, part: UInt16)] = []
  bytes.withUnsafeBytes { bytes in
    var start = 0
    while case .record(let record) = LogRecord.scan(UnsafeRawBufferPointer(rebasing: bytes[start...])) {
      found.append((String(decoding: record.text, as: UTF8.self), record.continues, record.part))
      start += record.size
    }
  }
  return found
}

@Suite struct RecordLogTests {
  let folder: String
  var path: String { folder + "/log" }

  init() throws {
    var template = Array("/tmp/gantry-log-XXXXXX".utf8CString)
    folder = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  private func file(_ name: String) -> [UInt8] {
    [UInt8]((try? Data(contentsOf: URL(filePath: "\(folder)/\(name)"))) ?? Data())
  }

  private func header(_ name: String) throws -> LogRecord.Header {
    let descriptor = open("\(folder)/\(name)", O_RDONLY)
    defer { close(descriptor) }
    return try #require(LogRecord.header(of: descriptor))
  }

  private func texts(_ name: String) throws -> [String] {
    decodeRecords(Array(file(name)[try header(name).size...])).map(\.text)
  }

  @Test func piecesOfALongLineAreNumbered() {
    defer { removeFolder(folder) }
    var out: [UInt8] = []
    let buffer = LogBuffer { out += $0 }
    let encoder = LogEncoder(stream: "stdout", format: .records)
    let long = [UInt8](repeating: 120, count: 40_000)
    for chunk in [
      Array("a\n\nb".utf8), Array("c\n".utf8), Array(long[..<10_000]), Array(long[10_000...]) + [10, 255, 10], [122],
    ] {
      chunk.withUnsafeBytes { encoder.append($0, time: LogTime(seconds: 1, nanoseconds: 2), into: buffer) }
    }
    encoder.finish(time: LogTime(seconds: 1, nanoseconds: 2), into: buffer)
    buffer.flush()
    let records = decodeRecords(out)
    #expect(records.map(\.text.utf8.count) == [1, 0, 2, 16_384, 16_384, 7232, 3, 1])
    #expect(records.map(\.part) == [0, 0, 0, 1, 2, 3, 0, 1])
    #expect(records.map(\.continues) == [false, false, false, true, true, false, false, true])
  }

  @Test func partsGoOnWithTheirPositions() throws {
    defer { removeFolder(folder) }
    let attributes = #"{"a":"b"}"#
    var log = RotatingLog(path: path, maxSize: 100, maxFiles: 3, format: .records, attributes: attributes)
    for number in 0..<12 {
      LogRecord.bytes(Array("line \(number)".utf8), stream: 1, time: 1).withUnsafeBytes { log.write($0) }
    }
    #expect(try header("log").attributes == Array(attributes.utf8))
    #expect(try header("log.1").base == header("log.2").base + UInt64(file("log.2").count))
    #expect(try header("log").base == header("log.1").base + UInt64(file("log.1").count))
    #expect(try texts("log.2") + texts("log.1") + texts("log") == (3..<12).map { "line \($0)" })
    let position = log.position
    log = RotatingLog(path: path, maxSize: 100, maxFiles: 3, format: .records, attributes: attributes)
    #expect(log.position == position)
  }

  @Test func halfARecordIsCutOff() throws {
    defer { removeFolder(folder) }
    let whole = LogRecord.bytes(Array("whole".utf8), stream: 1, time: 1)
    var log = RotatingLog(path: path, maxSize: 0, maxFiles: 2, format: .records)
    whole.withUnsafeBytes { log.write($0) }
    for cut in 1..<whole.count {
      let torn = open(path, O_WRONLY | O_APPEND)
      #expect(write(torn, whole, cut) == cut)
      close(torn)
      log = RotatingLog(path: path, maxSize: 0, maxFiles: 2, format: .records)
    }
    whole.withUnsafeBytes { log.write($0) }
    #expect(try texts("log") == ["whole", "whole"])
  }

  @Test func whatIsNoLogIsSetAside() throws {
    defer { removeFolder(folder) }
    try Data("something else".utf8).write(to: URL(filePath: path))
    let log = RotatingLog(path: path, maxSize: 0, maxFiles: 2, format: .records)
    LogRecord.bytes(Array("whole".utf8), stream: 1, time: 1).withUnsafeBytes { log.write($0) }
    #expect(try texts("log") == ["whole"])
    #expect(file("log.unreadable") == Array("something else".utf8))
  }

  @Test func rotationMovesCompressedPartsToo() throws {
    defer { removeFolder(folder) }
    let log = RotatingLog(path: path, maxSize: 10, maxFiles: 3)
    func write(_ text: String) { Array(text.utf8).withUnsafeBytes { log.write($0) } }
    write("first-----\nx\n")
    rename(path + ".1", path + ".1.gz")
    #expect(log.uncompressedParts.isEmpty)
    write("second----\ny\n")
    #expect(file("log.2.gz") == Array("first-----\n".utf8))
    #expect(log.uncompressedParts == [1])
    write("third-----\nz\n")
    #expect(file("log.2.gz").isEmpty && !file("log.2").isEmpty)
  }
}

/// Removes a flat folder of a test.
func removeFolder(_ path: String) {
  guard let folder = opendir(path) else { return }
  defer { closedir(folder) }
  while let entry = readdir(folder) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != "." && name != ".." { unlink("\(path)/\(name)") }
  }
  rmdir(path)
}
