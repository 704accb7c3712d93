import Faults
import Glibc
import OCI
import Testing

@testable import Cgroups

/// What each controller writes, on files in a temporary folder.
struct ControllerTests {
  // MARK: memory

  @Test func memoryV1() throws {
    let files = Fixture([
      "memory.limit_in_bytes": "", "memory.memsw.limit_in_bytes": "9223372036854771712",
      "memory.soft_limit_in_bytes": "",
      "memory.swappiness": "", "memory.oom_control": "oom_kill_disable 0", "memory.kmem.tcp.limit_in_bytes": "",
    ])
    try Memory.apply(
      .init(
        limit: 64 << 20, reservation: 32 << 20, swap: 128 << 20, kernelTCP: 5, swappiness: 10, disableOOMKiller: true),
      to: files.folder(.memory, .v1))
    #expect(files["memory.limit_in_bytes"] == "67108864")
    #expect(files["memory.memsw.limit_in_bytes"] == "134217728")
    #expect(files["memory.soft_limit_in_bytes"] == "33554432")
    #expect(files["memory.swappiness"] == "10")
    #expect(files["memory.oom_control"] == "1")
    #expect(files["memory.kmem.tcp.limit_in_bytes"] == "5")
  }

  @Test func memoryV1WithoutSwapAccounting() {
    let files = Fixture(["memory.limit_in_bytes": ""])
    #expect { try Memory.apply(.init(limit: 1 << 20, swap: 2 << 20), to: files.folder(.memory, .v1)) } throws: {
      ($0 as? Fault)?.code == .unsupported
    }
    #expect(throws: Never.self) { try Memory.apply(.init(limit: 1 << 20, swap: -1), to: files.folder(.memory, .v1)) }
  }

  @Test func memoryV1ZeroLeavesAlone() throws {
    let files = Fixture(["memory.limit_in_bytes": "old"])
    try Memory.apply(.init(limit: 0, swap: 0), to: files.folder(.memory, .v1))
    #expect(files["memory.limit_in_bytes"] == "old")
  }

  @Test func memoryV2() throws {
    let files = Fixture(["memory.max": "", "memory.swap.max": "", "memory.low": ""])
    let folder = files.folder(.memory, .v2)
    try Memory.apply(.init(limit: 64 << 20, reservation: 32 << 20, swap: 96 << 20), to: folder)
    #expect(files["memory.max"] == "67108864")
    #expect(files["memory.swap.max"] == "33554432")
    #expect(files["memory.low"] == "33554432")
    try Memory.apply(.init(limit: -1, swap: -1), to: folder)
    #expect(files["memory.max"] == "max")
    #expect(files["memory.swap.max"] == "max")
  }

  @Test(arguments: [
    RuntimeSpec.Memory(limit: 10 << 20, swap: 5 << 20), .init(swap: 5 << 20), .init(swappiness: 5),
    .init(disableOOMKiller: true), .init(limit: 100, checkBeforeUpdate: true),
  ])
  func memoryV2Refuses(memory: RuntimeSpec.Memory) {
    let files = Fixture(["memory.max": "", "memory.swap.max": "", "memory.current": "5000"])
    #expect(throws: Fault.self) { try Memory.apply(memory, to: files.folder(.memory, .v2)) }
    #expect(files["memory.max"] == "")
  }

  // MARK: cpu

  @Test func cpuV1() throws {
    let files = Fixture(["cpu.shares": "", "cpu.cfs_quota_us": "", "cpu.cfs_period_us": "", "cpu.cfs_burst_us": ""])
    try CPU.apply(.init(shares: 512, quota: 50_000, burst: 10, period: 100_000), to: files.folder(.cpu, .v1))
    #expect(files["cpu.shares"] == "512")
    #expect(files["cpu.cfs_quota_us"] == "50000")
    #expect(files["cpu.cfs_period_us"] == "100000")
    #expect(files["cpu.cfs_burst_us"] == "10")
  }

  @Test func parentsWithoutARealTimeBudgetGetThatOfTheirs() throws {
    let files = Fixture(["cpu.rt_period_us": "1000000", "cpu.rt_runtime_us": "950000"])
    for name in ["gantry", "gantry/one"] {
      mkdir(files.path + "/" + name, 0o755)
      files.put(name + "/cpu.rt_period_us", "1000000")
      files.put(name + "/cpu.rt_runtime_us", "0")
    }
    defer {
      for name in ["gantry/one", "gantry"] {
        for file in ["cpu.rt_period_us", "cpu.rt_runtime_us"] { unlink("\(files.path)/\(name)/\(file)") }
        rmdir("\(files.path)/\(name)")
      }
    }
    let folder = ControllerFolder(controller: .cpu, version: .v1, path: files.path + "/gantry/one")
    try CPU.apply(.init(realtimeRuntime: 20_000, realtimePeriod: 500_000), to: folder)
    #expect(files["gantry/cpu.rt_runtime_us"] == "950000")
    #expect(files["gantry/one/cpu.rt_runtime_us"] == "20000" && files["gantry/one/cpu.rt_period_us"] == "500000")
    #expect(throws: Fault.self) { try CPU.apply(.init(realtimeRuntime: 1), to: files.folder(.cpu, .v2)) }
  }

  @Test func weightsOfDisksInBothVersions() throws {
    let first = Fixture(["blkio.bfq.weight": "", "blkio.bfq.weight_device": "", "blkio.throttle.read_bps_device": ""])
    try BlockIO.apply(
      .init(
        weight: 300, weightDevice: [.init(major: 8, minor: 0, weight: 500)],
        throttleReadBpsDevice: [.init(major: 8, minor: 0, rate: 1 << 20)]), to: first.folder(.blkio, .v1))
    #expect(first["blkio.bfq.weight"] == "300" && first["blkio.bfq.weight_device"] == "8:0 500")
    #expect(first["blkio.throttle.read_bps_device"] == "8:0 1048576")
    let second = Fixture(["io.weight": "", "io.max": ""])
    try BlockIO.apply(.init(weight: 1000), to: second.folder(.blkio, .v2))
    #expect(second["io.weight"] == "default 10000")
    try BlockIO.apply(
      .init(throttleWriteIOPSDevice: [.init(major: 8, minor: 0, rate: 50)]), to: second.folder(.blkio, .v2))
    #expect(second["io.max"] == "8:0 wiops=50")
  }

  @Test func cpuV2() throws {
    let files = Fixture(["cpu.weight": "", "cpu.max": "max 200000", "cpu.max.burst": ""])
    let folder = files.folder(.cpu, .v2)
    try CPU.apply(.init(shares: 1024, quota: 150_000), to: folder)
    #expect(files["cpu.weight"] == "39")
    #expect(files["cpu.max"] == "150000 200000")
    try CPU.apply(.init(quota: -1, period: 50_000), to: folder)
    #expect(files["cpu.max"] == "max 50000")
    #expect(throws: Fault.self) { try CPU.apply(.init(realtimeRuntime: 5), to: folder) }
  }

  @Test(arguments: [(2, 1), (1024, 39), (262_144, 10_000), (1, 1), (1 << 30, 10_000)] as [(UInt64, UInt64)])
  func weights(shares: UInt64, weight: UInt64) { #expect(CPU.weight(shares: shares) == weight) }

  // MARK: the small ones

  @Test func cpuset() throws {
    let files = Fixture(["cpuset.cpus": "", "cpuset.mems": ""])
    try CPUSet.apply(.init(cpus: "0-1,3", mems: "0"), to: files.folder(.cpuset, .v2))
    #expect(files["cpuset.cpus"] == "0-1,3")
    #expect(files["cpuset.mems"] == "0")
    #expect(throws: Fault.self) { try CPUSet.apply(.init(cpus: "zero"), to: files.folder(.cpuset, .v2)) }
  }

  @Test(arguments: [(100, "100"), (0, "max"), (-1, "max")] as [(Int64, String)])
  func pids(limit: Int64, text: String) throws {
    let files = Fixture(["pids.max": ""])
    try Pids.apply(limit: limit, to: files.folder(.pids, .v2))
    #expect(files["pids.max"] == text)
  }

  @Test func blockIO() throws {
    let request = RuntimeSpec.BlockIO(
      weight: 500, weightDevice: [.init(major: 8, minor: 0, weight: 100)],
      throttleReadBpsDevice: [.init(major: 8, minor: 0, rate: 1 << 20)],
      throttleWriteIOPSDevice: [.init(major: 8, minor: 16, rate: 100)])
    let old = Fixture([
      "blkio.bfq.weight": "", "blkio.bfq.weight_device": "", "blkio.throttle.read_bps_device": "",
      "blkio.throttle.write_iops_device": "",
    ])
    try BlockIO.apply(request, to: old.folder(.blkio, .v1))
    #expect(old["blkio.bfq.weight"] == "500")
    #expect(old["blkio.bfq.weight_device"] == "8:0 100")
    #expect(old["blkio.throttle.read_bps_device"] == "8:0 1048576")
    #expect(old["blkio.throttle.write_iops_device"] == "8:16 100")
    let new = Fixture(["io.weight": "", "io.max": ""])
    try BlockIO.apply(.init(weight: 500), to: new.folder(.blkio, .v2))
    #expect(new["io.weight"] == "default 4950")
    try BlockIO.apply(request, to: new.folder(.blkio, .v2))
    #expect(new["io.max"] == "8:16 wiops=100")
  }

  @Test func hugePages() throws {
    let files = Fixture(["hugetlb.2MB.max": "", "hugetlb.2MB.rsvd.max": ""])
    try HugePages.apply([.init(pageSize: "2MB", limit: 4 << 20)], to: files.folder(.hugetlb, .v2))
    #expect(files["hugetlb.2MB.max"] == "4194304")
    #expect(files["hugetlb.2MB.rsvd.max"] == "4194304")
    #expect(throws: Fault.self) {
      try HugePages.apply([.init(pageSize: "../x", limit: 1)], to: files.folder(.hugetlb, .v2))
    }
  }

  @Test func networkAndRDMA() throws {
    let files = Fixture(["net_cls.classid": "", "net_prio.ifpriomap": "", "rdma.max": ""])
    try NetworkTags.applyClass(.init(classID: 7), to: files.folder(.networkClass, .v1))
    try NetworkTags.applyPriorities(
      .init(priorities: [.init(name: "eth0", priority: 3)]), to: files.folder(.networkPriority, .v1))
    try RDMA.apply(["mlx": .init(hcaHandles: 3, hcaObjects: 4)], to: files.folder(.rdma, .v2))
    #expect(files["net_cls.classid"] == "7")
    #expect(files["net_prio.ifpriomap"] == "eth0 3")
    #expect(files["rdma.max"] == "mlx hca_handle=3 hca_object=4")
  }

  // MARK: refusals

  @Test func aRefusalNamesControllerFileAndValue() {
    let files = Fixture()
    #expect { try Pids.apply(limit: 5, to: files.folder(.pids, .v1)) } throws: {
      let fault = $0 as? Fault
      return fault?.code == .unsupported && fault?.message.contains("pids") == true
        && fault?.message.contains("\"5\"") == true && fault?.message.contains("pids.max") == true
    }
  }

  @Test func whichControllersAreNeeded() {
    #expect(RuntimeSpec.Resources().neededControllers.isEmpty)
    #expect(RuntimeSpec.Resources(cpu: .init(cpus: "0")).neededControllers == [.cpuset])
    #expect(RuntimeSpec.Resources(pids: .init(limit: 0)).neededControllers.isEmpty)
    #expect(RuntimeSpec.Resources(unified: ["io.max": "", "memory.high": "1"]).neededControllers == [.blkio, .memory])
  }
}
