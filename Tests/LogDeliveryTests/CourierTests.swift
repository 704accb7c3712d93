import Foundation
import LogFiles
import LogFormat
import Synchronization
import Testing

@testable import LogDelivery

/// A log of records in a temporary folder.
final class TestSpool {
  let folder: String
  var path: String { folder + "/log" }
  private var base: UInt64 = 0

  init() throws {
    var template = Array("/tmp/gantry-spool-XXXXXX".utf8CString)
    folder = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  static func records(_ numbers: Range<Int>) -> [UInt8] {
    numbers.flatMap { LogRecord.bytes(Array("line \($0)".utf8), stream: 1, time: Int64($0)) }
  }

  /// Appends records, beginning the file where there is none.
  func append(_ numbers: Range<Int>) throws {
    if !FileManager.default.fileExists(atPath: path) {
      try Data(LogRecord.header(base: base, attributes: [])).write(to: URL(filePath: path))
    }
    let file = try #require(FileHandle(forWritingAtPath: path))
    file.seekToEndOfFile()
    file.write(Data(Self.records(numbers)))
    try file.close()
  }

  /// Moves every part on by one.
  func rotate() throws {
    base += UInt64(try Data(contentsOf: URL(filePath: path)).count)
    for number in (1..<5).reversed() { rename("\(path).\(number)", "\(path).\(number + 1)") }
    rename(path, path + ".1")
  }

  func spool(from position: UInt64 = 0) -> Spool { Spool(path: path, open: open(path, O_RDONLY), position: position) }
}

/// Takes events, unless told otherwise.
final class FakeDestination: Destination, @unchecked Sendable {  // used by one thread; the log is behind a lock
  let name = "fake"
  let batch: (events: Int, bytes: Int)
  let taken = Mutex<[String]>([])
  /// What the next calls do, the last for ever.
  var script: [DeliveryFailure?] = []

  init(batch: Int = 10) { self.batch = (batch, 1 << 20) }

  func send(_ events: [LogEvent], taken count: inout Int) throws(DeliveryFailure) {
    let step = script.isEmpty ? nil : script.removeFirst()
    for event in events.prefix(step == nil ? events.count : 1) {
      taken.withLock { $0.append(event.string) }
      count += 1
    }
    if let step { throw step }
  }
}

@Suite struct CourierTests {
  private func texts(_ events: [LogEvent]) -> [String] { events.map(\.string) }
  private func lines(_ numbers: Range<Int>) -> [String] { numbers.map { "line \($0)" } }

  @Test func theSpoolIsReadAcrossRotations() throws {
    let log = try TestSpool()
    try log.append(0..<5)
    var spool = log.spool()
    #expect(texts(spool.next((3, 1000))) == lines(0..<3))
    try log.append(5..<6)
    try log.rotate()
    try log.append(6..<8)
    try log.rotate()
    try log.append(8..<9)
    #expect(texts(spool.next((100, 1 << 20))) == lines(3..<9))
    #expect(spool.next((100, 1000)).isEmpty && spool.waiting == 0)
    try log.append(9..<10)
    #expect(texts(spool.next((100, 1000))) == lines(9..<10))
  }

  @Test func itGoesOnFromAPosition() throws {
    let log = try TestSpool()
    try log.append(0..<5)
    try log.rotate()
    try log.append(5..<8)
    var spool = log.spool()
    _ = spool.next((6, 1000))
    var later = log.spool(from: spool.position)
    #expect(texts(later.next((100, 1000))) == lines(6..<8))
    // What was rotated away is passed over; a position that never was is forgotten.
    unlink(log.path + ".1")
    var lost = log.spool(from: 30)
    #expect(texts(lost.next((100, 1000))) == lines(5..<8))
    var never = log.spool(from: 1 << 40)
    #expect(texts(never.next((100, 1000))) == lines(5..<8))
  }

  @Test func aTornRecordWaitsForItsEnd() throws {
    let log = try TestSpool()
    try log.append(0..<1)
    let next = TestSpool.records(1..<2)
    let file = try #require(FileHandle(forWritingAtPath: log.path))
    file.seekToEndOfFile()
    file.write(Data(next[..<10]))
    var spool = log.spool()
    #expect(texts(spool.next((100, 1000))) == lines(0..<1))
    file.write(Data(next[10...]))
    #expect(texts(spool.next((100, 1000))) == lines(1..<2))
  }

  /// Runs a courier over a log whose container has ended already.
  private func carry(
    _ log: TestSpool, _ destination: FakeDestination, blocking: Bool = true, maxBuffer: UInt64 = 1 << 20
  )
    throws -> (said: [String], mark: UInt64)
  {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    let mark = open(log.folder + "/mark", O_RDWR | O_CREAT, 0o600)
    defer {
      close(ends[0])
      close(mark)
    }
    shutdown(ends[1], Int32(SHUT_WR))
    var said: [String] = []
    Courier(
      spool: log.spool(), destination: destination, blocking: blocking, maxBuffer: maxBuffer, control: ends[0],
      mark: mark,
      say: { said.append($0) }
    ).run()
    close(ends[1])
    var position: UInt64 = 0
    pread(mark, &position, 8, 0)
    return (said, position)
  }

  @Test func everythingIsDeliveredInOrderAndMarked() throws {
    let log = try TestSpool()
    try log.append(0..<25)
    let destination = FakeDestination()
    let (said, mark) = try carry(log, destination)
    #expect(destination.taken.withLock { $0 } == lines(0..<25))
    #expect(said.isEmpty)
    #expect(mark == UInt64(try Data(contentsOf: URL(filePath: log.path)).count))
  }

  @Test func whatFailsIsTriedAgainFromWhereItWas() throws {
    let log = try TestSpool()
    try log.append(0..<5)
    let destination = FakeDestination()
    destination.script = [.away("gone"), .away("still")]
    let (said, _) = try carry(log, destination)
    #expect(destination.taken.withLock { $0 } == lines(0..<5))
    #expect(said == ["fake is away: gone", "fake takes entries again"])
  }

  @Test func whatIsRefusedIsPassedOver() throws {
    let log = try TestSpool()
    try log.append(0..<4)
    let destination = FakeDestination()
    destination.script = [.refused("too long")]
    let (said, _) = try carry(log, destination)
    #expect(destination.taken.withLock { $0 } == ["line 0", "line 2", "line 3"])
    #expect(said == ["fake refuses an entry: too long"])
  }

  @Test func aContainerThatMayNotWaitLosesTheOldestAndIsTold() throws {
    let log = try TestSpool()
    try log.append(0..<100)
    let destination = FakeDestination(batch: 1000)
    let record = TestSpool.records(50..<51).count
    _ = try carry(log, destination, blocking: false, maxBuffer: UInt64(10 * record))
    let taken = destination.taken.withLock { $0 }
    #expect(taken.dropFirst() == lines(90..<100)[...])
    #expect(taken.first == "gantry: 90 log entries (620 bytes) were not delivered: the destination did not keep up")
  }
}
