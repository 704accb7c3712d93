import Protocol
import Testing

@testable import CLI

/// The flags of limits and devices: what they become, and what their refusals say.
@Suite struct ResourceFlagTests {
  private func host(_ words: String...) throws -> GatewayAPI.HostConfig {
    var command = Run()
    var reader = FlagReader(Run.flags, stopsAtOperand: true)
    try reader.read(words + ["image"], into: &command)
    try command.take(operands: reader.operands)
    return try ContainerRequest(command.container, attach: command.container.attachStreams(detached: false)).hostConfig
  }

  @Test func limitsArrive() throws {
    let host = try host(
      "--memory-swappiness", "10", "--oom-kill-disable", "--cpu-rt-period", "1000000", "--cpu-rt-runtime", "950000",
      "--blkio-weight", "300", "--blkio-weight-device", "/dev/sda:500", "--device-read-bps", "/dev/sda:1mb",
      "--device-write-bps=/dev/sda:2k", "--device-read-iops", "/dev/sda:100", "--device-write-iops", "/dev/sdb:7",
      "--device-cgroup-rule", "c 1:* rwm", "--storage-opt", "size=1g", "--cgroup-parent", "/mine")
    #expect(host.memorySwappiness == 10 && host.oomKillDisable == true)
    #expect(host.cpuRealtimePeriod == 1_000_000 && host.cpuRealtimeRuntime == 950_000)
    #expect(host.blkioWeight == 300 && host.blkioWeightDevice == [.init(path: "/dev/sda", weight: 500)])
    #expect(host.blkioDeviceReadBps == [.init(path: "/dev/sda", rate: 1 << 20)])
    #expect(host.blkioDeviceWriteBps == [.init(path: "/dev/sda", rate: 2048)])
    #expect(host.blkioDeviceReadIOps == [.init(path: "/dev/sda", rate: 100)])
    #expect(host.blkioDeviceWriteIOps == [.init(path: "/dev/sdb", rate: 7)])
    #expect(host.deviceCgroupRules == ["c 1:* rwm"] && host.storageOpt == ["size": "1g"])
    #expect(host.cgroupParent == "/mine")
  }

  @Test func devicesOfVendorsBecomeRequests() throws {
    let mixed = try host("--device", "/dev/null", "--device", "vendor.com/class=a", "--device", "vendor.com/class=b")
    #expect(mixed.devices?.map(\.pathOnHost) == ["/dev/null"])
    #expect(mixed.deviceRequests == [.init(driver: "cdi", deviceIDs: ["vendor.com/class=a", "vendor.com/class=b"])])
    #expect(
      try host("--gpus", "all").deviceRequests == [.init(driver: "", count: -1, capabilities: [["gpu"]])])
    #expect(try host("--gpus", "2").deviceRequests?.first?.count == 2)
    let chosen = try host("--gpus", "\"device=0,1\",capabilities=compute").deviceRequests?.first
    #expect(chosen?.deviceIDs == ["0", "1"] && chosen?.count == 0 && chosen?.capabilities == [["gpu", "compute"]])
  }

  @Test(arguments: [
    (["--blkio-weight", "x"], "--blkio-weight"), (["--blkio-weight", "70000"], "0 to 65535"),
    (["--blkio-weight-device", "/dev/sda:5"], "10 to 1000"), (["--device-read-bps", "/dev/sda"], "PATH:NUMBER"),
    (["--device-read-bps", "sda:1mb"], "bad format for device path"),
    (["--device-write-bps", "/dev/sda:fast"], "invalid rate for device"),
    (["--device-read-iops", "/dev/sda:1mb"], "must be a positive integer"),
    (["--device-cgroup-rule", "x 1:1 r"], "invalid device cgroup format"), (["--memory-swappiness", "101"], "0-100"),
    (["--oom-score-adj", "1001"], "-1000 to 1000"), (["--gpus", "some"], "integer"),
    (["--kernel-memory", "1g"], "no longer supported by the kernel"), (["--storage-opt", "size"], "key=value"),
    (["--gpus", "count=1,device=0"], "count and device"), (["--cpu-count", "1"], "Windows"),
    (["--isolation", "hyperv"], "Windows"),
  ])
  func badValuesAreRefused(words: [String], text: String) throws {
    var command = Run()
    var reader = FlagReader(Run.flags, stopsAtOperand: true)
    let failure = #expect(throws: CommandFailure.self) { try reader.read(words, into: &command) }
    #expect(failure?.message.contains(text) == true, "\(failure?.message ?? "")")
    #expect(failure?.code == 125)
  }

  private func update(_ words: String...) throws -> Update {
    var command = Update()
    var reader = FlagReader(Update.flags, stopsAtOperand: false)
    try reader.read(words, into: &command)
    try command.take(operands: reader.operands)
    return command
  }

  @Test func updateSaysWhatChanges() throws {
    let command = try update(
      "-m", "128m", "--memory-swap", "-1", "--cpus", "1.5", "--pids-limit=7", "web", "--restart", "on-failure:3", "db")
    #expect(command.containers == ["web", "db"])
    #expect(
      command.change
        == .init(
          memory: 128 << 20, memorySwap: -1, nanoCpus: 1_500_000_000, pidsLimit: 7,
          restartPolicy: .init(name: .onFailure, maximumRetryCount: 3)))
  }

  @Test func updateWithoutFlagsIsRefused() {
    let failure = #expect(throws: CommandFailure.self) { try update("web") }
    #expect(failure?.message.contains("one or more flags") == true)
    #expect(throws: CommandFailure.self) { try update("--restart", "on-failure:x", "web") }
    #expect(throws: CommandFailure.self) { try update("--kernel-memory", "1g", "web") }
  }
}
