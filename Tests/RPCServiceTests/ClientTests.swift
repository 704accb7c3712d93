import Faults
import FoundationEssentials
import JSONRPC
import Linux
import RPCService
import Synchronization
import Testing

@Suite struct ClientTests {
  @Test func aHundredCallsAtOnceShareOneConnection() async throws {
    try await Fixture.with { fixture in
      let client = RPCClient(path: fixture.path)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<100 {
          group.addTask {
            let answer = try await client.call(TestService.echo, Text(text: "\(number)"))
            #expect(answer == Text(text: "\(number)"))
          }
        }
        try await group.waitForAll()
      }
      #expect(fixture.server.connectionCount == 1)
      client.close()
    }
  }

  @Test func aCancelledTaskTakesItsCallBack() async throws {
    try await Fixture.with { fixture in
      let client = RPCClient(path: fixture.path)
      let task = Task {
        do throws(Fault) {
          _ = try await client.call(TestService.wait, Nothing())
          return nil as FaultCode?
        } catch {
          return error.code
        }
      }
      #expect(await fixture.service.seen.reaches(1))
      task.cancel()
      #expect(await task.value == .cancelled)
      #expect(await fixture.service.cancelled.reaches(1))
      client.close()
    }
  }

  @Test func progressReachesTheCaller() async throws {
    try await Fixture.with { fixture in
      let client = RPCClient(path: fixture.path)
      let steps = Mutex<[String]>([])
      let context = CallContext(progress: { value in
        if let text: Text = try? RPCCoding.decode(value) { steps.withLock { $0.append(text.text) } }
      })
      _ = try await client.call(TestService.progress, Nothing(), context)
      #expect(steps.withLock { $0 } == ["one", "two"])
      client.close()
    }
  }

  @Test func aServiceThatDoesNotAnswerIsGivenUp() async throws {
    let pair = try UnixSocket.pair()
    let client = try await RPCClient(descriptor: try pair.first.duplicate(), name: "nobody")
    do throws(Fault) {
      _ = try await client.call(TestService.echo, Text(text: "x"), CallContext(deadline: .after(milliseconds: 10)))
      Issue.record("was answered")
    } catch {
      #expect(error.code == .deadlineExceeded)
    }
    client.close()
    _ = pair.second.rawValue
  }

  @Test func notificationsEndWithTheConnectionAndTheClientConnectsAnew() async throws {
    let folder = try Fixture.makeFolder()
    let path = folder.appending("t.sock")
    let client = RPCClient(path: path)
    do throws(Fault) {
      _ = try await client.call(TestService.echo, Text(text: "early"))
      Issue.record("was answered")
    } catch {
      #expect(error.code == .unavailable)
    }
    for round in 1...2 {
      let service = TestService()
      let server = try await RPCServer(service.table, path: path, logger: Fixture.logger)
      let events = client.notifications(TestService.event)
      _ = try await client.call(TestService.subscribe, Nothing())
      let connection = try #require(service.subscribers.withLock { $0.first })
      for number in 1...3 { connection.notify(TestService.event, Text(text: "\(round).\(number)")) }
      connection.onClose { service.seen.add() }
      let reader = Task {
        var texts: [String] = []
        for await event in events {
          texts.append(event.text)
          if texts.count == 3 { service.cancelled.add() }
        }
        return texts
      }
      #expect(await service.cancelled.reaches(1))
      await server.shutDown(within: 0)
      #expect(await reader.value == (1...3).map { "\(round).\($0)" })
      #expect(await service.seen.reaches(1))
    }
    client.close()
    try? FileManager.default.removeItem(atPath: folder.string)
  }

  @Test func callsOfALostConnectionFail() async throws {
    try await Fixture.with { fixture in
      let client = RPCClient(path: fixture.path)
      async let outcome = Self.code { () async throws(Fault) in _ = try await client.call(TestService.wait, Nothing()) }
      #expect(await fixture.service.seen.reaches(1))
      client.close()
      #expect(await outcome == .unavailable)
      #expect(
        await Self.code { () async throws(Fault) in _ = try await client.call(TestService.wait, Nothing()) }
          == .unavailable)
    }
  }

  private static func code(_ body: @Sendable () async throws(Fault) -> Void) async -> FaultCode? {
    do throws(Fault) {
      try await body()
      return nil
    } catch {
      return error.code
    }
  }
}
