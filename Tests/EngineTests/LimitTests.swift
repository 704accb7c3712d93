import Faults
import Foundation
import OCI
import Protocol
import Testing

@testable import Engine

/// Limits: what is refused, what the kernel is told, and what `update` changes.
@Suite struct LimitTests {
  private func machine(_ version: Int = 1) -> Machine {
    Machine(capabilities: Capabilities(bounding: (1 << 41) - 1), cpuCount: 4, cgroupVersion: version, hostname: "host")
  }

  private func check(_ version: Int = 1, _ change: (inout HostConfig) -> Void) throws {
    var host = HostConfig()
    change(&host)
    try RequestCheck(machine: machine(version)).check(ContainerConfig(cmd: ["sh"], image: "busybox"), host)
  }

  @Test func badLimitsNameFieldValueAndRange() {
    let cases: [(String, (inout HostConfig) -> Void)] = [
      ("MemorySwappiness: invalid value: 101", { $0.memorySwappiness = 101 }),
      ("from 10 to 1000", { $0.blkioWeight = 5 }),
      ("BlkioWeightDevice: /dev/sda", { $0.blkioWeightDevice = [.init(path: "/dev/sda", weight: 2000)] }),
      ("BlkioDeviceReadBps", { $0.blkioDeviceReadBps = [.init(path: "/dev/sda", rate: -1)] }),
      (
        "cannot be higher",
        {
          $0.cpuRealtimePeriod = 10; $0.cpuRealtimeRuntime = 11
        }
      ),
      ("StorageOpt: unknown option disk", { $0.storageOpt = ["disk": "1g"] }),
      ("StorageOpt: size=x", { $0.storageOpt = ["size": "x"] }), ("CpuCount", { $0.cpuCount = 1 }),
      ("Isolation", { $0.isolation = "hyperv" }),
      ("apparmor=mine needs AppArmor", { $0.securityOpt = ["apparmor=mine"] }),
      ("PidMode", { $0.pidMode = "container:" }), ("IpcMode", { $0.ipcMode = "all" }),
      (
        "Init",
        {
          $0.pidMode = "container:x"; $0.`init` = true
        }
      ),
    ]
    for (words, change) in cases {
      let fault = #expect(throws: Fault.self) { try check(1, change) }
      #expect(fault?.message.contains(words) == true, "\(words): \(fault?.message ?? "")")
    }
  }

  @Test func realTimeIsForTheFirstVersionOfCgroups() throws {
    try check(1) { $0.cpuRealtimeRuntime = 1000 }
    let fault = #expect(throws: Fault.self) { try check(2) { $0.cpuRealtimeRuntime = 1000 } }
    #expect(fault?.code == .unsupported && fault?.message.contains("cpu controller") == true)
  }

  @Test func everyLimitReachesTheSpecification() throws {
    var host = HostConfig()
    host.memory = 64 << 20
    host.memorySwappiness = 10
    host.oomKillDisable = true
    host.cpuRealtimePeriod = 1_000_000
    host.cpuRealtimeRuntime = 20_000
    host.blkioWeight = 300
    let resources = try SpecBuilder(machine: machine()).resources(host, devices: nil)
    #expect(resources.memory?.swappiness == 10 && resources.memory?.disableOOMKiller == true)
    #expect(resources.cpu?.realtimePeriod == 1_000_000 && resources.cpu?.realtimeRuntime == 20_000)
    #expect(resources.blockIO?.weight == 300 && resources.devices == nil)
  }

  @Test func anUpdateTellsTheKernelOnlyWhatChanges() throws {
    let builder = SpecBuilder(machine: machine())
    var old = HostConfig()
    old.memory = 64 << 20
    old.memorySwap = 128 << 20
    old.cpusetCpus = "0"
    var new = try LimitChange(.init(memory: 96 << 20)).applied(to: old)
    #expect(try builder.changed(from: old, to: new)?.memory == .init(limit: 96 << 20, swap: 128 << 20))
    #expect(try builder.changed(from: old, to: new)?.cpu == nil)
    new = try LimitChange(.init(nanoCpus: 500_000_000)).applied(to: old)
    #expect(try builder.changed(from: old, to: new) == .init(cpu: .init(quota: 50_000, period: 100_000)))
    new = try LimitChange(.init(pidsLimit: -1)).applied(to: old)
    #expect(try builder.changed(from: old, to: new) == .init(pids: .init(limit: -1)))
    #expect(try builder.changed(from: old, to: old) == nil)
  }

  @Test func contradictionsOfAnUpdateAreConflicts() throws {
    var host = HostConfig()
    host.memory = 64 << 20
    host.memorySwap = 128 << 20
    host.nanoCpus = 1_000_000_000
    host.autoRemove = true
    for (words, change) in [
      ("memoryswap limit", GatewayAPI.ContainerUpdate(memory: 256 << 20)),
      ("CPU Period cannot be updated", .init(cpuPeriod: 50_000)), ("CPU Quota cannot", .init(cpuQuota: 50_000)),
      ("AutoRemove", .init(restartPolicy: .init(name: .always))),
    ] {
      let fault = #expect(throws: Fault.self) { try LimitChange(change).applied(to: host) }
      #expect(fault?.code == .conflict && fault?.message.contains(words) == true, "\(fault?.message ?? "")")
    }
    host.nanoCpus = nil
    host.cpuQuota = 50_000
    #expect(throws: Fault.self) { try LimitChange(.init(nanoCpus: 5)).applied(to: host) }
  }

  @Test func updatesAreKeptWithTheContainer() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web", host: { $0.memory = 64 << 20 })
    #expect(test.engine.directory.container(id: id)?.definition.hostConfig.memorySwap == 128 << 20)
    let answer = try await test.engine.containerUpdate(
      .init(container: "web", update: .init(memory: 96 << 20, pidsLimit: 20)))
    #expect(answer.warnings.isEmpty)
    let sent = test.tasks.state.withLock { $0.updates }
    #expect(sent.map(\.resources.memory?.limit) == [96 << 20] && sent.first?.resources.pids?.limit == 20)
    await #expect(throws: Fault.self) {
      try await test.engine.containerUpdate(.init(container: "web", update: .init(memory: 1)))
    }
    let later = try TestEngine(after: test)
    try await later.engine.load()
    let host = later.engine.directory.container(id: id)?.definition.hostConfig
    #expect(host?.memory == 96 << 20 && host?.pidsLimit == 20)
  }

  @Test func aRefusalOfTheKernelChangesNothing() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web", host: { $0.memory = 64 << 20 })
    test.tasks.state.withLock { $0.failure = Fault(.conflict, "memory: the kernel refused") }
    let fault = await #expect(throws: Fault.self) {
      try await test.engine.containerUpdate(.init(container: "web", update: .init(memory: 96 << 20)))
    }
    #expect(fault?.code == .conflict)
    #expect(test.engine.directory.container(id: id)?.definition.hostConfig.memory == 64 << 20)
    let stopped = try await test.create(name: "idle")
    _ = try await test.engine.containerUpdate(.init(container: "idle", update: .init(memory: 96 << 20)))
    #expect(test.engine.directory.container(id: stopped)?.definition.hostConfig.memory == 96 << 20)
  }

  @Test func imagesSayNothingInTheEnginesName() {
    var image = ImageConfig.Execution()
    image.labels = ["gantry.init": "true", "io.gantry.x": "1", "gantry": "1", "org.x": "stays", "gantryx": "stays"]
    #expect(
      ImageMerge.merge(ContainerConfig(), image: image).labels == ["org.x": "stays", "gantryx": "stays"])
  }
}
