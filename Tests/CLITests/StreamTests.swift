import Glibc
import Linux
import Testing

@testable import CLI

/// Frames, the keys to detach, and the pump between them.
@Suite struct StreamTests {
  static func frame(_ stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
    let count = UInt32(payload.count)
    return [stream, 0, 0, 0, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
      + payload
  }

  private func split(_ bytes: [UInt8], every size: Int) throws -> (out: [UInt8], err: [UInt8], boundary: Bool) {
    var frames = FrameDemultiplexer()
    var out: [UInt8] = []
    var err: [UInt8] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      var piece = Array(rest.prefix(size))
      rest = rest.dropFirst(size)
      try piece.withUnsafeMutableBytes {
        try frames.feed($0) { stream, bytes in
          if stream == 2 { err += bytes } else { out += bytes }
        }
      }
    }
    return (out, err, frames.isAtBoundary)
  }

  @Test(arguments: [1, 2, 3, 7, 8, 9, 64, 100_000]) func framesMayBeCutAnywhere(size: Int) throws {
    var bytes: [UInt8] = []
    var out: [UInt8] = []
    var err: [UInt8] = []
    for index in 0..<200 {
      let payload = [UInt8](repeating: UInt8(index), count: index * (index % 5 == 0 ? 90 : 1))
      bytes += Self.frame(index % 3 == 0 ? 2 : 1, payload)
      if index % 3 == 0 { err += payload } else { out += payload }
    }
    let result = try split(bytes, every: size)
    #expect(result.out == out && result.err == err && result.boundary)
    #expect(try split(Array(bytes.dropLast()), every: size).boundary == false)
  }

  @Test func manySmallFramesBecomeFewWrites() throws {
    var frames = FrameDemultiplexer()
    var bytes = (0..<100).flatMap { _ in Self.frame(1, Array("line\n".utf8)) }
    var writes = 0
    try bytes.withUnsafeMutableBytes { try frames.feed($0) { _, _ in writes += 1 } }
    #expect(writes == 1)
  }

  @Test func whatIsNoFrameIsRefused() {
    #expect(throws: CommandFailure.self) { try split(Array("plain text".utf8), every: 100) }
  }

  private func type(_ keys: DetachKeys, _ pieces: [UInt8]...) -> (passed: [UInt8], detached: Bool) {
    var filter = DetachFilter(keys)
    var passed: [UInt8] = []
    for piece in pieces {
      let (pass, detached) = piece.withUnsafeBytes { filter.feed($0) }
      passed += pass
      if detached { return (passed, true) }
    }
    return (passed, false)
  }

  @Test func keysToDetach() throws {
    #expect(type(.standard, [97, 16, 17, 98]) == (passed: [97], detached: true))
    #expect(type(.standard, [16], [17]) == (passed: [], detached: true))
    #expect(type(.standard, [16], [98]) == (passed: [16, 98], detached: false))
    #expect(type(.standard, [16, 16, 17]) == (passed: [16], detached: true))
    #expect(type(.standard, [17, 16]) == (passed: [17], detached: false))
    #expect(type(try DetachKeys("a"), [98, 97]) == (passed: [98], detached: true))
    #expect(type(.none, [16, 17]) == (passed: [16, 17], detached: false))
  }

  @Test func logsAreBoundedInPlace() throws {
    let path = "/tmp/gantry-cli-log-\(getpid())"
    defer {
      unlink(path)
      unlink(path + ".1")
    }
    try DurableFile.write(.init(path), Array(String(repeating: "old\n", count: 100).utf8), durable: false)
    LogFile.bound(.init(path), limit: 1000)
    #expect(try Files.readText(path).count == 400)
    LogFile.bound(.init(path), limit: 399)
    #expect(try Files.readText(path).isEmpty)
    #expect(try Files.readText(path + ".1").count == 400)
    try Files.write(path, "a\nb\nc\n")
    #expect(LogFile.tail(.init(path), lines: 2) == ["b", "c"])
  }
}
