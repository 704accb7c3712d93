import Faults
import FoundationEssentials
import JSONRPC
import Testing

@Suite struct LineBufferTests {
  private func append(_ text: String, to buffer: inout LineBuffer) {
    Array(text.utf8).withUnsafeBytes { buffer.append($0) }
  }

  @Test func linesComeWholeHoweverTheyArrive() throws {
    let text = "one\ntwo\n\nthree €\n"
    for size in 1...7 {
      var buffer = LineBuffer()
      var lines: [String] = []
      var rest = Array(text.utf8)[...]
      while !rest.isEmpty {
        rest.prefix(size).withUnsafeBytes { buffer.append($0) }
        rest = rest.dropFirst(size)
        while let line = try buffer.next() { lines.append(String(decoding: line, as: UTF8.self)) }
      }
      #expect(lines == ["one", "two", "three €"])
      #expect(buffer.count == 0)
    }
  }

  @Test func aLineOverTheLimitIsRefusedBeforeItEnds() throws {
    var buffer = LineBuffer(limit: 10)
    append("0123456789", to: &buffer)
    #expect(try buffer.next() == nil)
    append("x", to: &buffer)
    #expect(throws: Fault.self) { try buffer.next() }
    var whole = LineBuffer(limit: 10)
    append("0123456789x\n", to: &whole)
    #expect(throws: Fault.self) { try whole.next() }
  }

  @Test func manyLinesTakeTheRoomOfTheLast() throws {
    var buffer = LineBuffer()
    let chunk = String(repeating: "x", count: 999) + "\n"
    for _ in 0..<10_000 {
      append(chunk, to: &buffer)
      #expect(try buffer.next()?.count == 999)
    }
    #expect(buffer.count == 0)
  }
}
