import Faults
import Foundation
import JSONRPC
import Protocol
import Testing

@testable import Engine

/// What containers use: the arithmetic, Docker's shape, and ps.
@Suite struct StatsTests {
  static func sample(
    _ id: String, cpu: Int64 = 2_000_000_000, usage: Int64 = 1000, version: Int64 = 1, limit: Int64? = nil,
    detail: [String: Int64] = ["total_inactive_file": 300], networks: [NetworkUsage]? = nil
  ) -> TaskSample {
    TaskSample(
      id: id,
      stats: TaskStats(
        cpu: CPUUsage(
          usage: cpu, user: 600, system: 400, perProcessor: version == 1 ? [cpu, 0] : nil, periods: 10,
          throttledPeriods: 3, throttledTime: 7),
        memory: MemoryUsage(
          usage: usage, maximumUsage: 5000, limit: limit, swapUsage: 1, failures: 2, oomKills: 1, detail: detail),
        pids: ProcessUsage(current: 4, limit: 100),
        blockIO: [
          BlockIOUsage(major: 8, minor: 0, operation: "read", bytes: 512, operations: 1),
          BlockIOUsage(major: 8, minor: 16, operation: "read", bytes: 512, operations: 2),
          BlockIOUsage(major: 8, minor: 0, operation: "write", bytes: 4096, operations: 5),
          BlockIOUsage(major: 8, minor: 0, operation: "total", bytes: 9999, operations: 9),
        ], hugePages: [], cgroupVersion: version),
      networks: networks)
  }

  static let interface = NetworkUsage(
    name: "eth0", receivedBytes: 10, receivedPackets: 1, receiveErrors: 2, receiveDropped: 3, sentBytes: 20,
    sentPackets: 4, sendErrors: 5, sendDropped: 6)

  @Test func processorTimeIsDockersSum() throws {
    let text = "cpu  10 20 30 40 50 60 70 80 90 0\ncpu0 1 2 3 4 5 6 7\ncpu1 9 18 27 36 45 54 63\nintr 5\n"
    let time = try #require(ProcessorTime(text, ticksPerSecond: 100))
    #expect(time == ProcessorTime("cpu 280 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n", ticksPerSecond: 100))
    #expect(time.total == 280 * 10_000_000 && time.processors == 2)
    #expect(ProcessorTime("intr 5\n", ticksPerSecond: 100) == nil)
    #expect(try #require(ProcessorTime.now()).total > 0)
  }

  @Test func percentIsOfOneProcessor() throws {
    let machine = { (total: Int64) in
      try #require(ProcessorTime("cpu \(total) 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n", ticksPerSecond: 100))
    }
    let before = ProcessorUse(used: 1_000_000_000, machine: try machine(100))
    // Two processors, one second later: half of one processor was used.
    #expect(ProcessorUse(used: 1_500_000_000, machine: try machine(300)).percent(since: before) == 50)
    #expect(ProcessorUse(used: 3_000_000_000, machine: try machine(300)).percent(since: before) == 200)
    #expect(ProcessorUse(used: 500, machine: try machine(300)).percent(since: before) == 0)  // started again
    #expect(ProcessorUse(used: 2_000_000_000, machine: try machine(100)).percent(since: before) == 0)
  }

  @Test func memoryLeavesOutWhatCanBeDropped() {
    #expect(Self.sample("a").stats.workingMemory == 700)
    #expect(Self.sample("a", version: 2, detail: ["inactive_file": 400]).stats.workingMemory == 600)
    #expect(Self.sample("a", detail: ["total_inactive_file": 2000]).stats.workingMemory == 1000)
  }

