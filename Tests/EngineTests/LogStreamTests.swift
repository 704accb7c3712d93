import Foundation
import Linux
import Protocol
import Synchronization
import SystemPackage
import Testing

@testable import Engine

/// Streams as clients see them: a socket, a token, bytes.
@Suite struct LogStreamTests {
  /// Reads from a stream until its end or until `enough`; fails after ten seconds.
  private static func read(_ socket: Int32, until enough: String? = nil) -> String {
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var text = ""
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(socket, &buffer, buffer.count, 0)
      if count <= 0 { return text }
      text += String(decoding: buffer[..<count], as: UTF8.self)
      if let enough, text.contains(enough) { return text }
    }
  }

  private static func open(_ address: StreamAddress, token: String? = nil) throws -> OwnedDescriptor {
    let socket = try UnixSocket.connect(path: FilePath(address.socket))
    let bytes = Array(((token ?? address.token) + "\n").utf8)
    try bytes.withUnsafeBytes { _ = try UnixSocket.send(socket.rawValue, $0) }
    UnixSocket.shutdownWriting(socket.rawValue)
    return socket
  }

  private static func append(_ test: TestEngine, _ id: String, _ text: String) throws {
    let path = "\(test.folder)/gateway/containers/\(id)/\(id)-json.log"
    if !FileManager.default.fileExists(atPath: path) { FileManager.default.createFile(atPath: path, contents: nil) }
    let handle = try #require(FileHandle(forWritingAtPath: path))
    handle.seekToEndOfFile()
    handle.write(Data("{\"log\":\"\(text)\\n\",\"stream\":\"stdout\",\"time\":\"\(Timestamp.now().text())\"}\n".utf8))
    try handle.close()
  }

  private static func logs(
    _ test: TestEngine, _ id: String, follow: Bool, until: String? = nil
  ) async throws -> StreamAddress {
    try await test.engine.containerLogs(
      .init(container: id, follow: follow, stdout: true, stderr: true, until: until)
    ).stream
  }

  @Test func followsUntilTheContainerEnds() async throws {
    let test = try TestEngine()
    let id = try await test.run { $0.tty = true }
    try Self.append(test, id, "one")
    let socket = try Self.open(try await Self.logs(test, id, follow: true))
    #expect(Self.read(socket.rawValue, until: "one\n") == "one\n")
    try Self.append(test, id, "two")
    #expect(Self.read(socket.rawValue, until: "two\n") == "two\n")
    try Self.append(test, id, "three")
    test.tasks.end(id, 0)
    #expect(Self.read(socket.rawValue).hasSuffix("three\n"))
    await test.engine.shutdown()
  }

  @Test func aTokenOpensOneStream() async throws {
    let test = try TestEngine()
    let id = try await test.run { $0.tty = true }
    try Self.append(test, id, "text")
    let address = try await Self.logs(test, id, follow: false)
    let wrong = try Self.open(address, token: String(repeating: "0", count: 32))
    #expect(Self.read(wrong.rawValue).isEmpty)
    let first = try Self.open(address)
    #expect(Self.read(first.rawValue) == "text\n")
    let second = try Self.open(address)
    #expect(Self.read(second.rawValue).isEmpty)
    await test.engine.shutdown()
  }

  @Test func untilEndsAFollower() async throws {
    let test = try TestEngine()
    let id = try await test.run { $0.tty = true }
    let soon = Timestamp(nanoseconds: Timestamp.now().nanoseconds + 200_000_000).text()
    let socket = try Self.open(try await Self.logs(test, id, follow: true, until: soon))
    #expect(Self.read(socket.rawValue).isEmpty)
    await test.engine.shutdown()
  }

  @Test func aClientThatGoesEndsItsFollower() async throws {
    let test = try TestEngine()
    let id = try await test.run { $0.tty = true }
    try Self.append(test, id, "one")
    let container = try test.engine.directory.resolve(id)
    do {
      let socket = try Self.open(try await Self.logs(test, id, follow: true))
      #expect(Self.read(socket.rawValue, until: "one\n") == "one\n")
      #expect(container.followers.count == 1)
    }
    let deadline = ContinuousClock.now + .seconds(10)
    while container.followers.count > 0, ContinuousClock.now < deadline { await Task.yield() }
    #expect(container.followers.count == 0)
    await test.engine.shutdown()
  }
}
