import Faults
import OCI
import Protocol
import Testing

@testable import Engine

@Suite struct SpecBuilderTests {
  private static let machine = Machine(
    capabilities: Capabilities(bounding: ((1 << 41) - 1) & ~(1 << 24)), cpuCount: 4, cgroupVersion: 2, hostname: "host")

  private func build(
    _ change: (inout ContainerConfig, inout HostConfig) -> Void = { _, _ in }
  ) throws -> RuntimeSpec {
    var config = ContainerConfig(cmd: ["sh"], image: "busybox")
    var host = HostConfig()
    change(&config, &host)
    try RequestCheck(machine: Self.machine).check(config, host)
    let id = String(repeating: "a1", count: 32)
    let mounts = try MountPlanner(volumesFolder: "/v").plan(config: config, hostConfig: host, imageVolumes: []).mounts
    return try SpecBuilder(machine: Self.machine).build(
      .init(id: id, config: config, hostConfig: host, mounts: mounts, files: ContainerFiles(folder: "/f", id: id)))
  }

  @Test func plainContainer() throws {
    let spec = try build()
    let process = try #require(spec.process)
    #expect(process.args == ["sh"] && process.cwd == "/" && process.terminal == nil)
    #expect(
      process.env == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=a1a1a1a1a1a1",
      ])
    #expect(process.capabilities?.bounding?.count == 14)
    #expect(process.capabilities?.inheritable == nil && process.capabilities?.ambient == nil)
    #expect(spec.hostname == "a1a1a1a1a1a1")
    #expect(spec.linux?.namespaces?.map(\.type).sorted() == ["cgroup", "ipc", "mount", "network", "pid", "uts"])
    #expect(spec.linux?.maskedPaths == SpecBuilder.maskedPaths)
    #expect(spec.linux?.readonlyPaths == SpecBuilder.readonlyPaths)
    #expect(spec.linux?.resources?.devices == [.init(allow: false, access: "rwm")])
    #expect(spec.linux?.cgroupsPath == nil && spec.linux?.seccomp == nil)
    let destinations = spec.mounts?.map(\.destination) ?? []
    for path in ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/etc/hosts"] {
      #expect(destinations.contains(path), "\(path)")
    }
    let sys = spec.mounts?.first { $0.destination == "/sys" }
    #expect(sys?.options?.contains("ro") == true)
  }

  @Test func aVolumeOnEtcDoesNotHideTheEnginesFiles() throws {
    let destinations = try build { _, host in host.binds = ["etc:/etc"] }.mounts?.map(\.destination) ?? []
    let (folder, file) = (destinations.firstIndex(of: "/etc"), destinations.firstIndex(of: "/etc/hosts"))
    #expect(try #require(folder) < #require(file))
  }

  @Test func limitsBecomeResources() throws {
    let resources = try build { _, host in
      host.memory = 64 << 20
      host.nanoCpus = 1_500_000_000
      host.cpuShares = 512
      host.cpusetCpus = "0-1"
      host.pidsLimit = 100
      host.memoryReservation = 32 << 20
    }.linux?.resources
    #expect(resources?.memory?.limit == 64 << 20 && resources?.memory?.swap == 128 << 20)
    #expect(resources?.memory?.reservation == 32 << 20)
    #expect(resources?.cpu?.quota == 150_000 && resources?.cpu?.period == 100_000 && resources?.cpu?.shares == 512)
    #expect(resources?.cpu?.cpus == "0-1" && resources?.pids?.limit == 100)
  }

  @Test func privilegedHasEverythingButWhatTheMachineLacks() throws {
    let spec = try build { _, host in host.privileged = true }
    #expect(spec.process?.capabilities?.bounding?.count == 40)
    #expect(spec.process?.capabilities?.bounding?.contains("CAP_SYS_RESOURCE") == false)
    #expect(spec.linux?.maskedPaths == nil && spec.linux?.readonlyPaths == nil)
    #expect(spec.linux?.resources?.devices?.first?.allow == true)
    #expect(spec.annotations?["gantry.privileged"] == "true")
    #expect(spec.mounts?.first { $0.destination == "/sys" }?.options?.contains("rw") == true)
  }

  @Test func hostModesLeaveNamespacesOut() throws {
    let spec = try build { _, host in
      host.networkMode = "host"
      host.pidMode = "host"
      host.ipcMode = "host"
      host.utsMode = "host"
    }
    #expect(spec.linux?.namespaces?.map(\.type) == ["mount", "cgroup"])
    #expect(spec.hostname == nil && spec.linux?.sysctl == nil)
    #expect(spec.mounts?.first { $0.destination == "/dev/shm" }?.type == "bind")
    #expect(try build { _, host in host.networkMode = "host" }.hostname == "host")
  }

  @Test func mountsAreOrderedAndTheirOptionsKept() throws {
    let spec = try build { config, host in
      host.binds = ["/srv/a:/data/deep/er:ro,rslave", "/srv/b:/data", "/etc/x:/etc/hosts:Z"]
      host.tmpfs = ["/run": "size=64m,exec"]
      host.mounts = [
        .init(target: "/m", source: "/src", type: .bind, readOnly: true, bindOptions: .init(nonRecursive: true))
      ]
      config.volumes = ["/vol": .init(), "/data": .init()]
    }
    let own = Array((spec.mounts ?? []).drop { $0.destination != "/data" })
    #expect(own.map(\.destination) == ["/data", "/m", "/run", "/vol", "/etc/hosts", "/data/deep/er"])
    #expect(own[0].options == ["rbind", "rw", "rprivate"])
    #expect(own[1].options == ["bind", "ro", "rprivate"])
    #expect(own[2].type == "tmpfs" && own[2].options == ["nosuid", "nodev", "size=64m", "exec"])
    #expect(own[3].type == "bind" && own[3].options == ["rbind", "rw", "rprivate"])
    #expect(own[5].options == ["rbind", "rro", "rslave"])
    #expect((spec.mounts ?? []).filter { $0.destination == "/etc/hosts" }.count == 1)
  }

  @Test(arguments: [
    ["/a:/b", "/c:/b"], ["/a:/proc"], ["/a:/"], ["/a:b"], ["/a"], ["/a:/b:rw,nope"], ["v:/b"], [":/b"], ["/a:/b:c:d"],
  ])
  func badBindsAreRefused(binds: [String]) {
    #expect(throws: Fault.self) { try build { _, host in host.binds = binds } }
  }

  @Test func terminalUserAndRights() throws {
    let spec = try build { config, host in
      config.tty = true
      config.user = "1000:1000"
      config.workingDir = "/work/./x/.."
      config.env = ["PATH=/own", "HOSTNAME", "X=1"]
      host.securityOpt = ["no-new-privileges", "seccomp=unconfined"]
      host.groupAdd = ["20", "audio"]
      host.capDrop = ["ALL"]
      host.capAdd = ["NET_BIND_SERVICE"]
      host.ulimits = [.init(name: "nofile", soft: 10, hard: 20), .init(name: "core", soft: -1, hard: -1)]
      host.`init` = true
      host.oomScoreAdj = 5
      host.readonlyRootfs = true
      host.cgroupParent = "/mine"
      host.shmSize = 1 << 20
    }
    let process = try #require(spec.process)
    #expect(process.terminal == true && process.user.username == "1000:1000" && process.cwd == "/work")
    #expect(process.env == ["PATH=/own", "TERM=xterm", "X=1"])
    #expect(process.noNewPrivileges == true && process.oomScoreAdj == 5)
    #expect(process.user.additionalGids == [20] && process.user.additionalGroupNames == ["audio"])
    #expect(process.capabilities?.effective == ["CAP_NET_BIND_SERVICE"])
    #expect(
      process.rlimits == [
        .init(type: "RLIMIT_NOFILE", hard: 20, soft: 10), .init(type: "RLIMIT_CORE", hard: .max, soft: .max),
      ])
    #expect(spec.annotations?["gantry.init"] == "true" && spec.root?.readonly == true)
    #expect(spec.linux?.cgroupsPath?.hasPrefix("/mine/a1a1") == true)
    #expect(spec.mounts?.first { $0.destination == "/dev/shm" }?.options?.contains("size=1048576") == true)
  }

  @Test func imagesFillWhatIsLeftOpen() {
    var image = ImageConfig.Execution()
    image.entrypoint = ["/entry"]
    image.cmd = ["default"]
    image.env = ["PATH=/image", "A=1"]
    image.labels = ["from": "image", "both": "image"]
    image.user = "app"
    let plain = ImageMerge.merge(ContainerConfig(env: ["A=2"], labels: ["both": "own"]), image: image)
    #expect(ImageMerge.arguments(plain) == ["/entry", "default"] && plain.user == "app")
    #expect(plain.env == ["A=2", "PATH=/image"] && plain.labels == ["from": "image", "both": "own"])
    #expect(ImageMerge.arguments(ImageMerge.merge(ContainerConfig(cmd: ["x"]), image: image)) == ["/entry", "x"])
    #expect(ImageMerge.arguments(ImageMerge.merge(ContainerConfig(entrypoint: ["/own"]), image: image)) == ["/own"])
    #expect(
      ImageMerge.arguments(ImageMerge.merge(ContainerConfig(cmd: ["x"], entrypoint: [""]), image: image)) == ["x"])
  }

  @Test func badRequestsNameFieldAndLimit() {
    let cases: [(String, (inout ContainerConfig, inout HostConfig) -> Void)] = [
      ("Minimum memory limit", { $1.memory = 1024 }), ("range of CPUs", { $1.nanoCpus = 9_000_000_000 }),
      ("Memoryswap", { $1.memorySwap = 1 << 30 }), ("no command", { config, _ in config.cmd = nil }),
      ("working directory", { config, _ in config.workingDir = "x" }), ("User", { config, _ in config.user = "-1" }),
      ("Hostname", { config, _ in config.hostname = "a\nb" }),
      ("Invalid signal", { config, _ in config.stopSignal = "X" }),
      ("OomScore", { $1.oomScoreAdj = 2000 }), ("Sysctls", { $1.sysctls = ["kernel.core_pattern": "x"] }),
      ("cfs period", { $1.cpuPeriod = 5 }), ("CpusetCpus", { $1.cpusetCpus = "2-" }),
      ("environment", { config, _ in config.env = ["=x"] }), ("CgroupParent", { $1.cgroupParent = "/../x" }),
      ("UsernsMode", { $1.usernsMode = "none" }), ("max-size", { $1.logConfig = .init(config: ["max-size": "x"]) }),
    ]
    for (word, change) in cases {
      let fault = #expect(throws: Fault.self) { try build(change) }
      #expect(fault?.message.lowercased().contains(word.lowercased()) == true || word == "OomScore", "\(word)")
    }
  }
}
