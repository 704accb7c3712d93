import Faults
import Foundation
import Glibc
import JSONRPC
import OCI
import Protocol
import SystemPackage
import Testing

@testable import ShimCore
@testable import Tasks

@Suite struct HealthLedgerTests {
  func ledger(retries: Int64 = 3, startPeriod: Int64 = 0) -> HealthLedger {
    HealthLedger(
      HealthCheck(interval: 1000, timeout: 1, retries: retries, startPeriod: startPeriod, startInterval: 10))
  }

  func result(_ code: Int32) -> ProbeResult { ProbeResult(start: .now(), end: .now(), exitCode: code, output: []) }

  @Test func asManyFailuresInARowAsRetriesSay() {
    var ledger = ledger()
    #expect(!ledger.note(result(1), age: 0) && !ledger.note(result(1), age: 0) && ledger.status == .starting)
    #expect(ledger.note(result(-1), age: 0) && ledger.status == .unhealthy && ledger.failingStreak == 3)
    #expect(ledger.note(result(0), age: 0) && ledger.status == .healthy && ledger.failingStreak == 0)
    #expect(!ledger.note(result(1), age: 0) && !ledger.note(result(0), age: 0), "nothing to tell")
    #expect(ledger.results.count == HealthLedger.mostResults && ledger.state.log.map(\.exitCode) == [1, -1, 0, 1, 0])
  }

  @Test func theStartPeriodForgivesUntilTheFirstSuccess() {
    var ledger = ledger(retries: 1, startPeriod: 500)
    #expect(ledger.delay(age: 0) == 10)
    #expect(!ledger.note(result(1), age: 499) && ledger.failingStreak == 0)
    #expect(ledger.note(result(0), age: 400) && ledger.delay(age: 400) == 1000)
    #expect(ledger.note(result(1), age: 450) && ledger.status == .unhealthy)
    var late = self.ledger(retries: 1, startPeriod: 500)
    #expect(late.note(result(1), age: 500) && late.delay(age: 500) == 1000)
  }

  @Test func firstProbesAreSpread() {
    #expect(ledger().firstDelay(chance: 0) == 500 && ledger().firstDelay(chance: 1) == 1000)
    #expect(ledger(startPeriod: 100).firstDelay(chance: 1) == 10)
  }
}

@Suite struct HTTPStatusTests {
  @Test(arguments: [
    ("HTTP/1.1 200 OK\r", 200), ("HTTP/1.0 404", 404), ("HTTP/1.1 301\r", 301), ("HTTP/2 200 OK", nil),
    ("HTTP/1.1 2000 OK", nil), ("HTTP/1.1 20", nil), ("SSH-2.0-OpenSSH", nil), ("", nil), ("HTTP/1.1  200", nil),
  ])
  func isThreeDigitsOrNone(line: String, status: Int?) {
    #expect(ConnectionProbe.status(Array(line.utf8)[...]) == status)
  }

  @Test func hostileLinesAreMadeHarmless() {
    let line = Array("HTTP/1.1 200 \u{1B}[31mred\u{7}".utf8) + [0xFF, 0]
    #expect(ConnectionProbe.printable(line[...]) == "HTTP/1.1 200 [31mred")
    #expect(ConnectionProbe.printable(Array(repeating: 65, count: 5000)[...]).utf8.count == 256)
  }
}

extension TaskManagerTests {
  /// Among the tests of tasks, because these take the ends of all children of the process.
  @Suite(.timeLimit(.minutes(2)))
  struct HealthCheckTests {
    /// Other suites run beside this one: containers of one process with one name would share a cgroup.
    private static let id = "checked"

    /// Runs `body` with a container that has a check, and the events of its health.
    private func with(
      _ arguments: [String], _ change: (inout HealthCheck, Fixture) -> Void,
      _ body: (Fixture, inout AsyncStream<HealthState>.Iterator) async throws -> Void
    ) async throws {
      let fixture = try await Fixture()
      defer { fixture.close() }
      let (stream, continuation) = AsyncStream.makeStream(of: HealthState.self)
      fixture.manager.events.subscribe { event in
        if let health = event.health { continuation.yield(health) }
        return true
      }
      var check = HealthCheck(interval: 20, timeout: 2000, retries: 2, startPeriod: 0, startInterval: 20)
      change(&check, fixture)
      _ = try await fixture.create(Self.id, arguments, health: check)
      var health = stream.makeAsyncIterator()
      do {
        try await body(fixture, &health)
      } catch {
        try? await fixture.delete(Self.id)
        throw error
      }
      try await fixture.delete(Self.id)
    }

    private func run(_ fixture: Fixture, _ script: String) async throws {
      _ = try await fixture.manager.exec(
        .init(id: Self.id, exec: UUID().uuidString, process: fixture.process(["sh", "-c", script]), stdin: false))
    }

    @Test func aProgramSaysHowItIs() async throws {
      try await with(["sleep", "1000"]) { check, fixture in
        check.process = fixture.process(["sh", "-c", "echo state; cat /dev/well && exit 0; exit 3"])
      } _: { fixture, health in
        let first = await health.next()
        #expect(first?.status == .unhealthy && first?.failingStreak == 2 && first?.log.last?.exitCode == 3)
        #expect(first?.log.last?.output.hasPrefix("state\ncat: ") == true)
        #expect(try await fixture.manager.get(.init(id: Self.id)).task.health == .unhealthy)
        try await run(fixture, "echo yes >/dev/well")
        #expect(await health.next()?.status == .healthy)
        // A new task service asks the shim.
        try await fixture.restart()
        #expect(try await fixture.manager.get(.init(id: Self.id)).task.health == .healthy)
        let state = try #require(try await fixture.manager.health(.init(id: Self.id)).health)
        #expect(state.status == .healthy && state.log.last?.output == "state\nyes\n")
      }
    }

