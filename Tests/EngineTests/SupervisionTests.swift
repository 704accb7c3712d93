import Faults
import Foundation
import JSONRPC
import Protocol
import Testing

@testable import Engine

/// The events of one container as they come.
struct Watch {
  let subscription: EventSubscription

  init(_ test: TestEngine) throws {
    subscription = test.engine.events.subscribe(try EventFilter(Filters()), since: nil, until: nil).future
  }

  /// The actions up to and with the next one that begins with `action`.
  func until(_ action: String) async -> [String] {
    var seen: [String] = []
    while case .event(let event)? = await subscription.next() {
      seen.append(event.action)
      if event.action.hasPrefix(action) { return seen }
    }
    return seen
  }
}

@Suite struct RestartsTests {
  static let second: Int64 = 1_000_000_000

  @Test func waitsTwiceAsLongEachTimeAndAMinuteAtMost() {
    var restarts = Restarts(.always)
    let waits = (0..<12).map { _ in restarts.next(code: 0, ran: 0) }
    #expect(waits == [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000])
    #expect(restarts.count == 12)
    #expect(restarts.next(code: 1, ran: 10 * Self.second) == 100, "a steady run begins anew")
    #expect(restarts.next(code: 1, ran: 9 * Self.second) == 200)
  }

  @Test func onFailureCountsAndLooksAtTheCode() {
    var restarts = Restarts(.onFailure(most: 2))
    #expect(restarts.next(code: 0, ran: 0) == nil)
    #expect(restarts.next(code: 3, ran: 0) == 100 && restarts.next(code: 3, ran: 0) == 200)
    #expect(restarts.next(code: 3, ran: 0) == nil && restarts.count == 2)
    restarts.startedByHand()
    #expect(restarts.next(code: 3, ran: 0) == 100)
  }

  @Test func whatAPersonStoppedStaysSo() {
    for policy in [RestartPolicy.always, .unlessStopped, .onFailure(most: 0)] {
      var restarts = Restarts(policy)
      restarts.stoppedByHand = true
      #expect(restarts.next(code: 1, ran: 0) == nil)
    }
    var always = Restarts(.always)
    var unlessStopped = Restarts(.unlessStopped)
    #expect(always.startsWithEngine(afterReboot: false) && unlessStopped.startsWithEngine(afterReboot: false))
    always.stoppedByHand = true
    unlessStopped.stoppedByHand = true
    #expect(always.startsWithEngine(afterReboot: true) && !always.startsWithEngine(afterReboot: false))
    #expect(!unlessStopped.startsWithEngine(afterReboot: true))
    #expect(!Restarts(.never).startsWithEngine(afterReboot: true))
    #expect(!Restarts(.onFailure(most: 0)).startsWithEngine(afterReboot: true))
  }

  @Test(arguments: [
    ("no", 1, "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
    (
      "always", -1,
      "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative"
    ),
    ("on-failure", -1, "invalid restart policy: maximum retry count cannot be negative"),
    (
      "sometimes", 0,
      "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    ),
  ])
  func badPoliciesAreRefusedInDockersWords(name: String, count: Int64, words: String) {
    let fault = #expect(throws: Fault.self) {
      try RestartPolicy(.init(name: .init(rawValue: name), maximumRetryCount: count))
    }
    #expect(fault?.message == words && fault?.code == .invalidArgument)
  }
}

@Suite struct SupervisionTests {
  func always(_ host: inout HostConfig) { host.restartPolicy = .init(name: .always) }

  func state(_ test: TestEngine, _ id: String) async throws -> JSONValue? {
    try await test.engine.containerInspect(.init(container: id)).container["State"]
  }

  @Test func anEndIsFollowedByAStart() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    let id = try await test.run(name: "web", host: always)
    #expect(await watch.until("start") == ["create", "start"])
    test.tasks.end(id, 3)
    #expect(await test.clock.asked() == .milliseconds(100))
    let container = try test.engine.directory.resolve("web")
    #expect(container.state.word == "restarting")
    let waiting = try await state(test, id)
    #expect(waiting?["Restarting"] == true && waiting?["Running"] == true && waiting?["ExitCode"] == 3)
    let listed = try await test.engine.containerList(.init()).containers
    #expect(listed.first?.status.hasPrefix("Restarting (3) ") == true)
    #expect(try await test.rows()[id]?.state == container.state)