  @Test func dockersShapeOnBothVersions() throws {
    let machine = try #require(ProcessorTime("cpu 300 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n", ticksPerSecond: 100))
    let moment = StatsMoment(
      read: Timestamp(nanoseconds: 2_000_000_000), task: Self.sample("i", networks: [Self.interface]), machine: machine)
    let earlier = StatsMoment(
      read: Timestamp(nanoseconds: 1_000_000_000), task: Self.sample("i", cpu: 5), machine: machine)
    let v1 = DockerStats.json(id: "i", name: "web", moment, earlier: earlier, machineMemory: 1 << 30)
    #expect(v1["name"] == "/web" && v1["read"] == "1970-01-01T00:00:02Z" && v1["preread"] == "1970-01-01T00:00:01Z")
    #expect(v1["cpu_stats"]?["cpu_usage"]?["total_usage"] == 2_000_000_000)
    #expect(v1["cpu_stats"]?["system_cpu_usage"] == 3_000_000_000 && v1["cpu_stats"]?["online_cpus"] == 2)
    #expect(v1["cpu_stats"]?["cpu_usage"]?["percpu_usage"] == [2_000_000_000, 0])
    #expect(v1["cpu_stats"]?["throttling_data"]?["throttled_periods"] == 3)
    #expect(v1["precpu_stats"]?["cpu_usage"]?["total_usage"] == 5)
    #expect(v1["memory_stats"]?["limit"] == .int(1 << 30) && v1["memory_stats"]?["max_usage"] == 5000)
    #expect(v1["pids_stats"] == ["current": 4, "limit": 100])
    let blocks = v1["blkio_stats"]?["io_service_bytes_recursive"]?.arrayValue
    #expect(blocks?.first == ["major": 8, "minor": 0, "op": "Read", "value": 512])
    #expect(v1["networks"]?["eth0"]?["tx_dropped"] == 6 && v1["networks"]?["eth0"]?["rx_bytes"] == 10)

    let task = Self.sample("i", version: 2, limit: 4096)
    let v2 = DockerStats.json(
      id: "i", name: "web", StatsMoment(read: .now(), task: task, machine: machine), earlier: nil,
      machineMemory: 1 << 30)
    #expect(v2["memory_stats"]?["limit"] == 4096 && v2["memory_stats"]?["max_usage"] == nil && v2["networks"] == nil)
    #expect(v2["blkio_stats"]?["io_serviced_recursive"] == .null)
    #expect(v2["blkio_stats"]?["io_service_bytes_recursive"]?.arrayValue?.first?["op"] == "read")
    #expect(v2["preread"] == "0001-01-01T00:00:00Z" && v2["precpu_stats"]?["system_cpu_usage"] == nil)
  }

