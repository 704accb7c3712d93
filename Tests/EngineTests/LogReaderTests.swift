import Foundation
import LogFiles
import LogFormat
import Protocol
import Testing

@testable import Engine

/// A log in a temporary folder, written as the shim writes it.
private final class TestLog {
  let folder: String
  var path: String { folder + "/c-json.log" }

  init() throws {
    folder = "/tmp/gantry-engine-log-\(Identifier.random(digits: 12))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  static func line(_ index: Int, stream: String = "stdout", text: String? = nil) -> String {
    let time = Timestamp(nanoseconds: Int64(1_700_000_000 + index) * 1_000_000_000).text()
    return "{\"log\":\"\(text ?? "line \(index)")\\n\",\"stream\":\"\(stream)\",\"time\":\"\(time)\"}\n"
  }

  func write(_ text: String, part: Int = 0) throws {
    try text.write(toFile: part == 0 ? path : "\(path).\(part)", atomically: false, encoding: .utf8)
  }

  func append(_ text: String) throws {
    let handle = try #require(FileHandle(forWritingAtPath: path))
    handle.seekToEndOfFile()
    handle.write(Data(text.utf8))
    try handle.close()
  }

  func read(_ query: LogQuery) -> String {
    var reader = LogReader(path: path, query: query)
    return TestLog.drain(&reader)
  }

  static func drain(_ reader: inout LogReader) -> String {
    var all: [UInt8] = []
    while true {
      let output = LogOutput()
      let progress = reader.next(into: output)
      all += output.bytes
      if progress != .more { return String(decoding: all, as: UTF8.self) }
    }
  }

  static func query(_ change: (inout LogQuery) -> Void = { _ in }) -> LogQuery {
    var query = LogQuery()
    query.framed = false
    change(&query)
    return query
  }
}

@Suite struct LogReaderTests {
  private func lines(_ range: Range<Int>) -> String { range.map { TestLog.line($0) }.joined() }
  private func texts(_ range: Range<Int>) -> String { range.map { "line \($0)\n" }.joined() }

  @Test func readsRotatedFilesOldestFirst() throws {
    let log = try TestLog()
    try log.write(lines(0..<10), part: 2)
    try log.write(lines(10..<20), part: 1)
    try log.write(lines(20..<25))
    #expect(log.read(TestLog.query()) == texts(0..<25))
  }

  @Test(arguments: [0, 1, 3, 5, 6, 14, 15, 16, 24, 25, 26, 1000])
  func tailCountsFromTheEndAcrossFiles(count: Int) throws {
    let log = try TestLog()
    try log.write(lines(0..<10), part: 2)
    try log.write(lines(10..<20), part: 1)
    try log.write(lines(20..<25))
    let query = TestLog.query { $0.tail = count }
    #expect(log.read(query) == texts(max(0, 25 - count)..<25))
    // The same through the way that looks at every line.
    let filtered = TestLog.query {
      $0.tail = count
      $0.since = Timestamp(nanoseconds: 0)
    }
    #expect(log.read(filtered) == texts(max(0, 25 - count)..<25))
  }

  @Test func tailOfALongLogNeedsOnlyItsEnd() throws {
    let log = try TestLog()
    try log.write(lines(0..<50_000))
    #expect(log.read(TestLog.query { $0.tail = 3 }) == texts(49_997..<50_000))
  }

  @Test func sinceAndUntilChooseByTime() throws {
    let log = try TestLog()
    try log.write(lines(0..<10), part: 1)
    try log.write(lines(10..<20))
    let query = TestLog.query {
      $0.since = Timestamp(argument: "1700000008")
      $0.until = Timestamp(argument: "1700000013.5")
    }
    #expect(log.read(query) == texts(8..<14))
    #expect(log.read(TestLog.query { $0.since = Timestamp(argument: "1700000015") }) == texts(15..<20))
    #expect(log.read(TestLog.query { $0.since = Timestamp(argument: "1800000000") }).isEmpty)
  }

