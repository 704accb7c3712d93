public import Faults
import FoundationEssentials
public import JSONRPC
import Linux
public import Protocol

#if canImport(Glibc)
  import Glibc
#endif

/// Another service of this engine, for `system.version` and `system.status`.
public struct ServiceEndpoint: Sendable {
  /// The name of its program: `gantry-imaged`.
  public var name: String
  /// Path of its socket.
  public var socket: String
  /// How it is called.
  public var channel: any RPCChannel

  /// Takes all three.
  public init(name: String, socket: String, channel: any RPCChannel) {
    self.name = name
    self.socket = socket
    self.channel = channel
  }
}

extension Engine {
  /// What runs, in which version.
  public func systemVersion(
    _ params: GatewayAPI.SystemVersionParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemVersionResult {
    let components = await serviceStates().map {
      GatewayAPI.VersionComponent(name: $0.name, version: $0.version ?? "", pid: $0.pid, socket: $0.socket)
    }
    return .init(
      version: GantryVersion.current, os: "linux", arch: HostFacts.architecture(),
      kernelVersion: HostFacts.kernelVersion(), components: components)
  }

  /// Every service: whether it answers, and what it uses.
  public func systemStatus(
    _ params: GatewayAPI.SystemStatusParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemStatusResult {
    .init(services: await serviceStates())
  }

  /// Answers at once.
  public func systemPing(
    _ params: GatewayAPI.SystemPingParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemPingResult { .init() }

  /// Docker's info.
  public func systemInfo(
    _ params: GatewayAPI.SystemInfoParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemInfoResult {
    let states = directory.all.map(\.state)
    let paused = states.count { if case .paused = $0 { true } else { false } }
    let running = states.count(where: \.isUp) - paused
    let images = (try? await images.list(.init(all: true)).images.count) ?? 0
    let system = HostFacts.operatingSystem()
    let root = settings.folder.split(separator: "/").dropLast().joined(separator: "/")
    let limits = { (file: String) in JSONValue.bool(self.machine.cgroupVersion == 2 || Folders.exists(file)) }
    return .init(
      info: [
        "ID": .string(machine.hostname), "Name": .string(machine.hostname),
        "Containers": .int(Int64(states.count)), "ContainersRunning": .int(Int64(running)),
        "ContainersPaused": .int(Int64(paused)), "ContainersStopped": .int(Int64(states.count - running - paused)),
        "Images": .int(Int64(images)), "Driver": "overlay2",
        "DriverStatus": [["Supports d_type", "true"], ["Native Overlay Diff", "true"]],
        "Plugins": [
          "Volume": ["local"], "Network": ["host", "null"], "Authorization": nil, "Log": ["json-file", "none"],
        ],
        "MemoryLimit": limits("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        "SwapLimit": limits("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"),
        "CpuCfsPeriod": limits("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
        "CpuCfsQuota": limits("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        "CPUShares": limits("/sys/fs/cgroup/cpu/cpu.shares"), "CPUSet": limits("/sys/fs/cgroup/cpuset/cpuset.cpus"),
        "PidsLimit": limits("/sys/fs/cgroup/pids"), "IPv4Forwarding": .bool(false), "Debug": .bool(false),
        "NEventsListener": .int(Int64(events.subscriberCount)), "SystemTime": .string(Timestamp.now().text()),
        "LoggingDriver": "json-file", "CgroupDriver": "cgroupfs",
        "CgroupVersion": .string(String(machine.cgroupVersion)), "KernelVersion": .string(HostFacts.kernelVersion()),
        "OperatingSystem": .string(system.name), "OSVersion": .string(system.version), "OSType": "linux",
        "Architecture": .string(HostFacts.machine()), "NCPU": .int(Int64(machine.cpuCount)),
        "MemTotal": .int(HostFacts.memoryTotal()), "DockerRootDir": .string("/" + root),
        "ServerVersion": .string(GantryVersion.current), "DefaultRuntime": "gantry",
        "Runtimes": ["gantry": ["path": "gantry-shim"]], "LiveRestoreEnabled": .bool(true),
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "Labels": [], "Warnings": [],
        "ExperimentalBuild": .bool(false), "HttpProxy": "", "HttpsProxy": "", "NoProxy": "",
        "Swarm": ["LocalNodeState": "inactive"], "InitBinary": "gantry-shim",
      ])
  }

  private func serviceStates() async -> [GatewayAPI.ServiceStatus] {
    let own = GatewayAPI.ServiceStatus(
      name: "gantryd", pid: Int64(getpid()), socket: settings.state + "/gantry.sock", version: GantryVersion.current,
      healthy: true, memory: Engine.memory(of: getpid()), startedAt: startedAt.text())
    let others = await withTaskGroup(of: (Int, GatewayAPI.ServiceStatus).self) { group in
      for (index, endpoint) in settings.services.enumerated() {
        group.addTask { (index, await Engine.state(of: endpoint)) }
      }
      var states: [(Int, GatewayAPI.ServiceStatus)] = []
      for await state in group { states.append(state) }
      return states.sorted { $0.0 < $1.0 }.map(\.1)
    }
    return [own] + others
  }

  private static func state(of endpoint: ServiceEndpoint) async -> GatewayAPI.ServiceStatus {
    do {
      let info = try await CommonClient(endpoint.channel).info(.init(), CallContext(deadline: .after(seconds: 3)))
      return .init(
        name: endpoint.name, pid: info.pid, socket: endpoint.socket, version: info.version, healthy: true,
        memory: memory(of: Int32(clamping: info.pid)), startedAt: info.startedAt)
    } catch {
      return .init(name: endpoint.name, socket: endpoint.socket, healthy: false, message: error.message)
    }
  }

  /// Bytes: the share of memory (PSS), or what is not shared where another process's share cannot be read.
  private static func memory(of pid: Int32) -> Int64? {
    if let memory = try? ProcFiles.memory(pid: pid), memory.proportional > 0 {
      return Int64(clamping: memory.proportional)
    }
    guard let text = try? SmallFile.read("/proc/\(pid)/statm") else { return nil }
    let pages = text.split(separator: " ").compactMap { Int64($0) }
    guard pages.count > 2 else { return nil }
    return (pages[1] - pages[2]) * Int64(sysconf(Int32(_SC_PAGESIZE)))
  }
}
