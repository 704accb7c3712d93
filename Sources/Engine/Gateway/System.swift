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
    try await faulted { .init(info: try await info()) }
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
