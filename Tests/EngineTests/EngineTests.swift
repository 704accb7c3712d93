import Faults
import Foundation
import JSONRPC
import OCI
import Protocol
import Testing

@testable import Engine

@Suite struct LifecycleTests {
  @Test func runUnpacksPreparesAndStarts() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web")
    let container = try test.engine.directory.resolve("web")
    #expect(container.id == id && container.state.running?.pid == 1001)
    #expect(test.snapshots.layers.withLock { $0.count } == 1)
    let created = try #require(test.tasks.state.withLock { $0.created.first })
    #expect(created.spec.process?.args == ["sh"])
    #expect(created.rootfs.first?.options.contains("upperdir=/u/\(id)") == true)
    #expect(created.seccomp?.profile == "default")
    #expect(created.log?.path == "\(test.folder)/gateway/containers/\(id)/\(id)-json.log")
    #expect(try test.engine.directory.resolve(String(id.prefix(6))).id == id)
    #expect(FileManager.default.fileExists(atPath: "\(test.folder)/gateway/containers/\(id)/hosts"))
  }

  @Test func aNameThatMeansAnotherImageNowRunsThatOne() async throws {
    let test = try TestEngine()
    let first = try await test.run(name: "first")
    var execution = ImageConfig.Execution()
    execution.cmd = ["other"]
    test.images.add("newer", execution)
    test.images.all.withLock { $0["busybox"] = $0.removeValue(forKey: "newer") }
    let second = try await test.run(name: "second")
    #expect(test.tasks.state.withLock { $0.created.last?.spec.process?.args } == ["other"])
    #expect(try test.engine.directory.resolve("second").definition.imageID == FakeImages.digest("newer"))
    test.images.all.withLock { $0 = [:] }
    let fault = await #expect(throws: Fault.self) { try await test.run(name: "third") }
    #expect(fault?.code == .notFound)
    await test.engine.background.drain()
    #expect(Set(test.snapshots.active.withLock { $0.keys }) == [first, second])
    #expect(try await Set(test.rows().keys) == [first, second])
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: test.folder + "/gateway/containers").count == 2)
  }

  /// An engine is killed after it asked for a task: the next one learns of it by its event, or by its name being taken.
  @Test func aTaskThatAKilledEngineAskedForIsTakenIn() async throws {
    let test = try TestEngine()
    let heard = try await test.create()
    let late = TaskState(
      id: heard, pid: 77, status: .running, startedAt: Timestamp.now().text(), execs: [], shimPid: 1)
    test.tasks.state.withLock { $0.tasks[heard] = late }
    test.engine.taskEvent(.init(sequence: 1, time: late.startedAt ?? "", type: .start, id: heard, pid: 77))
    await test.engine.background.drain()
    #expect(try test.engine.directory.resolve(heard).state.running?.pid == 77)

    let taken = try await test.create()
    test.tasks.state.withLock { state in
      state.tasks[taken] = TaskState(id: taken, pid: 78, status: .running, execs: [], shimPid: 1)
      state.failure = Fault(.alreadyExists, "there is a task")
    }
    _ = try await test.engine.containerStart(.init(container: taken))
    let pid = try test.engine.directory.resolve(taken).state.running?.pid
    #expect(pid == test.tasks.state.withLock { Int($0.nextPid) })
  }

  @Test func endIsSeenByWaitAndKept() async throws {
    let test = try TestEngine()
    let id = try await test.run()
    async let waited = test.engine.containerWait(.init(container: id))
    test.tasks.end(id, 7)
    #expect(try await waited.exitCode == 7)
    #expect(try await test.engine.containerWait(.init(container: id)).exitCode == 7)
    await test.engine.background.drain()
    #expect(try await test.rows()[id]?.state.last?.code == 7)
    #expect(test.tasks.state.withLock { $0.tasks.isEmpty })
    #expect(StatusText.status(try test.engine.directory.resolve(id).state, now: .now()).hasPrefix("Exited (7)"))
  }

  @Test func anEndBeforeTheAnswerIsNotLost() async throws {
    let test = try TestEngine()
    test.tasks.state.withLock { $0.endsAtOnce = 3 }
    let id = try await test.run(autoRemove: true)
    #expect(try await test.engine.containerWait(.init(container: id, condition: .removed)).exitCode == 3)
    await test.engine.background.drain()
    #expect(test.engine.directory.all.isEmpty)
    #expect(try await test.rows().isEmpty)
  }

  @Test func autoRemovedContainersLeaveNothingButTheirExitCode() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "gone", autoRemove: true) { $0.volumes = ["/data": .init()] }
    test.tasks.end(id, 9)
    #expect(try await test.engine.containerWait(.init(container: id, condition: .removed)).exitCode == 9)
    #expect(throws: Fault.self) { try test.engine.directory.resolve("gone") }
    let again = try await test.run(name: "gone", autoRemove: true)  // the name was free before the wait's answer
    test.tasks.end(again, 0)
    _ = try await test.engine.containerWait(.init(container: again, condition: .removed))
    await test.engine.background.drain()
    #expect(test.snapshots.active.withLock { $0.isEmpty })
    #expect(try await test.rows().isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: test.folder + "/gateway/containers").isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: test.folder + "/gateway/volumes").isEmpty)
  }

  @Test func aFailedStartTellsItsExitCode() async throws {
    let test = try TestEngine()
    test.tasks.state.withLock {
      $0.failure = Fault(.commandNotFound, "exec: \"foo\": executable file not found in $PATH")
    }
    await #expect(throws: Fault.self) { try await test.run(name: "bad") }
    let container = try test.engine.directory.resolve("bad")
    #expect(container.state.last?.code == 127 && container.state.word == "created")
    #expect(try await test.rows()[container.id]?.state == container.state)

    test.tasks.state.withLock { $0.failure = Fault(.commandNotExecutable, "permission denied") }
    await #expect(throws: Fault.self) { try await test.run(name: "bad2", autoRemove: true) }
    await test.engine.background.drain()
    #expect(throws: Fault.self) { try test.engine.directory.resolve("bad2") }
    #expect(test.snapshots.active.withLock { $0.count } == 1)
  }

  @Test func namesAreTakenOnce() async throws {
    let test = try TestEngine()
    let id = try await test.create(name: "one")
    let fault = await #expect(throws: Fault.self) { try await test.create(name: "one") }
    #expect(
      fault?.message
        == "Conflict. The container name \"/one\" is already in use by container \"\(id)\". You have to remove (or rename) "
        + "that container to be able to reuse that name.")
    #expect(fault?.code == .alreadyExists)
    _ = try await test.engine.containerRename(.init(container: "one", name: "two"))
    _ = try await test.create(name: "one")
    await #expect(throws: Fault.self) { try await test.engine.containerRename(.init(container: "one", name: "two")) }
    #expect(try await test.rows()[id]?.name == "two")
    await #expect(throws: Fault.self) { try await test.create(name: "no/slash") }
  }

  @Test func stopSignalsThenKills() async throws {
    let test = try TestEngine()
    let id = try await test.run { $0.stopSignal = "SIGUSR1" }
    test.tasks.state.withLock { $0.deadly = [9] }
    _ = try await test.engine.containerStop(.init(container: id, timeoutSeconds: 0))
    #expect(test.tasks.state.withLock { $0.signals.map(\.signal) } == [10, 9])
    #expect(try test.engine.directory.resolve(id).state.last?.code == 137)
    let fault = await #expect(throws: Fault.self) { try await test.engine.containerStop(.init(container: id)) }
    #expect(fault?.code == .notModified)
    _ = try await test.engine.containerStart(.init(container: id))
    #expect(try test.engine.directory.resolve(id).state.running != nil)
    let twice = await #expect(throws: Fault.self) { try await test.engine.containerStart(.init(container: id)) }
    #expect(twice?.code == .notModified)
  }

  @Test func removeRefusesWhatRunsAndForceTakesIt() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "rr")
    let fault = await #expect(throws: Fault.self) { try await test.engine.containerRemove(.init(container: "rr")) }
    #expect(fault?.code == .conflict)
    async let waited = test.engine.containerWait(.init(container: id, condition: .removed))
    _ = try await test.engine.containerRemove(.init(container: "rr", force: true))
    #expect(try await waited.exitCode == 137)
    #expect(test.tasks.state.withLock { $0.tasks.isEmpty })
    #expect(test.snapshots.active.withLock { $0.isEmpty })
    #expect(try await test.rows().isEmpty)
    let gone = await #expect(throws: Fault.self) { try await test.engine.containerInspect(.init(container: id)) }
    #expect(gone?.message == "No such container: \(id)")
  }

  @Test func aRemovalThatFailsCanBeTriedAgain() async throws {
    let test = try TestEngine()
    let id = try await test.create()
    test.snapshots.failRemoval.withLock { $0 = true }
    let fault = await #expect(throws: Fault.self) { try await test.engine.containerRemove(.init(container: id)) }
    #expect(fault?.code == .noSpace)
    #expect(try test.engine.directory.resolve(id).state.word == "dead")
    test.snapshots.failRemoval.withLock { $0 = false }
    _ = try await test.engine.containerRemove(.init(container: id))
    #expect(test.engine.directory.all.isEmpty)
  }

  @Test func pauseAndUnpause() async throws {
    let test = try TestEngine()
    let id = try await test.run()
    _ = try await test.engine.containerPause(.init(container: id))
    #expect(try test.engine.directory.resolve(id).state.word == "paused")
    await #expect(throws: Fault.self) { try await test.engine.containerPause(.init(container: id)) }
    await #expect(throws: Fault.self) {
      try await test.engine.containerExec(.init(container: id, config: .init(cmd: ["true"])))
    }
    _ = try await test.engine.containerUnpause(.init(container: id))
    await #expect(throws: Fault.self) { try await test.engine.containerUnpause(.init(container: id)) }
  }

  @Test func execsEndAndAreRemembered() async throws {
    let test = try TestEngine()
    let id = try await test.run()
    let exec = try await test.engine.containerExec(.init(container: id, config: .init(cmd: ["ls"], env: ["X=1"]))).exec
    #expect(try await test.engine.execInspect(.init(exec: exec)).exec.running)
    async let code = test.engine.execWait(.init(exec: exec))
    test.engine.taskEvent(
      .init(sequence: 2, time: "", type: .execExit, id: id, exec: exec, exit: FakeTasks.exit(4)))
    #expect(try await code.exitCode == 4)
    #expect(try await test.engine.execInspect(.init(exec: exec)).exec.exitCode == 4)

    test.tasks.state.withLock {
      $0.failure = Fault(.commandNotFound, "exec: \"x\": executable file not found in $PATH")
    }
    await #expect(throws: Fault.self) {
      try await test.engine.containerExec(.init(container: id, config: .init(cmd: ["x"])))
    }
    let last = try await test.engine.containerExec(.init(container: id, config: .init(cmd: ["sleep"]))).exec
    test.tasks.end(id, 0)
    #expect(try await test.engine.execWait(.init(exec: last)).exitCode == 137)
  }

  @Test func whatIsNotBuiltIsRefusedByName() async throws {
    let test = try TestEngine()
    let cases: [(String, (inout HostConfig) -> Void)] = [
      ("NetworkMode", { $0.networkMode = "bridge" }),
      ("PortBindings", { $0.portBindings = ["80/tcp": [.init(hostPort: "80")]] }),
      ("No such container: x", { $0.pidMode = "container:x" }), ("PidMode", { $0.pidMode = "container:" }),
      ("volume plugin x", { $0.volumeDriver = "x" }), ("Binds", { $0.binds = ["name:/data:huh"] }),
      ("no log driver named 'nosuch'", { $0.logConfig = .init(type: "nosuch") }),
      ("Sysctls", { $0.sysctls = ["kernel.hostname": "x"] }), ("SecurityOpt", { $0.securityOpt = ["apparmor=x"] }),
      ("CapAdd", { $0.capAdd = ["NOPE"] }), ("Ulimits", { $0.ulimits = [.init(name: "nope", soft: 1, hard: 1)] }),
      ("Annotations", { $0.annotations = ["gantry.init": "true"] }),
    ]
    for (field, change) in cases {
      let fault = await #expect(throws: Fault.self) { try await test.run(host: change) }
      #expect(fault?.message.contains(field) == true, "\(field): \(fault?.message ?? "")")
    }
    #expect(test.engine.directory.all.isEmpty)
    _ = try await test.run(host: { $0.memorySwappiness = -1 })  // what Docker's client sends for "not set"
  }

  @Test func missingThingsAreNamedAsDockerNamesThem() async throws {
    let test = try TestEngine()
    let fault = await #expect(throws: Fault.self) { try await test.run(config: { $0.image = "nothing" }) }
    #expect(fault?.message == "No such image: nothing:latest" && fault?.code == .notFound)
    let stop = await #expect(throws: Fault.self) { try await test.engine.containerStop(.init(container: "nobody")) }
    #expect(stop?.message == "No such container: nobody")
  }

  @Test func eventsTellTheLife() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "life") { $0.labels = ["a": "b"] }
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id))
    _ = try await test.engine.containerRemove(.init(container: id))
    let events = test.engine.events.subscribe(
      try EventFilter(Filters()), since: Timestamp(nanoseconds: 0), until: nil
    ).past
    #expect(events.map(\.action) == ["create", "start", "die", "destroy"])
    #expect(events.allSatisfy { $0.attributes["name"] == "life" && $0.attributes["a"] == "b" })
    #expect(events[2].attributes["exitCode"] == "0")
  }
}

