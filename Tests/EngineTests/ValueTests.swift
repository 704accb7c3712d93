import Faults
import Testing

@testable import Engine

@Suite struct TimestampTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0), ("2026-11-24T00:15:57.473371003Z", 1_795_479_357_473_371_003),
    ("2024-02-29T23:59:59.5Z", 1_709_251_199_500_000_000), ("1969-12-31T23:59:59.25Z", -750_000_000),
  ])
  func readsAndPrints(text: String, nanoseconds: Int64) throws {
    let moment = try #require(Timestamp(rfc3339: text))
    #expect(moment.nanoseconds == nanoseconds)
    #expect(moment.text() == text)
  }

  @Test func readsOffsetsAndDates() {
    #expect(Timestamp(rfc3339: "2026-11-24T01:15:57+01:00") == Timestamp(rfc3339: "2026-11-24T00:15:57Z"))
    #expect(Timestamp(rfc3339: "2026-11-24")?.text() == "2026-11-24T00:00:00Z")
    #expect(Timestamp(rfc3339: "2026-11-24T00:15")?.text() == "2026-11-24T00:15:00Z")
  }

  @Test(arguments: ["", "x", "2026-13-01", "2026-11-24T25:00:00Z", "2026-11-24T00:00:00.Z", "20261124", "99999-01-01"])
  func refuses(text: String) { #expect(Timestamp(rfc3339: text) == nil) }

  @Test func argumentsAreSecondsMomentsOrLengths() {
    let now = Timestamp(nanoseconds: 1_700_000_000_000_000_000)
    #expect(Timestamp(argument: "1700000000.25", now: now)?.nanoseconds == 1_700_000_000_250_000_000)
    #expect(Timestamp(argument: "1h30m", now: now)?.nanoseconds == now.nanoseconds - 5_400_000_000_000)
    #expect(Timestamp(argument: "1.5s", now: now)?.nanoseconds == now.nanoseconds - 1_500_000_000)
    #expect(Timestamp(argument: "yesterday", now: now) == nil)
    #expect(Timestamp(argument: "10", now: now)?.nanoseconds == 10_000_000_000)
  }
}

@Suite struct StatusTextTests {
  @Test(arguments: [
    (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (120, "2 minutes"),
    (3599, "59 minutes"), (3600, "About an hour"), (5400, "2 hours"), (86_400, "24 hours"), (172_800, "2 days"),
    (86_400 * 13, "13 days"), (86_400 * 14, "2 weeks"), (86_400 * 60, "2 months"), (86_400 * 365 * 2, "2 years"),
  ])
  func saysLengths(seconds: Int, words: String) {
    #expect(StatusText.duration(nanoseconds: Int64(seconds) * 1_000_000_000) == words)
  }

  @Test func saysStates() {
    let now = Timestamp(nanoseconds: 1_000_000_000_000)
    let started = Timestamp(nanoseconds: 995_000_000_000)
    let running = ContainerState.Running(pid: 1, startedAt: started)
    let ended = ContainerState.Exited(code: 3, startedAt: started, finishedAt: Timestamp(nanoseconds: 820_000_000_000))
    #expect(StatusText.status(.running(running), now: now) == "Up 5 seconds")
    #expect(StatusText.status(.paused(running), now: now) == "Up 5 seconds (Paused)")
    #expect(StatusText.status(.exited(ended), now: now) == "Exited (3) 3 minutes ago")
    #expect(StatusText.status(.created, now: now) == "Created")
    #expect(StatusText.status(.removing(last: nil), now: now) == "Removal In Progress")
  }
}

@Suite struct StateTests {
  private let running = ContainerState.running(.init(pid: 7, startedAt: Timestamp(nanoseconds: 5)))
  private let exited = ContainerState.exited(
    .init(
      code: 2, startedAt: Timestamp(nanoseconds: 5), finishedAt: Timestamp(nanoseconds: 9), oomKilled: true, error: "e")
  )

  @Test func onlyWhatFitsTheStateCanHappen() throws {
    #expect(throws: Fault.self) { try running.starting("c") }
    #expect(throws: Fault.self) { try exited.pausing("c") }
    #expect(throws: Fault.self) { try running.resuming("c") }
    #expect(throws: Fault.self) { try running.removing("c", force: false) }
    #expect(throws: Fault.self) { try ContainerState.removing(last: nil).starting("c") }
    #expect(try running.removing("c", force: true) == .removing(last: nil))
    #expect(try running.pausing("c").resuming("c") == running)
    #expect(try exited.starting("c").started(pid: 8, at: Timestamp(nanoseconds: 10)).last?.code == 2)
  }

