import Faults
import Foundation
import JSONRPC
import Logging
import Protocol
import Testing

@testable import Engine

@Suite struct EventTests {
  func event(_ action: String, id: String = "abcdef", type: String = "container", _ more: [String: String] = [:]) -> Event {
    Event(type, action, actor: id, attributes: ["name": "web", "image": "host:5000/box:1", "tier": "front"].merging(more) { $1 })
  }

  func matches(_ filters: [String: [String]], _ event: Event) throws -> Bool {
    try EventFilter(Filters(filters)).matches(event)
  }

  @Test func filtersAreDockers() throws {
    let start = event("start")
    #expect(try matches(["container": ["we"]], start) && matches(["container": ["abc"]], start))
    #expect(try !matches(["container": ["eb"]], start) && !matches(["volume": ["web"]], start))
    #expect(try matches(["image": ["host:5000/box"]], start) && matches(["image": ["host:5000/box:1"]], start))
    #expect(try !matches(["image": ["host"]], start))
    #expect(try matches(["label": ["tier=front"]], start) && !matches(["label": ["tier=front", "x"]], start))
    #expect(try matches(["event": ["die", "start"]], start) && !matches(["event": ["die"]], start))
    #expect(try matches(["event": ["health_status"]], event("health_status: healthy")))
    #expect(try matches(["event": ["exec_create"]], event("exec_create: sh -c x")))
    #expect(try matches(["type": ["container"], "scope": ["local"]], start) && !matches(["type": ["image"]], start))
    #expect(try matches(["daemon": ["host"]], .lost(3, host: "host", time: .now())))
    #expect(throws: Fault.self) { try matches(["contaner": ["x"]], start) }
  }

  @Test func aSlowReaderIsToldHowMuchItLost() async throws {
    let folder = "/tmp/gantry-events-\(Identifier.random(digits: 10))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let hub = try hub(folder)
    let all = try EventFilter(Filters(["event": ["start"]]))
    let (_, slow) = hub.subscribe(all, since: nil, until: nil)
    for _ in 0..<EventSubscription.most + 10 {
      hub.publish(event("start"))
      hub.publish(event("die"))
    }
    var taken = 0
    while taken < EventSubscription.most {
      guard case .event? = await slow.next() else { break }
      taken += 1
    }
    #expect(taken == EventSubscription.most)
    guard case .lost(let count, _)? = await slow.next() else {
      Issue.record("the gap is not marked")
      return
    }
    #expect(count == 10, "those that it did not ask for are not lost")
    hub.publish(event("start", ["n": "1"]))
    guard case .event(let next)? = await slow.next() else {
      Issue.record("nothing comes after the gap")
      return
    }
    #expect(next.attributes["n"] == "1")
    slow.end()
    #expect(await slow.next() == nil && hub.subscriberCount == 0)
  }

  func hub(_ folder: String) throws -> EventHub {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    return EventHub(
      journal: EventJournal(
        path: folder + "/events.json", log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
  }

  @Test func historySurvivesTheEngineAndStaysBounded() throws {
    let folder = "/tmp/gantry-events-\(Identifier.random(digits: 10))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let first = try hub(folder)
    let all = try EventFilter(Filters())
    first.publish(event("start", ["n": "0"]))
    let (past, future) = first.subscribe(all, since: Timestamp(nanoseconds: 0), until: nil)
    #expect(past.map(\.attributes["n"]) == ["0"])
    future.end()
    // A line that a crash cut off.
    let file = try #require(FileHandle(forWritingAtPath: folder + "/events.json"))
    try file.seekToEnd()
    try file.write(contentsOf: Data("{\"Type\":\"cont".utf8))
    let second = try hub(folder)
    for n in 1...4000 { second.publish(event("die", ["n": String(n), "x": String(repeating: "y", count: 300)])) }
    let (kept, rest) = second.subscribe(all, since: Timestamp(nanoseconds: 0), until: nil)
    rest.end()
    #expect(kept.count > 500 && kept.last?.attributes["n"] == "4000")
    #expect(zip(kept, kept.dropFirst()).allSatisfy { $0.time < $1.time })
    let size = try FileManager.default.attributesOfItem(atPath: folder + "/events.json")[.size] as? Int
    #expect(try #require(size) <= EventJournal.most)
    let third = try hub(folder)
    #expect(third.subscribe(all, since: kept.last?.time, until: nil).past.count == 1)
  }

  @Test func anEarlyEndIsToldAfterItsStart() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    test.tasks.state.withLock { $0.endsAtOnce = 3 }
    _ = try await test.run(autoRemove: true)
    #expect(await watch.until("destroy") == ["create", "start", "die", "destroy"])
  }

  @Test func manyContainersKeepTheirOrder() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    test.tasks.state.withLock { $0.endsAtOnce = 0 }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<40 {
        group.addTask {
          let id = try await test.run()
          _ = try await test.engine.containerWait(.init(container: id))
          _ = try await test.engine.containerRemove(.init(container: id))
        }
      }
      try await group.waitForAll()
    }
    var seen: [String: [String]] = [:]
    var destroyed = 0
    while destroyed < 40, case .event(let event)? = await watch.subscription.next() {
      seen[event.actor, default: []].append(event.action)
      if event.action == "destroy" { destroyed += 1 }
    }
    #expect(seen.count == 40)
    for actions in seen.values { #expect(actions == ["create", "start", "die", "destroy"]) }
  }

  @Test func execsAreToldInOrder() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    let id = try await test.run()
    let exec = try await test.engine.containerExec(.init(container: id, config: .init(cmd: ["sh", "-c", "x"]))).exec
    _ = try await test.engine.containerDetach(.init(container: id, exec: exec))
    test.tasks.end(id, 0)
    #expect(
      await watch.until("die")
        == ["create", "start", "exec_create: sh -c x", "exec_start: sh -c x", "exec_detach", "exec_die", "die"])
  }
}