    test.clock.advance(by: .seconds(1))
    #expect(await watch.until("start") == ["die", "start"])
    #expect(try await test.engine.containerInspect(.init(container: id)).container["RestartCount"] == 1)
    test.tasks.end(id, 0)
    #expect(await test.clock.asked() == .milliseconds(200))
    test.clock.advance(by: .seconds(1))
    _ = await watch.until("start")
    test.tasks.end(id, 0, after: 11)
    #expect(await test.clock.asked() == .milliseconds(100), "a steady run begins anew")
  }

  @Test func aStopEndsTheWait() async throws {
    let test = try TestEngine()
    let id = try await test.run(host: always)
    test.tasks.end(id, 1)
    _ = await test.clock.asked()
    let execution = await #expect(throws: Fault.self) {
      try await test.engine.containerExec(.init(container: id, config: .init(cmd: ["true"])))
    }
    #expect(execution?.message.hasSuffix("is restarting, wait until the container is running") == true)
    let removal = await #expect(throws: Fault.self) { try await test.engine.containerRemove(.init(container: id)) }
    #expect(removal?.message.contains("container is restarting: stop the container before removing") == true)
    async let waited = test.engine.containerWait(.init(container: id))
    _ = try await test.engine.containerStop(.init(container: id))
    #expect(try await waited.exitCode == 1)
    #expect(test.engine.directory.container(id: id)?.state.word == "exited")
    test.clock.advance(by: .seconds(100))
    await test.engine.background.drain()
    #expect(test.tasks.state.withLock { $0.created.count } == 1)
    #expect(try await test.rows()[id]?.restarts.stoppedByHand == true)
  }

  @Test func aStopOfARunningOneIsFinal() async throws {
    let test = try TestEngine()
    let id = try await test.run(host: always)
    _ = try await test.engine.containerStop(.init(container: id))
    #expect(test.engine.directory.container(id: id)?.state.word == "exited" && test.clock.sleepers == 0)
    _ = try await test.engine.containerStart(.init(container: id))
    #expect(test.engine.directory.container(id: id)?.restarts == Restarts(.always))
    _ = try await test.engine.containerKill(.init(container: id))
    #expect(test.engine.directory.container(id: id)?.state.word == "exited")
    _ = try await test.engine.containerStart(.init(container: id))
    _ = try await test.engine.containerKill(.init(container: id, signal: "HUP"))
    test.tasks.end(id, 129)
    #expect(await test.clock.asked() == .milliseconds(100), "other signals are not a stop")
    _ = try await test.engine.containerRemove(.init(container: id, force: true))
    #expect(test.engine.directory.all.isEmpty && test.clock.sleepers == 0)
  }

  @Test func aKilledEngineGoesOnWaiting() async throws {
    let first = try TestEngine()
    let id = try await first.run(host: always)
    first.tasks.end(id, 5)
    _ = await first.clock.asked()
    await first.engine.background.drain()

    let second = try TestEngine(after: first)
    try await second.engine.load()
    #expect(second.engine.directory.container(id: id)?.state.word == "restarting")
    let watch = try Watch(second)
    while second.engine.directory.container(id: id)?.state.word == "restarting" {
      second.clock.advance(by: .seconds(1))
      await Task.yield()
    }
    #expect(await watch.until("start") == ["start"])
    #expect(second.engine.directory.container(id: id)?.restarts.count == 1)
  }

  @Test func aRebootStartsWhatShouldRun() async throws {
    let first = try TestEngine()
    try await first.engine.load()
    var ids: [String: String] = [:]
    for (name, policy) in [
      ("always", "always"), ("stopped", "always"), ("unless", "unless-stopped"), ("halted", "unless-stopped"),
      ("never", "no"), ("done", "on-failure"), ("failed", "on-failure"),
    ] {
      ids[name] = try await first.run(
        name: name, host: { $0.restartPolicy = .init(name: .init(rawValue: policy)) })
    }
    for name in ["stopped", "halted"] { _ = try await first.engine.containerStop(.init(container: name)) }
    first.tasks.end(ids["done"] ?? "", 0)
    await first.engine.background.drain()
    let same = try TestEngine(after: first)
    try await same.engine.load()
    #expect(same.engine.directory.all.count { $0.state.word == "running" } == 4, "a new engine alone starts nothing")
    await same.engine.background.drain()

    first.tasks.reboot()
    let second = try TestEngine(after: first, boot: "second")
    try await second.engine.load()
    // What is due at once may run already.
    let ended = second.engine.directory.all.filter { $0.state.word == "exited" }.map(\.name)
    #expect(Set(ended) == ["halted", "never", "done"])
  }

  @Test func whatCannotStartIsNotTriedForEver() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    let id = try await test.run(host: always)
    test.tasks.end(id, 1)
    #expect(await test.clock.asked() == .milliseconds(100))
    test.tasks.state.withLock { $0.failure = Fault(.unavailable, "the task service is away") }
    test.clock.advance(by: .seconds(1))
    // The services are back later: nothing was wrong with the container.
    while test.tasks.state.withLock({ $0.created.count }) < 2 { await Task.yield() }
    #expect(await test.clock.asked() == .seconds(1))
    test.tasks.state.withLock { $0.failure = Fault(.commandNotFound, "no such file") }
    async let waited = test.engine.containerWait(.init(container: id))
    test.clock.advance(by: .seconds(2))
    #expect(try await waited.exitCode == 127)
    #expect(test.engine.directory.container(id: id)?.state.word == "exited" && test.clock.sleepers == 0)
    #expect(await watch.until("die") == ["create", "start", "die"])
  }

  @Test func removalAndRestartExcludeEachOther() async throws {
    let test = try TestEngine()
    let fault = await #expect(throws: Fault.self) { try await test.run(autoRemove: true, host: always) }
    #expect(fault?.message == "can't create 'AutoRemove' container with restart policy")
    let id = try await test.run(autoRemove: true)
    let container = try test.engine.directory.resolve(id)
    let update = await #expect(throws: Fault.self) {
      try await test.engine.setRestartPolicy(container, .init(name: .always))
    }
    #expect(update?.message == "Restart policy cannot be updated because AutoRemove is enabled for the container")
    // Docker's restart of such a container is a restart, not its end.
    _ = try await test.engine.containerRestart(.init(container: id))
    #expect(test.engine.directory.container(id: id)?.state.running != nil)
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id, condition: .removed))
    #expect(test.engine.directory.all.isEmpty)
  }

  @Test func aPolicyIsChangedAndKept() async throws {
    let test = try TestEngine()
    let id = try await test.run()
    try await test.engine.setRestartPolicy(
      test.engine.directory.resolve(id), .init(name: .onFailure, maximumRetryCount: 4))
    let policy = try await test.engine.containerInspect(.init(container: id)).container["HostConfig"]?["RestartPolicy"]
    #expect(policy == ["Name": "on-failure", "MaximumRetryCount": 4])
    let second = try TestEngine(after: test)
    try await second.engine.load()
    #expect(second.engine.directory.container(id: id)?.restarts.policy == .onFailure(most: 4))
  }
}