@Suite struct ReconcileTests {
  /// What an engine finds that starts on the folder, tasks and snapshots of `test`.
  private func restart(_ test: TestEngine) async throws -> TestEngine {
    await test.engine.shutdown()
    let next = try TestEngine(after: test)
    try await next.engine.load()
    await next.engine.background.drain()
    return next
  }

  @Test func runningOnesGoOnAndEndedOnesGetTheirCode() async throws {
    let test = try TestEngine()
    let running = try await test.run(name: "running")
    let ended = try await test.run(name: "ended")
    let removed = try await test.run(name: "removed", autoRemove: true)
    let created = try await test.create(name: "created")
    await test.engine.background.drain()
    test.tasks.onEvent.withLock { $0 = nil }  // nobody listens: the gateway is dead
    test.tasks.end(ended, 5)
    test.tasks.end(removed, 6)
    let next = try await restart(test)
    #expect(try next.engine.directory.resolve("running").state.running != nil)
    #expect(try next.engine.directory.resolve("ended").state.last?.code == 5)
    #expect(try next.engine.directory.resolve("created").state == .created)
    #expect(throws: Fault.self) { try next.engine.directory.resolve("removed") }
    #expect(try await next.engine.containerWait(.init(container: removed)).exitCode == 6)
    #expect(next.tasks.state.withLock { Set($0.tasks.keys) } == [running])
    #expect(Set(next.snapshots.active.withLock { $0.keys }) == [running, ended, created])
  }