  @Test func streamsAreChosenAndFramed() throws {
    let log = try TestLog()
    try log.write(TestLog.line(0) + TestLog.line(1, stream: "stderr") + TestLog.line(2))
    #expect(log.read(TestLog.query { $0.stdout = false }) == "line 1\n")
    #expect(log.read(TestLog.query { $0.stderr = false }) == texts(0..<1) + texts(2..<3))
    var framed = LogQuery()
    framed.tail = 2
    #expect(
      log.read(framed) == "\u{2}\0\0\0\0\0\0\u{7}line 1\n\u{1}\0\0\0\0\0\0\u{7}line 2\n")
  }

  @Test func timestampsHaveNineDigits() throws {
    let log = try TestLog()
    try log.write(TestLog.line(0))
    #expect(log.read(TestLog.query { $0.timestamps = true }) == "2023-11-14T22:13:20.000000000Z line 0\n")
  }

  @Test func escapesAndOddLinesAreRead() throws {
    let log = try TestLog()
    try log.write(
      #"{"log":"tab\tquote\"back\\\u00e9\ud83d\ude00\u001b[0m\r\n","stream":"stdout","time":"2023-11-14T22:13:20Z"}"#
        + "\n"
        + "torn line without an end {\"log\":\n" + "\n" + "{}\n"
        + #"{"log":"b\n","stream":"stdout","attrs":{"a":["x",{"y":"}"}]},"time":"2023-11-14T22:13:21Z"}"# + "\n")
    #expect(log.read(TestLog.query()) == "tab\tquote\"back\\é😀\u{1b}[0m\r\nb\n")
  }

  @Test func aLineBeingWrittenWaitsForItsEnd() throws {
    let log = try TestLog()
    let second = TestLog.line(1)
    try log.write(TestLog.line(0) + second.prefix(20))
    var reader = LogReader(path: log.path, query: TestLog.query { $0.follow = true })
    #expect(TestLog.drain(&reader) == texts(0..<1))
    try log.append(String(second.dropFirst(20)))
    #expect(TestLog.drain(&reader) == texts(1..<2))
  }

  @Test func goesOnAfterRotation() throws {
    let log = try TestLog()
    try log.write(lines(0..<5))
    var reader = LogReader(path: log.path, query: TestLog.query { $0.follow = true })
    #expect(TestLog.drain(&reader) == texts(0..<5))
    try log.append(TestLog.line(5))
    try FileManager.default.moveItem(atPath: log.path, toPath: log.path + ".1")
    try log.write(lines(6..<8))
    #expect(TestLog.drain(&reader) == texts(5..<8))
    // Two rotations at once.
    try log.append(TestLog.line(8))
    try FileManager.default.moveItem(atPath: log.path + ".1", toPath: log.path + ".2")
    try FileManager.default.moveItem(atPath: log.path, toPath: log.path + ".1")
    try log.write(lines(9..<10))
    try FileManager.default.removeItem(atPath: log.path + ".2")
    try FileManager.default.moveItem(atPath: log.path + ".1", toPath: log.path + ".2")
    try FileManager.default.moveItem(atPath: log.path, toPath: log.path + ".1")
    try log.write(lines(10..<12))
    #expect(TestLog.drain(&reader) == texts(8..<12))
  }

  @Test func aFileThatIsEmptiedIsReadFromItsStart() throws {
    let log = try TestLog()
    try log.write(lines(0..<5))
    var reader = LogReader(path: log.path, query: TestLog.query { $0.follow = true })
    #expect(TestLog.drain(&reader) == texts(0..<5))
    let handle = try #require(FileHandle(forWritingAtPath: log.path))
    try handle.truncate(atOffset: 0)
    try handle.close()
    try log.append(TestLog.line(7))
    #expect(TestLog.drain(&reader) == texts(7..<8))
  }

  @Test func withoutFollowWhatComesLaterIsLeftOut() throws {
    let log = try TestLog()
    try log.write(lines(0..<5))
    var reader = LogReader(path: log.path, query: TestLog.query { $0.tail = 2 })
    try log.append(TestLog.line(5))
    #expect(TestLog.drain(&reader) == texts(3..<5))
  }

  @Test func aLogThatDoesNotExistYetBeginsLater() throws {
    let log = try TestLog()
    var reader = LogReader(
      path: log.path,
      query: TestLog.query {
        $0.tail = 10
        $0.follow = true
      })
    #expect(TestLog.drain(&reader).isEmpty)
    try log.write(lines(0..<2))
    #expect(TestLog.drain(&reader) == texts(0..<2))
  }

  // MARK: Compact records, compressed parts, details

  private func records(_ range: Range<Int>, base: Int = 0, attributes: String = "") -> Data {
    var bytes = LogRecord.header(base: UInt64(base), attributes: Array(attributes.utf8))
    for index in range {
      bytes += LogRecord.bytes(
        Array("line \(index)".utf8), stream: index % 2 == 0 ? 1 : 2, time: Int64(1_700_000_000 + index) * 1_000_000_000)
    }
    return Data(bytes)
  }

  private func compress(_ log: TestLog, part: Int) throws {
    let name = "\(log.path).\(part)"
    let (input, output) = (open(name, O_RDONLY), open(name + ".gz", O_WRONLY | O_CREAT, 0o600))
    defer {
      close(input)
      close(output)
    }
    #expect(GzipFile.compress(input, into: output) == 0)
    unlink(name)
  }

  @Test(arguments: [0, 1, 5, 6, 14, 15, 16, 24, 25, 1000])
  func recordsAreReadAndCountedFromTheEnd(count: Int) throws {
    let log = try TestLog()
    try records(0..<10).write(to: URL(filePath: log.path + ".2"))
    try records(10..<20).write(to: URL(filePath: log.path + ".1"))
    try records(20..<25).write(to: URL(filePath: log.path))
    #expect(log.read(TestLog.query()) == texts(0..<25))
    #expect(log.read(TestLog.query { $0.tail = count }) == texts(max(0, 25 - count)..<25))
    #expect(
      log.read(
        TestLog.query {
          $0.stdout = false; $0.tail = 2
        }) == "line 21\nline 23\n")
    #expect(
      log.read(
        TestLog.query {
          $0.since = Timestamp(argument: "1700000008")
          $0.until = Timestamp(argument: "1700000012")
          $0.timestamps = true
        }
      ).hasPrefix("2023-11-14T22:13:28.000000000Z line 8\n"))
    try compress(log, part: 2)
    #expect(log.read(TestLog.query()) == texts(0..<25))
    #expect(log.read(TestLog.query { $0.tail = count }) == texts(max(0, 25 - count)..<25))
  }

  @Test func aLargeCompressedPartIsReadWhole() throws {
    let log = try TestLog()
    try log.write(lines(0..<50_000), part: 1)
    try compress(log, part: 1)
    try log.write(lines(50_000..<50_001))
    #expect(log.read(TestLog.query()) == texts(0..<50_001))
    let whole = try Data(contentsOf: URL(filePath: log.path + ".1.gz"))
    try whole.prefix(whole.count / 2).write(to: URL(filePath: log.path + ".1.gz"))
    let half = log.read(TestLog.query())
    #expect(half.hasPrefix(texts(0..<1000)) && half.hasSuffix("line 50000\n"))
  }

  @Test func aRecordBeingWrittenWaitsForItsEnd() throws {
    let log = try TestLog()
    let next = LogRecord.bytes(Array("line 1".utf8), stream: 1, time: 1)
    try (records(0..<1) + Data(next[..<9])).write(to: URL(filePath: log.path))
    var reader = LogReader(
      path: log.path,
      query: TestLog.query {
        $0.follow = true; $0.tail = 5
      })
    #expect(TestLog.drain(&reader) == texts(0..<1))
    let handle = try #require(FileHandle(forWritingAtPath: log.path))
    handle.seekToEndOfFile()
    handle.write(Data(next[9...]))
    #expect(TestLog.drain(&reader) == texts(1..<2))
  }

  @Test func followingGoesOnAfterAPartWasCompressed() throws {
    let log = try TestLog()
    try log.write(lines(0..<5))
    var reader = LogReader(path: log.path, query: TestLog.query { $0.follow = true })
    #expect(TestLog.drain(&reader) == texts(0..<5))
    try log.append(TestLog.line(5))
    try FileManager.default.moveItem(atPath: log.path, toPath: log.path + ".1")
    try compress(log, part: 1)
    try log.write(lines(6..<8))
    #expect(TestLog.drain(&reader) == texts(5..<8))
  }

  @Test func aDamagedPartEndsEarlyAndNothingElse() throws {
    let log = try TestLog()
    try (records(0..<3) + Data(repeating: 255, count: 100)).write(to: URL(filePath: log.path + ".1"))
    try records(3..<5).write(to: URL(filePath: log.path))
    #expect(log.read(TestLog.query()) == texts(0..<5))
    try Data("no gzip".utf8).write(to: URL(filePath: log.path + ".2.gz"))
    #expect(log.read(TestLog.query()) == texts(0..<5))
  }

  @Test func detailsComeBeforeTheText() throws {
    let log = try TestLog()
    try log.write(
      #"{"log":"a\n","stream":"stdout","attrs":{"b":"x y","a":"ü,"},"time":"2023-11-14T22:13:20.000000000Z"}"# + "\n"
        + TestLog.line(1))
    #expect(log.read(TestLog.query { $0.details = true }) == "a=%C3%BC%2C,b=x+y a\n line 1\n")
    #expect(
      log.read(
        TestLog.query {
          $0.details = true; $0.timestamps = true; $0.tail = 1
        }
      )
      .hasSuffix("Z  line 1\n"))
    try records(0..<1, attributes: #"{"tag":"web"}"#).write(to: URL(filePath: log.path))
    #expect(log.read(TestLog.query { $0.details = true }) == "tag=web line 0\n")
  }

  /// Text at every distance from the ends of the words that the quick way takes at once.
  @Test func quickAndThoroughWaysAgree() throws {
    let log = try TestLog()
    var content = ""
    var expected = ""
    for length in 0..<40 {
      for (escaped, plain) in [
        ("", ""), (#"\""#, "\""), (#"\\"#, "\\"), (#"\t\r"#, "\t\r"), (#"\u001b"#, "\u{1b}"), ("é😀", "é😀"),
      ] {
        let padding = String(repeating: "x", count: length)
        content += TestLog.line(
          length, stream: length % 3 == 0 ? "stderr" : "stdout", text: padding + escaped + padding
        )
        .replacing("20Z", with: "20.000000001Z")
        expected += padding + plain + padding + "\n"
      }
    }
    try log.write(content)
    #expect(log.read(TestLog.query()) == expected)
  }
}
