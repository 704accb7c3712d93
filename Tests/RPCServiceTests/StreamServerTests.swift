import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import Protocol
import RPCService
import SystemPackage
import Testing

/// Addresses of byte streams.
@Suite struct StreamServerTests {
  private func with(_ milliseconds: Int = 30_000, _ body: (StreamServer) async throws -> Void) async throws {
    let folder = try Fixture.makeFolder()
    let server = try StreamServer(path: folder.appending("s.sock"), tokenMilliseconds: milliseconds)
    do { try await body(server) } catch {
      server.close()
      throw error
    }
    server.close()
    try? FileManager.default.removeItem(atPath: folder.string)
  }

  private func connect(_ address: StreamAddress, _ rest: String = "") throws -> RawPeer {
    let peer = try RawPeer(FilePath(address.socket))
    peer.write(Array((address.token + "\n" + rest).utf8))
    return peer
  }

  @Test func theConnectionArrivesWithNothingTakenFromIt() async throws {
    try await with { server in
      let promise = try server.promise()
      #expect(promise.address.token.count == 32)
      let peer = try connect(promise.address, "first\nsecond")
      shutdown(peer.socket, Int32(SHUT_WR))
      let socket = try await promise.accept()
      #expect(try await RawPeer.text(of: socket.rawValue) == "first\nsecond")
      #expect(fcntl(socket.rawValue, F_GETFL) & O_NONBLOCK == 0)
      try Array("back".utf8).withUnsafeBytes { try Descriptors.writeAll(socket.rawValue, $0) }
      _ = consume socket
      #expect(try await RawPeer.text(of: peer.socket) == "back")
    }
  }

  @Test func aTokenWorksOnceAndAWrongOneNever() async throws {
    try await with { server in
      let promise = try server.promise()
      var wrong = promise.address
      wrong.token = String(repeating: "0", count: 32)
      #expect(try await RawPeer.text(of: try connect(wrong).socket).isEmpty)
      wrong.token = String(repeating: "1", count: 500)
      #expect(try await RawPeer.text(of: try connect(wrong).socket).isEmpty)
      let peer = try connect(promise.address)
      let socket = try await promise.accept()
      #expect(try await RawPeer.text(of: try connect(promise.address).socket).isEmpty)
      _ = (peer, socket.rawValue)
    }
  }

  @Test func anUnusedTokenExpires() async throws {
    try await with(20) { server in
      let promise = try server.promise()
      await #expect(throws: Fault.self) { _ = try await promise.accept() }
      #expect(try await RawPeer.text(of: try connect(promise.address).socket).isEmpty)
    }
  }

  @Test func aPromiseCanBeTakenBack() async throws {
    try await with { server in
      let promise = try server.promise()
      promise.cancel()
      #expect(try await RawPeer.text(of: try connect(promise.address).socket).isEmpty)
      await #expect(throws: Fault.self) { _ = try await promise.accept() }
      let task = Task {
        do throws(Fault) {
          _ = try await server.promise().accept()
          return nil as FaultCode?
        } catch {
          return error.code
        }
      }
      task.cancel()
      #expect(await task.value == .cancelled)
    }
  }

  @Test func closeFailsWhatWaits() async throws {
    try await with { server in
      let promise = try server.promise()
      let told = Counter()
      promise.onConnect { socket in
        if socket == nil { told.add() }
      }
      server.close()
      #expect(await told.reaches(1))
      #expect(throws: Fault.self) { try server.promise() }
    }
  }
}