  @Test func samplesAndCountersOfAnEngine() async throws {
    let test = try TestEngine()
    let web = try await test.run(name: "web")
    let ended = try await test.run(name: "ended")
    test.tasks.end(ended, 0)
    _ = try await test.engine.containerWait(.init(container: ended))
    test.tasks.state.withLock { $0.samples = [Self.sample(web, networks: [Self.interface, Self.interface])] }

    var rounds = StatsRounds(test.engine, chosen: [], all: false)
    let first = try await rounds.next().samples
    #expect(first.map(\.name) == ["web"] && first[0].cpuPercent == nil && first[0].memoryBytes == 700)
    #expect(first[0].blockReadBytes == 1024 && first[0].blockWrittenBytes == 4096 && first[0].processes == 4)
    #expect(first[0].networkReceivedBytes == 20 && first[0].networkSentBytes == 40)
    #expect(try await rounds.next().samples[0].cpuPercent == 0)

    rounds = StatsRounds(test.engine, chosen: [], all: true)
    let all = try await rounds.next().samples
    #expect(Set(all.map(\.name)) == ["web", "ended"] && all.first { $0.name == "ended" }?.running == false)
    rounds = StatsRounds(test.engine, chosen: [ended], all: false)
    #expect(try await rounds.next().samples.map(\.running) == [false])

    let counters = try await test.engine.systemMetrics(.init(), .init()).containers
    #expect(counters.map(\.name) == ["web"] && counters[0].oomKills == 1 && counters[0].cpuThrottledPeriods == 3)
    #expect(counters[0].blockReads == 3 && counters[0].networkSendDropped == 12 && counters[0].memoryLimitBytes == nil)

    let stopped = try await test.engine.containerStats(.init(container: "ended", oneShot: true), .init()).stats
    #expect(stopped["read"] == "0001-01-01T00:00:00Z" && stopped["name"] == "/ended")
    let once = try await test.engine.containerStats(.init(container: "web", oneShot: true), .init()).stats
    #expect(once["id"] == .string(web) && once["cpu_stats"]?["cpu_usage"]?["total_usage"] == 2_000_000_000)
    await #expect(throws: Fault.self) {
      try await test.engine.statsSubscribe(.init(containers: ["web"], intervalMs: 5), .init())
    }
    await #expect(throws: Fault.self) { try await test.engine.statsSubscribe(.init(containers: ["nosuch"]), .init()) }
  }

  @Test func rowsOfTheHostAreNotShown() throws {
    let text = """
      UID        PID  PPID  C STIME TTY          TIME CMD
      root         1     0  0 11:07 ?        00:00:07 /sbin/init --all of it
      root        42     1  0 11:08 pts/0    00:00:00 sh -c  sleep   5
      root        43    42  0 11:08 pts/0    00:00:00 sleep 5
      """
    let table = try ProcessTable(text, pids: [42, 43])
    #expect(table.titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
    #expect(table.rows.map { $0[1] } == ["42", "43"] && table.rows[0].last == "sh -c sleep 5")
    #expect(throws: Fault.self) { try ProcessTable("COMMAND\nsh\n", pids: [1]) }
    #expect(try ProcessTable("  PID\n    1\n   42\n", pids: [42]).rows == [["42"]])
  }

  @Test func psOptionsAreDividedAndChecked() throws {
    #expect(try ProcessTable.options([]) == ["-ef"])
    #expect(try ProcessTable.options(["-o pid,comm", "-L"]) == ["-o", "pid,comm", "-L"])
    for argument in ["-o comm=PID", "comm=PID,pid", "-opid=xPID", "-o\u{0}pid"] {
      #expect(throws: Fault.self) { try ProcessTable.options([argument]) }
    }
  }

  @Test func topAsksTheHostsPsForTheContainersPids() async throws {
    let test = try TestEngine()
    _ = try await test.run(name: "web")
    test.tasks.state.withLock { $0.pids = [Int64(getpid())] }
    let top = try await test.engine.containerTop(.init(container: "web", arguments: ["-o", "pid,comm"]), .init())
    #expect(top.titles == ["PID", "COMMAND"] && top.processes.map { $0[0] } == [String(getpid())])
    await #expect(throws: Fault.self) {
      try await test.engine.containerTop(.init(container: "web", arguments: ["--nosuch"]), .init())
    }
    await #expect(throws: Fault.self) {
      try await test.engine.containerTop(.init(container: "web", arguments: ["-o", "comm"]), .init())
    }
  }

  @Test func infoTellsTheMachineAndItsLimits() async throws {
    let test = try TestEngine()
    _ = try await test.run(name: "web")
    let info = try await test.engine.systemInfo(.init(), .init()).info
    #expect(info["Containers"] == 1 && info["ContainersRunning"] == 1 && info["Driver"] == "overlay2")
    let id = try #require(info["ID"]?.stringValue)
    #expect(id.split(separator: "-").map(\.count) == [8, 4, 4, 4, 12])
    #expect(try await test.engine.systemInfo(.init(), .init()).info["ID"] == .string(id))
    #expect(info["DriverStatus"]?.arrayValue?.first?.arrayValue?.first == "Backing Filesystem")
    #expect(MachineLimit.all.allSatisfy { info[$0.field]?.boolValue != nil })
    let missing = MachineLimit.all.filter { $0.warning != nil && info[$0.field] == false }.count
    #expect(info["Warnings"]?.arrayValue?.count == missing)
  }

  @Test func abandonedExecsFillNoMemory() async throws {
    let directory = ExecDirectory()
    let large = String(repeating: "x", count: 1 << 20)
    for number in 0..<50 {
      let id = "\(number)-exec"
      directory.insert(ExecRecord(id: id, container: "c", config: .init(cmd: [large])))
      _ = directory.started(id, pid: 1) {}
      directory.ended(id, code: 0) {}
    }
    #expect(throws: Fault.self) { try directory.find("0-exec") }
    #expect(try directory.find("49-exec").exit == 0)
    #expect((0..<50).count { (try? directory.find("\($0)-exec")) != nil } <= 4)
  }

  @Test func anAttachedExecEndsWithItsClientUnlessDetached() async throws {
    let test = try TestEngine()
    _ = try await test.run(name: "web")
    let streams = AttachStreams(stdin: false, stdout: true, stderr: true)
    let attached = try await test.engine.containerExec(
      .init(container: "web", config: .init(cmd: ["sh"]), attach: streams), .init())
    _ = try await test.engine.containerExec(.init(container: "web", config: .init(cmd: ["sh"])), .init())
    #expect(test.tasks.state.withLock { $0.execs.map(\.endsWithClient) } == [true, nil])
    _ = try await test.engine.execDetach(.init(exec: attached.exec), .init())
    #expect(test.tasks.state.withLock { $0.detached } == [attached.exec])
    await #expect(throws: Fault.self) { try await test.engine.execDetach(.init(exec: "nosuch"), .init()) }
  }
}
