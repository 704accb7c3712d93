import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import RPCService
import Testing

/// What a server does with callers that behave.
@Suite struct ServerTests {
  @Test func answersComeAsTheyFinish() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.wait")
      peer.request(2, "t.echo", #"{"text":"a"}"#)
      guard case .result(.number(2), let result)? = try await peer.read() else {
        Issue.record("the second request was not answered first")
        return
      }
      #expect(result == Data(#"{"text":"a"}"#.utf8))
      await fixture.service.gate.open()
      guard case .result(.number(1), _)? = try await peer.read() else {
        Issue.record("the first request was not answered")
        return
      }
    }
  }

  @Test func aCallCanBeTakenBack() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.wait")
      #expect(await fixture.service.seen.reaches(1))
      peer.write(#"{"jsonrpc":"2.0","method":"$/cancel","params":{"id":1}}"#)
      let failure = try #require(try await peer.failure())
      #expect(failure == (.number(1), .cancelled))
      #expect(await fixture.service.cancelled.reaches(1))
    }
  }

  @Test func deadlinesOfCallerMethodAndServerCount() async throws {
    try await Fixture.with(options: RPCServerOptions(deadlineMilliseconds: 40)) { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.wait", #"{"_meta":{"deadlineMs":20}}"#)
      peer.request(2, "t.slow")
      var ids: Set<RPCID?> = []
      for _ in 0..<2 {
        let failure = try #require(try await peer.failure())
        #expect(failure.code == .deadlineExceeded)
        ids.insert(failure.id)
      }
      #expect(ids == [.number(1), .number(2)])
      #expect(await fixture.service.cancelled.reaches(2))
    }
  }

  @Test func failuresKeepTheirCodeAndWords() async throws {
    try await Fixture.with { fixture in
      let client = RPCClient(path: fixture.path)
      do throws(Fault) {
        _ = try await client.call(TestService.echo, Text(text: "fail"))
        Issue.record("was answered")
      } catch {
        #expect(error == Fault(.conflict, "as told", cause: ["because"]))
      }
      client.close()
    }
  }

  @Test func unknownMethodsAreToldAndTheConnectionGoesOn() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.nothing")
      #expect(try await peer.failure()?.code == .unknownMethod)
      peer.write(#"{"jsonrpc":"2.0","id":2,"method":"t.echo","params":[1]}"#)
      #expect(try await peer.failure()?.code == .invalidArgument)
      peer.request(3, "t.echo", #"{"text":5}"#)
      #expect(try await peer.failure()?.code == .invalidArgument)
      peer.write(#"{"id":4}"#)
      #expect(try await peer.failure()?.code == .invalidRequest)
      peer.request(5, "rpc.discover")
      guard case .result(.number(5), let document)? = try await peer.read() else {
        Issue.record("rpc.discover was not answered")
        return
      }
      #expect(try JSONValue(parsing: document)["openrpc"] == "1.3.2")
    }
  }

  @Test func aStoppingServerFinishesWhatRuns() async throws {
    let fixture = try await Fixture()
    let client = RPCClient(path: fixture.path)
    async let answer = client.call(TestService.hold, Nothing())
    #expect(await fixture.service.seen.reaches(1))
    async let stopped: Void = fixture.server.shutDown(within: 5000)
    #expect(await eventually { access(fixture.path.string, F_OK) != 0 })
    await fixture.service.gate.open()
    _ = try await answer
    await stopped
    #expect(fixture.server.connectionCount == 0)
    await fixture.end()
  }

  @Test func stoppingTakesBackWhatHasNoEnd() async throws {
    let fixture = try await Fixture()
    let peer = try RawPeer(fixture.path)
    peer.request(1, "t.wait")
    peer.request(2, "t.hold")
    peer.request(3, "t.wait", #"{"_meta":{"deadlineMs":60000}}"#)
    #expect(await fixture.service.seen.reaches(3))
    async let stopped: Void = fixture.server.shutDown(within: 60_000)
    let failure = try #require(try await peer.failure())
    #expect(failure == (.number(1), .unavailable))
    #expect(await fixture.service.cancelled.reaches(1))
    await fixture.service.gate.open()
    var finished: Set<RPCID> = []
    for _ in 0..<2 { if case .result(let id, _)? = try await peer.read() { finished.insert(id) } }
    #expect(finished == [.number(2), .number(3)], "calls that will end are waited for")
    await stopped
    await fixture.end()
  }

  @Test func aSlowReaderCanBeWaitedFor() async throws {
    try await Fixture.with { fixture in
      let peer = try RawPeer(fixture.path)
      peer.request(1, "t.subscribe")
      _ = try await peer.read()
      let connection = try #require(fixture.service.subscribers.withLock { $0.first })
      let text = Text(text: String(repeating: "x", count: 100_000))
      for _ in 0..<20 { #expect(connection.notify(TestService.event, text)) }
      let isDrained = Counter()
      let waiting = Task {
        await connection.drained()
        isDrained.add()
      }
      #expect(isDrained.value == 0, "two megabytes wait: nobody has read them")
      for _ in 0..<20 { _ = try await peer.read() }
      await waiting.value
      #expect(isDrained.value == 1)
    }
  }

  @Test func aSocketOfADeadServiceIsReplacedAndOneOfALivingIsNot() async throws {
    try await Fixture.with { fixture in
      await #expect(throws: Fault.self) {
        _ = try await RPCServer(fixture.service.table, path: fixture.path, logger: Fixture.logger)
      }
      let stale = fixture.folder.appending("stale.sock")
      let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: stale.string.utf8) }
      let size = socklen_t(MemoryLayout<sockaddr_un>.size)
      let bound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, size) }
      }
      #expect(bound == 0)
      close(socket)
      let server = try await RPCServer(fixture.service.table, path: stale, logger: Fixture.logger)
      var status = stat()
      #expect(lstat(stale.string, &status) == 0 && status.st_mode & 0o777 == 0o660)
      await server.shutDown()
      #expect(lstat(stale.string, &status) != 0)
    }
  }
}