@Suite struct HealthTests {
  func checked(_ action: String? = nil) -> (inout ContainerConfig) -> Void {
    { $0.healthcheck = .init(test: ["CMD", "true"], onUnhealthy: action.map { .init(rawValue: $0) }) }
  }

  @Test func theVerdictIsToldOnceAndShown() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    let id = try await test.run(name: "web", config: checked())
    #expect(test.tasks.state.withLock { $0.created.first?.health?.process?.args } == ["true"])
    func listed(_ health: String) async throws -> String? {
      try await test.engine.containerList(.init(filters: ["health": [health]])).containers.first?.status
    }
    #expect(try await listed("starting")?.hasSuffix(" (health: starting)") == true)
    test.tasks.tell(id, .healthy)
    test.tasks.tell(id, .healthy)
    test.tasks.tell(id, .unhealthy)
    test.tasks.tell(id, .healthy)
    #expect(
      await watch.until("health_status: unhealthy")
        == ["create", "start", "health_status: healthy", "health_status: unhealthy"])
    #expect(await watch.until("health_status") == ["health_status: healthy"])
    #expect(try await listed("healthy")?.hasSuffix(" (healthy)") == true)
    let health = try await test.engine.containerInspect(.init(container: id)).container["State"]?["Health"]
    #expect(health == ["Status": "healthy", "FailingStreak": 0, "Log": []])
    test.tasks.end(id, 0)
    #expect(await watch.until("die") == ["die"])
    let after = try await test.engine.containerInspect(.init(container: id)).container["State"]?["Health"]?["Status"]
    #expect(after == "unhealthy", "as Docker says of what has ended")
  }

  @Test func unhealthyCanMeanRestart() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    let id = try await test.run(config: checked("restart"))
    test.tasks.tell(id, .unhealthy)
    #expect(
      await watch.until("die") == ["create", "start", "health_status: unhealthy", "kill", "die"])
    #expect(await watch.until("start") == ["start"])
    #expect(test.engine.directory.container(id: id)?.restarts.count == 1)
    test.tasks.end(id, 0)
    _ = await watch.until("die")
    #expect(test.engine.directory.container(id: id)?.state.word == "exited", "its own end is its policy's")
  }

  @Test func unhealthyCanMeanStopOrKill() async throws {
    let test = try TestEngine()
    let watch = try Watch(test)
    let stopped = try await test.run(config: checked("stop")) { $0.restartPolicy = .init(name: .always) }
    test.tasks.tell(stopped, .unhealthy)
    _ = await watch.until("stop")
    #expect(test.engine.directory.container(id: stopped)?.state.word == "exited")
    let killed = try await test.run(config: checked("kill")) { $0.restartPolicy = .init(name: .always) }
    test.tasks.tell(killed, .unhealthy)
    _ = await watch.until("die")
    #expect(test.engine.directory.container(id: killed)?.state.word == "restarting")
    #expect(test.engine.directory.container(id: killed)?.state.last?.code == 137)
  }

  @Test func whatBecameUnhealthyWhileNobodyLookedIsActedOn() async throws {
    let first = try TestEngine()
    let id = try await first.run(config: checked("stop"))
    await first.engine.background.drain()
    first.tasks.state.withLock { $0.tasks[id]?.health = .unhealthy }
    let second = try TestEngine(after: first)
    let watch = try Watch(second)
    try await second.engine.load()
    #expect(await watch.until("stop") == ["kill", "die", "stop"])
  }

  @Test func checksAreMergedWithTheImages() throws {
    var image = GatewayAPI.ContainerConfig()
    image.healthcheck = nil
    let merged = ImageMerge.merge(
      .init(healthcheck: .init(interval: 5, onUnhealthy: .kill)),
      image: .init(healthcheck: .init(test: ["CMD", "a"], interval: 7, timeout: 9, retries: 2)))
    #expect(
      merged.healthcheck
        == .init(
          test: ["CMD", "a"], interval: 5, timeout: 9, retries: 2, startPeriod: nil, startInterval: nil,
          onUnhealthy: .kill))
    let off = ImageMerge.merge(
      .init(healthcheck: .init(test: ["NONE"])), image: .init(healthcheck: .init(test: ["CMD", "a"])))
    #expect(try HealthPlan(off) == nil)
  }

  @Test func standardsAndProbesAreFilledIn() throws {
    let plan = try #require(try HealthPlan(.init(healthcheck: .init(test: ["CMD-SHELL", "exit 1"]))))
    let check = plan.check(spec: .init(process: .init(args: ["main"], cwd: "/x")), config: .init())
    #expect(check.process?.args == ["/bin/sh", "-c", "exit 1"] && check.process?.cwd == "/x")
    #expect(check.interval == 30_000 && check.timeout == 30_000 && check.retries == 3 && check.startInterval == 5000)
    func probe(_ test: [String]) throws -> HealthPlan.Test? {
      try HealthPlan(.init(healthcheck: .init(test: test)))?.test
    }
    #expect(try probe(["TCP", ":80"]) == .probe(.tcp(host: "127.0.0.1", port: 80)))
    #expect(try probe(["HTTP", "[::1]:81/a"]) == .probe(.http(host: "::1", port: 81, path: "/a")))
    #expect(try probe(["FILE", "/ready"]) == .probe(.file(path: "/ready")))
    #expect(try probe(["CMD-SHELL", "http://localhost/"]) == .probe(.http(host: "127.0.0.1", port: 80, path: "/")))
    #expect(try probe(["CMD-SHELL", "tcp://x y"]) == .shell("tcp://x y"))
  }

  @Test(arguments: [
    (["CMD"], "CMD names no program"), (["RUN", "x"], "the test begins with \"RUN\""),
    (["TCP", "host:80"], "\"host\" is no address"), (["TCP", "127.0.0.1"], "the port is a number"),
    (["HTTP", "https://127.0.0.1/"], "needs TLS"), (["HTTP", "http://127.0.0.1/a b"], "printable"),
    (["HTTP", "http://127.0.0.1/\r\nX: y"], "printable"), (["FILE", "ready"], "the path is absolute"),
  ])
  func badTestsAreRefused(test: [String], words: String) {
    let fault = #expect(throws: Fault.self) { try HealthPlan(.init(healthcheck: .init(test: test))) }
    #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
  }

  @Test func badNumbersAreRefused() {
    for health in [
      GatewayAPI.HealthConfig(test: ["CMD", "a"], interval: 10), .init(timeout: 999_999), .init(retries: -1),
      .init(startPeriod: -5), .init(onUnhealthy: .init(rawValue: "panic")),
    ] {
      #expect(throws: Fault.self) { try HealthPlan(.init(healthcheck: health)) }
    }
  }
}
