import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import SystemPackage
import Testing

/// The client without threads, against a peer that the test plays itself.
@Suite struct BlockingConnectionTests {
  private struct Params: Codable, Sendable { var a: Int64 }
  private struct Answer: Codable, Sendable, Equatable { var b: Int64 }
  private let method = RPCMethod<Params, Answer>("x.y")

  private func write(_ text: String, to socket: Int32) throws {
    try Array(text.utf8).withUnsafeBytes { try Descriptors.writeAll(socket, $0) }
  }

  private func lines(_ count: Int, from socket: Int32) throws -> [Data] {
    var buffer = LineBuffer()
    var lines: [Data] = []
    while lines.count < count {
      var bytes = [UInt8](repeating: 0, count: 4096)
      let read = Glibc.read(socket, &bytes, bytes.count)
      guard read > 0 else { break }
      bytes[..<read].withUnsafeBytes { buffer.append($0) }
      while let line = try buffer.next() { lines.append(line) }
    }
    return lines
  }

  @Test func answersFindTheirRequestsInAnyOrder() throws {
    let pair = try UnixSocket.pair()
    let peer = pair.second.rawValue
    let connection = BlockingConnection(descriptor: try pair.first.duplicate())
    var told: [String] = []
    connection.onNotification = { name, _ in told.append(name) }
    var progress: [Data] = []
    let first = try connection.send(method, Params(a: 1), progress: { progress.append($0) })
    let second = try connection.send(method, Params(a: 2))
    let requests = try lines(2, from: peer)
    guard case .request(.number(1), "x.y", _, let meta) = try MessageCodec.parse(requests[0]) else {
      Issue.record("no request")
      return
    }
    #expect(meta.progressToken == Data("1".utf8))
    #expect(try connection.answer(first) == nil)
    try write(#"{"jsonrpc":"2.0","id":2,"result":{"b":22}}"# + "\n", to: peer)
    try write(#"{"jsonrpc":"2.0","method":"n.e","params":{}}"# + "\n", to: peer)
    try write(#"{"jsonrpc":"2.0","method":"$/progress","params":{"token":1,"value":{"c":1}}}"# + "\n", to: peer)
    try write(#"{"jsonrpc":"2.0","id":1,"result":{"b":11}}"# + "\n", to: peer)
    #expect(try connection.wait(first) == Answer(b: 11))
    #expect(try connection.answer(second) == Answer(b: 22))
    #expect(told == ["n.e"])
    #expect(progress == [Data(#"{"c":1}"#.utf8)])
  }

  @Test func deadlinesAndLostConnectionsAreFaults() throws {
    let pair = try UnixSocket.pair()
    let connection = BlockingConnection(descriptor: try pair.first.duplicate())
    let call = try connection.send(method, Params(a: 1))
    do throws(Fault) {
      _ = try connection.wait(call, deadline: .after(milliseconds: 5))
      Issue.record("was answered")
    } catch {
      #expect(error.code == .deadlineExceeded)
    }
    Glibc.shutdown(pair.second.rawValue, Int32(SHUT_RDWR))
    do throws(Fault) {
      _ = try connection.call(method, Params(a: 1))
      Issue.record("was answered")
    } catch {
      #expect(error.code == .unavailable)
    }
  }

  @Test func nobodyThereIsUnavailable() {
    do throws(Fault) {
      _ = try BlockingConnection(path: "/tmp/gantry-nobody-listens-here.sock")
      Issue.record("is connected")
    } catch {
      #expect(error.code == .unavailable)
    }
  }
}
