import JSONRPC
import Protocol
import Testing

@testable import CLI

/// `stats`, `port`, `info` and the metrics as text.
@Suite struct StatsTests {
  static func sample(running: Bool = true, percent: Double? = 12.345) -> GatewayAPI.StatsSample {
    .init(
      id: "390c3de24fd20c828f8d54c954f9576efe61967ca1410f96b5ffeed78541e8b6", name: "w3", running: running,
      cpuPercent: percent, cpuNanoseconds: 1, memoryBytes: 348_160, memoryLimitBytes: 25_276_502_016,
      networkReceivedBytes: 1086, networkSentBytes: 126, blockReadBytes: 0, blockWrittenBytes: 4_260_000, processes: 3)
  }

  @Test func theTableIsDockers() throws {
    #expect(
      try ListOptions().text([StatsRow(sample: Self.sample())])
        == """
        CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O          BLOCK I/O     PIDS
        390c3de24fd2   w3        12.35%    340KiB / 23.54GiB   0.00%     1.09kB / 126B   0B / 4.26MB   3

        """.replacing("NET I/O          ", with: "NET I/O         "))
  }

  @Test(arguments: [
    ("{{.Container}} {{.ID}} {{.Name}}", "w3 390c3de24fd2 w3\n"),
    ("{{.CPUPerc}} {{.MemPerc}} {{.PIDs}}", "12.35% 0.00% 3\n"),
    ("{{.MemUsage}}|{{.NetIO}}|{{.BlockIO}}", "340KiB / 23.54GiB|1.09kB / 126B|0B / 4.26MB\n"),
  ])
  func everyPlaceholder(format: String, wanted: String) throws {
    var options = ListOptions()
    options.format = format
    #expect(try options.text([StatsRow(sample: Self.sample(), asked: "w3")]) == wanted)
  }

  @Test func whatIsNotKnownYetIsTwoDashes() throws {
    var options = ListOptions()
    options.format = "{{.CPUPerc}}"
    #expect(try options.text([StatsRow(sample: Self.sample(percent: nil))]) == "--\n")
    #expect(try options.text([StatsRow(sample: Self.sample(running: false, percent: nil))]) == "0.00%\n")
    options.format = "{{.Container}}"
    options.whole = true
    #expect(try options.text([StatsRow(sample: Self.sample())]).utf8.count == 65)
  }

  @Test func aTerminalIsDrawnOver() {
    #expect(Screen.redrawing("A\nB\n") == "\u{1B}[HA\u{1B}[K\nB\u{1B}[K\n\u{1B}[J")
  }

  @Test(arguments: [("80", "80/tcp"), ("80/udp", "80/udp"), ("443/TCP", "443/tcp")])
  func ports(text: String, wanted: String) throws { #expect(try Port.port(text) == wanted) }

  @Test(arguments: ["", "0", "70000", "80/xyz", "/tcp", "-1", "80/"]) func badPorts(text: String) {
    #expect(throws: CommandFailure.self) { try Port.port(text) }
  }

  @Test func metricsAreInPrometheusForm() throws {
    var counters = GatewayAPI.ContainerCounters(
      id: "abc", name: "web", image: "a\"b\\c\nd", startedAt: "", cpuNanoseconds: 1_500_000_000, cpuUserNanoseconds: 0,
      cpuSystemNanoseconds: 0, cpuThrottledPeriods: 0, cpuThrottledNanoseconds: 0, memoryBytes: 4096,
      memoryWorkingBytes: 4000, memoryLimitFailures: 0, oomKills: 2, processes: 3, blockReadBytes: 0,
      blockWrittenBytes: 0, blockReads: 0, blockWrites: 0, networkReceivedBytes: 0, networkReceivedPackets: 0,
      networkReceiveErrors: 0, networkReceiveDropped: 0, networkSentBytes: 0, networkSentPackets: 0,
      networkSendErrors: 0, networkSendDropped: 0)
    let text = PrometheusText.text([counters])
    let labels = #"{id="abc",name="web",image="a\"b\\c\nd"}"#
    #expect(text.contains("# TYPE gantry_container_cpu_seconds_total counter\n"))
    #expect(text.contains("\ngantry_container_cpu_seconds_total\(labels) 1.500000\n"))
    #expect(text.contains("\ngantry_container_oom_kills_total\(labels) 2\n"))
    #expect(!text.contains("gantry_container_memory_limit_bytes"))
    counters.memoryLimitBytes = 8192
    #expect(PrometheusText.text([counters]).contains("\ngantry_container_memory_limit_bytes\(labels) 8192\n"))
    #expect(PrometheusText.text([]) == "")
  }

  @Test func infoIsReadAsDockers() {
    let text = Info.text([
      "Containers": 2, "ContainersRunning": 1, "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]],
      "Plugins": ["Volume": ["local"], "Authorization": nil, "Log": ["json-file", "none"]],
      "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "MemTotal": 25_276_502_016,
      "Warnings": ["WARNING: No swap limit support"], "Swarm": ["LocalNodeState": "inactive"],
    ])
    for part in [
      " Containers: 2\n  Running: 1\n", " Storage Driver: overlay2\n  Backing Filesystem: extfs\n",
      " Plugins:\n  Volume: local\n  Log: json-file none\n",
      " Security Options:\n  seccomp\n   Profile: builtin\n  cgroupns\n",
      " Total Memory: 23.54GiB\n", " Swarm: inactive\n",
    ] { #expect(text.contains(part), "\(part)") }
    #expect(text.hasSuffix("WARNING: No swap limit support\n"))
  }
}