  @Test func halfMadeContainersGo() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "half")
    await test.engine.background.drain()
    // The engine died between the row and the task.
    try await test.engine.store.update(id: id, state: .starting(last: nil), restarts: Restarts(), durable: false)
    test.tasks.state.withLock { $0.tasks = [:] }
    let next = try await restart(test)
    #expect(next.engine.directory.all.isEmpty)
    #expect(try await next.rows().isEmpty)
    #expect(next.snapshots.active.withLock { $0.isEmpty })
  }

  @Test func anInterruptedStartIsAsBefore() async throws {
    let test = try TestEngine()
    let id = try await test.create(name: "started")
    try await test.engine.store.update(id: id, state: .starting(last: nil), restarts: Restarts(), durable: false)
    let next = try await restart(test)
    #expect(try next.engine.directory.resolve("started").state == .created)
  }

  @Test func interruptedRemovalsAreFinished() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "removing")
    await test.engine.background.drain()
    try await test.engine.store.update(id: id, state: .removing(last: nil), restarts: Restarts(), durable: false)
    let next = try await restart(test)
    #expect(next.engine.directory.all.isEmpty && next.tasks.state.withLock { $0.tasks.isEmpty })
    #expect(next.snapshots.active.withLock { $0.isEmpty })
  }

  @Test func whatNobodyHasIsDeleted() async throws {
    let test = try TestEngine()
    let stranger = Identifier.random()
    test.snapshots.active.withLock { $0[stranger] = .some(nil) }
    _ = try await test.tasks.create(
      .init(id: stranger, spec: RuntimeSpec(), rootfs: [], stdin: false, start: true), CallContext())
    _ = try await test.tasks.create(
      .init(id: "build-1", spec: RuntimeSpec(), rootfs: [], stdin: false, start: true), CallContext())
    let next = try await restart(test)
    #expect(next.snapshots.active.withLock { $0.isEmpty })
    #expect(next.tasks.state.withLock { Array($0.tasks.keys) } == ["build-1"])  // not of our form: not ours
  }

  @Test func aRebootEndsWhatRan() async throws {
    let test = try TestEngine()
    let kept = try await test.run(name: "kept")
    _ = try await test.run(name: "temporary", autoRemove: true)
    await test.engine.background.drain()
    test.tasks.state.withLock { $0.tasks = [:] }
    let next = try await restart(test)
    #expect(try next.engine.directory.resolve("kept").state.last?.code == 255)
    #expect(throws: Fault.self) { try next.engine.directory.resolve("temporary") }
    #expect(try await next.rows()[kept]?.state.last?.code == 255)
  }

  @Test func aReturningTaskServiceTellsWhatWasMissed() async throws {
    let test = try TestEngine()
    let ended = try await test.run(name: "ended")
    let running = try await test.run(name: "running")
    test.tasks.onEvent.withLock { $0 = nil }
    test.tasks.end(ended, 8)
    async let waited = test.engine.containerWait(.init(container: ended))
    await test.engine.tasksReturned()
    #expect(try await waited.exitCode == 8)
    #expect(try test.engine.directory.resolve(running).state.running != nil)
  }

  @Test func unreadableRowsAreLeftAlone() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "odd")
    await test.engine.background.drain()
    try await test.engine.store.execute("UPDATE containers SET config = 'x' WHERE id = '\(id)'")
    let next = try await restart(test)
    #expect(next.engine.directory.all.isEmpty)
    #expect(try await next.rows().count == 1)
    #expect(next.tasks.state.withLock { $0.tasks.count } == 1)
    #expect(next.snapshots.active.withLock { $0.count } == 1)
  }
}