    @Test func whatTakesTooLongIsKilledWithItsChildren() async throws {
      try await with(["sleep", "1000"]) { check, fixture in
        check.process = fixture.process(["sh", "-c", "echo begun; sleep 999 & wait"])
        check.timeout = 300
        check.retries = 1
      } _: { fixture, health in
        let result = await health.next()?.log.last
        #expect(result?.exitCode == -1 && result?.output == "Health check exceeded timeout (0.3s): begun\n")
        _ = try await fixture.manager.pause(.init(id: Self.id))
        _ = try await fixture.manager.resume(.init(id: Self.id))
        let pids = try await fixture.manager.processes(.init(id: Self.id)).pids
        #expect(pids.count <= 3, "the container's own, and a probe of now at most: \(pids)")
      }
    }

    @Test func outputIsBounded() async throws {
      try await with(["sleep", "1000"]) { check, fixture in
        check.process = fixture.process(["sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done"])
        check.timeout = 500
        check.retries = 1
      } _: { _, health in
        let result = try #require(await health.next()?.log.last)
        #expect(result.exitCode == -1 && result.output.utf8.count == ProbeResult.mostOutput)
      }
    }

    @Test func aProgramThatIsNotThereIsAFailure() async throws {
      try await with(["sleep", "1000"]) { check, fixture in
        check.process = fixture.process(["nothing"])
        check.retries = 1
      } _: { _, health in
        let result = await health.next()?.log.last
        #expect(result?.exitCode == -1 && result?.output.contains("nothing") == true, "\(result?.output ?? "")")
      }
    }

    @Test func aFileIsSeenInTheContainersRoot() async throws {
      try await with(["sleep", "1000"]) { check, _ in
        check.probe = "file:///dev/ready"
      } _: { fixture, health in
        #expect(await health.next()?.log.last?.output == "/dev/ready does not exist")
        try await run(fixture, "echo >/dev/ready")
        let next = await health.next()
        #expect(next?.status == .healthy && next?.log.last?.output == "/dev/ready exists")
      }
      try await with(["sleep", "1000"]) { check, _ in
        check.probe = "file:///dev/link"
        check.retries = 1
      } _: { fixture, health in
        #expect(await health.next()?.status == .unhealthy)
        // The machine's /etc/passwd is not the container's: only the second link leads to something.
        let both = "busybox ln -s ../../../../../etc/passwd /dev/link; sleep 0.3; busybox ln -s /bin/busybox /dev/new; "
        try await run(fixture, both + "busybox mv /dev/new /dev/link")
        let next = await health.next()
        #expect(next?.status == .healthy && next?.log.dropLast().allSatisfy { $0.exitCode == 1 } == true)
      }
    }

    @Test func aPortInTheContainersNetworkIsConnectedTo() async throws {
      try await with(["sleep", "1000"]) { check, _ in
        check.probe = "tcp://127.0.0.1:8080"
      } _: { fixture, health in
        #expect(await health.next()?.log.last?.output == "127.0.0.1:8080: Connection refused")
        try await run(fixture, "busybox httpd -f -p 8080 -h /bin")
        let next = await health.next()
        #expect(next?.status == .healthy && next?.log.last?.output == "connected to 127.0.0.1:8080")
      }
    }

    @Test func httpIsAskedForItsStatus() async throws {
      try await with(["busybox", "httpd", "-f", "-p", "8080", "-h", "/dev"]) { check, _ in
        check.probe = "http://127.0.0.1:8080/page"
      } _: { fixture, health in
        let first = await health.next()
        #expect(first?.status == .unhealthy && first?.log.last?.output.hasPrefix("HTTP/1.") == true)
        #expect(first?.log.last?.output.contains("404") == true)
        try await run(fixture, "echo hello >/dev/page")
        let next = await health.next()
        #expect(next?.status == .healthy && next?.log.last?.output.contains("200 OK") == true)
      }
    }

    @Test func aPortThatSaysNothingTakesTooLong() async throws {
      try await with(["sh", "-c", "while :; do busybox nc -l -p 81 </dev/zero >/dev/null; done"]) { check, _ in
        check.probe = "http://127.0.0.1:81/"
        check.timeout = 300
      } _: { _, health in
        // An endless stream of zeroes without a line's end: 4096 bytes are looked at.
        #expect(await health.next()?.status == .unhealthy)
      }
    }

    @Test func badChecksAreRefused() async throws {
      let fixture = try await Fixture()
      defer { fixture.close() }
      var both = HealthCheck(
        process: fixture.process(["true"]), probe: "tcp://:1", interval: 1, timeout: 1, retries: 1, startPeriod: 0,
        startInterval: 1)
      for _ in 0..<3 {
        let fault = await #expect(throws: Fault.self) { try await fixture.create(Self.id, ["true"], health: both) }
        #expect(fault?.code == .invalidArgument)
        both.process = nil
        both.probe = both.probe == "tcp://:1" ? "ftp://x" : "tcp://:1"
        both.retries = both.probe == "tcp://:1" ? 0 : 1
      }
    }
  }
}
