import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import RPCService
import Synchronization
import Testing

/// What a server does with callers that do not behave: it says so, closes, and goes on serving the others.
@Suite(.serialized) struct HostilePeerTests {
  private func answers(_ fixture: Fixture) async -> Bool {
    let client = RPCClient(path: fixture.path)
    defer { client.close() }
    let answer = try? await client.call(TestService.echo, Text(text: "x"), CallContext(deadline: .after(seconds: 5)))
    return answer == Text(text: "x")
  }

  @Test func aFrameOverTheLimitIsRefused() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      // The server may hang up while the rest is still being written.
      _ = peer.write([UInt8](repeating: 97, count: (16 << 20) + 4096))
      let failure = try? await peer.failure()
      #expect(failure == nil || failure?.code == .parseError)
      #expect(await eventually { fixture.server.connectionCount == 0 })
      #expect(await answers(fixture))
    }
  }

  enum Malformed: CaseIterable {
    case words, invalidUTF8, nesting

    var bytes: [UInt8] {
      switch self {
      case .words: Array("nonsense\n".utf8)
      case .invalidUTF8: Array(#"{"jsonrpc":"2.0","id":1,"method":""#.utf8) + [0xFF, 0xFE] + Array("\"}\n".utf8)
      case .nesting: Array((String(repeating: "[", count: 100_000) + "\n").utf8)
      }
    }
  }

  @Test(arguments: Malformed.allCases)
  func aMalformedLineIsToldAndTheConnectionCloses(_ line: Malformed) async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.write(line.bytes)
      let failure = try #require(try await peer.failure())
      #expect(failure == (nil, .parseError))
      #expect(try await peer.read() == nil)
      #expect(await answers(fixture))
    }
  }

  @Test func aPeerThatOnlyStoppedSendingGetsItsAnswers() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.wait")
      peer.request(2, "t.echo", #"{"text":"last"}"#)
      #expect(await fixture.service.seen.reaches(1))
      shutdown(peer.socket, Int32(SHUT_WR))
      guard case .result(.number(2), _)? = try await peer.read() else {
        Issue.record("no answer to the second request")
        return
      }
      await fixture.service.gate.open()
      guard case .result(.number(1), _)? = try await peer.read() else {
        Issue.record("no answer to the first request")
        return
      }
      #expect(try await peer.read() == nil)
    }
  }

  @Test func aPeerThatIsGoneTakesItsCallsAlong() async throws {
    try await Fixture.with { fixture in
      do {
        let peer = try RawPeer(fixture.path)
        peer.request(1, "t.wait")
        peer.request(2, "t.subscribe")
        #expect(await fixture.service.seen.reaches(1))
        _ = try await peer.read()
      }
      #expect(await fixture.service.cancelled.reaches(1))
      #expect(await fixture.service.closed.reaches(1))
      #expect(await eventually { fixture.server.connectionCount == 0 })
    }
  }

  @Test func aThousandIdleConnectionsAreCheap() async throws {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = min(limit.rlim_max, 8192)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    try await Fixture.with { fixture in
      let before = Self.privateMemory()
      var peers: [RawPeer] = []
      for _ in 0..<1000 { peers.append(try RawPeer(fixture.path)) }
      #expect(await eventually { fixture.server.connectionCount == 1000 })
      let perConnection = (Self.privateMemory() - before) / 1000
      #expect(perConnection < 16 << 10, "\(perConnection) bytes a connection")
      #expect(await answers(fixture))
      peers = []
      #expect(await eventually { fixture.server.connectionCount == 0 })
    }
  }

  @Test func aSubscriberThatNeverReadsIsDropped() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.subscribe")
      _ = try await peer.read()
      let connection = try #require(fixture.service.subscribers.withLock { $0.first })
      let event = Text(text: String(repeating: "x", count: 64 << 10))
      var sent = 0
      while sent < 4096, connection.notify(TestService.event, event) { sent += 1 }
      // 4 MiB of queue, and what the kernel takes on top.
      #expect(sent < 256, "\(sent) events of 64 KiB were taken")
      #expect(await fixture.service.closed.reaches(1))
      #expect(await answers(fixture))
    }
  }

  @Test func aCallerThatNeverReadsIsNotReadEither() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      let text = String(repeating: "y", count: 32 << 10)
      let line = Array(#"{"jsonrpc":"2.0","id":1,"method":"t.echo","params":{"text":"\#(text)"}}"#.utf8) + [10]
      let before = Self.privateMemory()
      var taken = 0
      // 64 MiB of requests; their answers would be as much.
      outer: for _ in 0..<2048 {
        var rest = line[...]
        while !rest.isEmpty {
          var poll = pollfd(fd: peer.socket, events: Int16(POLLOUT), revents: 0)
          let deadline = Deadline.after(milliseconds: 300)
          while Glibc.poll(&poll, 1, 0) <= 0 {
            if deadline.hasPassed { break outer }
            try await Task.sleep(nanoseconds: 1_000_000)
          }
          let count = rest.withUnsafeBytes {
            send(peer.socket, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
          }
          if count <= 0 { break outer }
          rest = rest.dropFirst(count)
        }
        taken += line.count
      }
      #expect(taken < 32 << 20, "\(taken) bytes were read from a caller that never reads")
      #expect(Self.privateMemory() - before < 48 << 20)
      #expect(await answers(fixture))
    }
  }

  @Test func waitingRequestsAreBounded() async throws {
    try await Fixture.with(options: RPCServerOptions(requestLimit: 8)) { fixture in
      let peer = try RawPeer(fixture.path)
      for id in 1...9 { peer.request(id, "t.wait") }
      let failure = try #require(try await peer.failure())
      #expect(failure == (.number(9), .limitExceeded))
      peer.request(1, "t.wait")
      #expect(try await peer.failure()?.code == .invalidRequest)
    }
  }

  @Test func bigRequestsAreReadAsTheyAreWorkedOff() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      // 96 MiB that wait for the gate: 32 MiB and a request of them are taken.
      let padding = String(repeating: "z", count: 4 << 20)
      let writer = Task.detached {
        for id in 1...24 { peer.request(id, "t.wait", #"{"text":"\#(padding)"}"#) }
      }
      #expect(await fixture.service.seen.reaches(8))
      try await Task.sleep(nanoseconds: 100_000_000)
      #expect(fixture.service.seen.value <= 10)
      await fixture.service.gate.open()
      for _ in 1...24 { _ = try await peer.read() }
      #expect(fixture.service.seen.value == 24)
      await writer.value
    }
  }

  /// Private memory of this process in bytes.
  static func privateMemory() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/smaps_rollup", encoding: .utf8) else { return 0 }
    return text.split(separator: "\n").filter { $0.hasPrefix("Private_Dirty:") }.reduce(0) { sum, line in
      sum + (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
    }
  }
}