@Suite struct ListTests {
  private func names(_ test: TestEngine, _ filters: [String: [String]], all: Bool = true) async throws -> [String] {
    try await test.engine.containerList(.init(all: all, filters: filters)).containers.map {
      String($0.names[0].dropFirst())
    }
  }

  @Test func filtersChoose() async throws {
    let test = try TestEngine()
    let first = try await test.create(name: "first")
    let second = try await test.run(name: "second") { $0.labels = ["tier": "web", "x": ""] }
    let third = try await test.run(name: "third") { $0.cmd = ["sleep", "a b"] }
    test.tasks.end(third, 4)
    _ = try await test.engine.containerWait(.init(container: third))
    #expect(try await names(test, [:], all: false) == ["second"])
    #expect(try await names(test, [:]) == ["third", "second", "first"])
    #expect(try await names(test, ["status": ["created"]]) == ["first"])
    #expect(try await names(test, ["status": ["exited"]], all: false) == ["third"])
    #expect(try await names(test, ["exited": ["4"]]) == ["third"])
    #expect(try await names(test, ["name": ["^/?s"]]) == ["second"])
    #expect(try await names(test, ["name": ["ir"]]) == ["third", "first"])
    #expect(try await names(test, ["id": [String(second.prefix(12))]]) == ["second"])
    #expect(try await names(test, ["label": ["tier=web"]]) == ["second"])
    #expect(try await names(test, ["label": ["tier=web", "nope"]]).isEmpty)
    #expect(try await names(test, ["since": ["first"]]) == ["third", "second"])
    #expect(try await names(test, ["before": [second]]) == ["first"])
    #expect(try await names(test, ["ancestor": ["busybox"], "status": ["created"]]) == ["first"])
    #expect(try await names(test, ["network": ["none"]]).count == 3)
    await #expect(throws: Fault.self) { try await names(test, ["nonsense": ["1"]]) }
    await #expect(throws: Fault.self) { try await names(test, ["status": ["sleeping"]]) }
    await #expect(throws: Fault.self) { try await names(test, ["before": ["nobody"]]) }
    #expect(try await test.engine.containerList(.init(limit: 2)).containers.count == 2)

    let summary = try #require(try await test.engine.containerList(.init(all: true)).containers.first)
    #expect(summary.command == "sleep 'a b'" && summary.image == "busybox" && summary.state == "exited")
    #expect(summary.names == ["/third"] && summary.imageID.hasPrefix("sha256:"))
    _ = first
  }

