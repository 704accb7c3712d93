import FoundationEssentials
import Protocol
import QuickJSON
import Testing

@testable import ShimCore

/// What is written by hand is what JSONDecoder reads.
@Suite struct CompactJSONTests {
  private let odd = "say \"hi\"\\\n\u{1}\u{1F}é😀\u{2028}"

  private func decoded<Value: Decodable>(_ json: String, as type: Value.Type = Value.self) throws -> Value {
    try JSONDecoder().decode(type, from: Data(json.utf8))
  }

  @Test func exits() throws {
    for exit in [
      ExitStatus(code: 0, oomKilled: false, finishedAt: "2026-01-02T03:04:05.000000006Z"),
      ExitStatus(code: 137, signal: 9, oomKilled: true, finishedAt: "x", error: odd),
    ] {
      #expect(try decoded(exit.json) == exit)
      let outcome = TaskOutcome(pid: 7, startedAt: "t", exit: exit, execs: [odd: exit, "b": exit])
      #expect(try decoded(outcome.json) == outcome)
      let bare = TaskOutcome(pid: 7, exit: exit)
      #expect(try decoded(bare.json) == bare)
    }
  }

  @Test func progressAndFirstLine() throws {
    for startedAt in [nil, "2026-01-02T03:04:05.000000006Z"] {
      let progress = TaskProgress(shimPid: 1, pid: 2, startedAt: startedAt)
      #expect(try decoded(progress.json) == progress)
      let ready = ShimReady(pid: 2, startedAt: startedAt, token: "00ff")
      #expect(try decoded(ready.json) == ready)
    }
  }

  @Test func events() throws {
    struct Line: Decodable {
      var jsonrpc: String
      var method: String
      var params: ShimAPI.ShimEvent
    }
    let exit = ExitStatus(code: 1, oomKilled: false, finishedAt: "t")
    for event in [
      ShimAPI.ShimEvent(type: .oom, time: "t", id: "a"),
      ShimAPI.ShimEvent(type: .execExit, time: "t", id: "a", exec: odd, pid: 4, exit: exit),
    ] {
      let line = try decoded(event.line, as: Line.self)
      #expect(line.jsonrpc == "2.0" && line.method == "shim.event" && line.params == event)
    }
  }
}