  @Test func columnsKeepEveryState() throws {
    for state in [
      .created, .starting(last: nil), running, exited, try running.pausing("c"), .removing(last: nil),
      try exited.removing("c", force: false), .starting(last: exited.last),
      .exited(.init(code: 127, startedAt: nil, finishedAt: Timestamp(nanoseconds: 3), error: "no such file")),
    ] as [ContainerState] {
      #expect(StateColumns(state).state == state)
    }
  }
}

@Suite struct NameTests {
  @Test func generatedNamesAreValidAndDiffer() {
    let names = Set((0..<200).map { _ in Names.generate() })
    #expect(names.count > 150)
    #expect(names.allSatisfy { Names.isValid($0) && $0.split(separator: "_").count == 2 })
  }

  @Test(arguments: ["", "a", "-ab", ".ab", "a b", "a/b", "ab\n", "é1", String(repeating: "a", count: 300)])
  func refusesNames(name: String) { #expect(!Names.isValid(name)) }

  @Test func idsAreHex() {
    let id = Identifier.random()
    #expect(id.utf8.count == 64 && Identifier.isHex(id, digits: 64))
    #expect(Identifier.random() != id)
  }
}

@Suite struct SmallSpecTests {
  @Test(arguments: [("TERM", 15), ("SIGKILL", 9), ("sigint", 2), ("15", 15), ("RTMIN+3", 37), ("RTMAX-1", 63)])
  func readsSignals(text: String, number: Int) throws { #expect(try Signals.number(text) == number) }

  @Test(arguments: ["", "0", "65", "SIGFOO", "RTMIN+31", "-9"])
  func refusesSignals(text: String) { #expect(throws: Fault.self) { try Signals.number(text) } }

  @Test func capabilitiesFollowDockersRules() throws {
    let machine = Capabilities(bounding: ((1 << 41) - 1) & ~(1 << 24))
    let standard = try machine.resolve(add: [], drop: [], privileged: false)
    #expect(standard.count == 14 && standard.first == "CAP_CHOWN")
    #expect(try machine.resolve(add: ["net_admin"], drop: ["CHOWN"], privileged: false).contains("CAP_NET_ADMIN"))
    #expect(try machine.resolve(add: ["NET_RAW"], drop: ["ALL"], privileged: false) == ["CAP_NET_RAW"])
    #expect(try machine.resolve(add: ["ALL"], drop: ["SYS_ADMIN"], privileged: false).count == 39)
    #expect(try machine.resolve(add: [], drop: [], privileged: true).count == 40)
    #expect(throws: Fault.self) { try machine.resolve(add: ["SYS_RESOURCE"], drop: [], privileged: false) }
    #expect(throws: Fault.self) { try machine.resolve(add: ["FOO"], drop: [], privileged: false) }
  }

  @Test(arguments: ["4294967296", "-1", "u:", ":g", "1:2:3", "2147483648", "a\nb", "1:-1", "a b"])
  func refusesUsers(text: String) { #expect(throws: Fault.self) { try UserText.check(text) } }

  @Test(arguments: ["", "0", "1000:1000", "www-data", "u:0", "a.b_c$"])
  func takesUsers(text: String) throws { try UserText.check(text) }

  @Test(arguments: ["/proc", "/proc/sys/kernel", "/a/../proc", "/", "relative", "//proc//self"])
  func refusesDestinations(path: String) {
    #expect(throws: Fault.self) { try ContainerPath.destination(path, field: "Binds") }
  }

  @Test(arguments: ["/sys", "/../../etc", "/a/../../etc", "/sys/fs"])
  func refusesVolumesOfImages(path: String) {
    #expect(throws: Fault.self) { try ContainerPath.destination(path, field: "Volumes", fromImage: true) }
  }

  @Test func cleansDestinations() throws {
    #expect(try ContainerPath.destination("/a/./b//c/", field: "Binds") == "/a/b/c")
    #expect(try ContainerPath.destination("/proc/cpuinfo", field: "Binds") == "/proc/cpuinfo")
    #expect(try ContainerPath.workingDirectory("") == "/")
    #expect(throws: Fault.self) { try ContainerPath.workingDirectory("x") }
  }
}

@Suite struct LaneTests {
  @Test func oneAtATimeInOrder() async {
    let lane = Lane()
    let inside = Counter()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<50 {
        group.addTask {
          await lane.run {
            #expect(await inside.enter() == 1)
            await Task.yield()
            await inside.leave()
          }
        }
      }
    }
  }

  private actor Counter {
    private var value = 0
    func enter() -> Int {
      value += 1
      return value
    }
    func leave() { value -= 1 }
  }
}