  @Test func theShortWayOfListSaysTheSame() async throws {
    let test = try TestEngine()
    _ = try await test.create(name: "one")
    _ = try await test.run(name: "two") {
      $0.labels = ["quote": "a\"b\nc", "ü": "é"]
      $0.exposedPorts = ["80/tcp": .init(), "53/udp": .init()]
      $0.volumes = ["/data": .init()]
    }
    let params = GatewayAPI.ContainerListParams(all: true)
    let short: GatewayAPI.ContainerListResult = try RPCCoding.decode(try await test.engine.listText(params))
    #expect(short == (try await test.engine.containerList(params)))
    let table = test.engine.table()
    let answer = try await table.call("container.list", Data(#"{"all":true}"#.utf8), CallContext())
    #expect(try RPCCoding.decode(answer) as GatewayAPI.ContainerListResult == short)
  }

  @Test func inspectHasDockersShape() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "shape") { $0.env = ["B=own"] }
    let json = try await test.engine.containerInspect(.init(container: "shape", size: true)).container
    #expect(json["Id"] == .string(id) && json["Name"] == "/shape" && json["Path"] == "sh")
    #expect(json["State"]?["Status"] == "running" && json["State"]?["Pid"] == 1001)
    #expect(json["State"]?["FinishedAt"] == "0001-01-01T00:00:00Z")
    #expect(json["HostConfig"]?["NetworkMode"] == "none" && json["HostConfig"]?["ShmSize"] == 67_108_864)
    #expect(json["HostConfig"]?["LogConfig"]?["Type"] == "json-file")
    #expect(json["Config"]?["Env"] == ["B=own", "PATH=/bin", "A=image"])
    #expect(json["Config"]?["Hostname"] == .string(String(id.prefix(12))))
    #expect(json["GraphDriver"]?["Data"]?["UpperDir"] == .string("/u/\(id)"))
    #expect(json["SizeRw"] == 5)
    for key in [
      "Created", "Args", "Image", "ResolvConfPath", "HostsPath", "LogPath", "RestartCount", "Driver", "Platform",
      "Mounts", "NetworkSettings", "ExecIDs",
    ] { #expect(json[key] != nil, "\(key)") }
  }

  @Test func fiveHundredContainersAreListedQuickly() async throws {
    let test = try TestEngine()
    for index in 0..<500 { _ = try await test.create(name: "c\(index)") }
    let clock = ContinuousClock()
    let start = clock.now
    #expect(try await test.engine.containerList(.init(all: true)).containers.count == 500)
    let time = start.duration(to: clock.now)
    #expect(time < .milliseconds(250))  // a debug build on a busy machine; a release build needs a twentieth
  }

  @Test func imagesInUseStay() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "user")
    let image = FakeImages.digest("busybox")
    let running = await #expect(throws: Fault.self) { try await test.engine.imageRemove(.init(image: image)) }
    #expect(
      running?.message
        == "conflict: unable to delete \(image.dropFirst(7).prefix(12)) (cannot be forced) - image is being used by running "
        + "container \(id.prefix(12))")
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id))
    let stopped = await #expect(throws: Fault.self) { try await test.engine.imageRemove(.init(image: "busybox")) }
    #expect(
      stopped?.message.contains("(must force) - container \(id.prefix(12)) is using its referenced image") == true)
    let gone = try await test.engine.imageRemove(.init(image: "busybox", force: true))
    #expect(gone.untagged == ["busybox:latest"])
    // The stopped container's layers stay.
    #expect(test.snapshots.pruned.withLock { $0.first } == [FakeImages.digest("busyboxlayer")])
    _ = try await test.engine.containerRemove(.init(container: id))
    await test.engine.background.drain()
    #expect(test.snapshots.pruned.withLock { $0.last } == [])
  }

  @Test(arguments: [
    ("busybox", "busybox:latest", true), ("busy*", "busybox:1", true), ("*:1", "busybox:1", true),
    ("busybox:2", "busybox:1", false), ("*/app", "me/app:3", true), ("*", "me/app:3", false),
    ("b[a-z]sybox", "busybox:1", true),
  ])
  func imagePatterns(pattern: String, name: String, matches: Bool) {
    #expect(ImageFilter.matches(pattern, name) == matches)
  }
}
