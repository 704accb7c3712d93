import Faults
import FoundationEssentials
import JSONRPC
import Linux
import Protocol
import SystemPackage

/// The engine and its machine in the shape of Docker's `GET /info`.
extension Engine {
  func info() async throws -> JSONValue {
    let states = directory.all.map(\.state)
    let paused = states.count { if case .paused = $0 { true } else { false } }
    let running = states.count(where: \.isUp) - paused
    let images = (try? await images.list(.init(all: true)).images.count) ?? 0
    let system = HostFacts.operatingSystem()
    let root = "/" + settings.folder.split(separator: "/").dropLast().joined(separator: "/")
    let forwards = ((try? SmallFile.read("/proc/sys/net/ipv4/ip_forward", limit: 16)) ?? "").hasPrefix("1")
    var info: [String: JSONValue] = [
      "ID": .string(try engineID()), "Name": .string(machine.hostname),
      "Containers": .int(Int64(states.count)), "ContainersRunning": .int(Int64(running)),
      "ContainersPaused": .int(Int64(paused)), "ContainersStopped": .int(Int64(states.count - running - paused)),
      "Images": .int(Int64(images)), "Driver": "overlay2",
      "DriverStatus": [
        ["Backing Filesystem", .string(HostFacts.fileSystem(of: root))], ["Supports d_type", "true"],
        ["Using metacopy", "false"], ["Native Overlay Diff", "true"], ["userxattr", "false"],
      ],
      "Plugins": [
        "Volume": ["local"], "Network": ["host", "null"], "Authorization": nil,
        "Log": [
          "awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "none", "splunk", "syslog",
        ],
      ],
      "IPv4Forwarding": .bool(forwards), "Debug": .bool(false), "NFd": .int(HostFacts.openDescriptors()),
      "NEventsListener": .int(Int64(events.subscriberCount)), "SystemTime": .string(Timestamp.now().text()),
      "LoggingDriver": "json-file", "CgroupDriver": "cgroupfs",
      "CgroupVersion": .string(String(machine.cgroupVersion)), "KernelVersion": .string(HostFacts.kernelVersion()),
      "OperatingSystem": .string(system.name), "OSVersion": .string(system.version), "OSType": "linux",
      "Architecture": .string(HostFacts.machine()), "NCPU": .int(Int64(machine.cpuCount)),
      "MemTotal": .int(HostFacts.memoryTotal()), "DockerRootDir": .string(root), "GenericResources": .null,
      "ServerVersion": .string(GantryVersion.current), "DefaultRuntime": "gantry",
      "Runtimes": ["gantry": ["path": "gantry-shim"]], "LiveRestoreEnabled": .bool(true),
      "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "Labels": [],
      "ExperimentalBuild": .bool(false), "HttpProxy": "", "HttpsProxy": "", "NoProxy": "",
      "Swarm": ["LocalNodeState": "inactive"], "InitBinary": "gantry-shim",
      "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    ]
    var warnings: [JSONValue] = []
    for limit in MachineLimit.all {
      let offered = limit.isOffered(cgroupVersion: machine.cgroupVersion)
      info[limit.field] = .bool(offered)
      if !offered, let warning = limit.warning { warnings.append(.string("WARNING: " + warning)) }
    }
    info["Warnings"] = .array(warnings)
    return .object(info)
  }

  /// A name of this engine that no other has and that stays: made once, kept beside its database.
  private func engineID() throws -> String {
    let path = settings.folder + "/engine-id"
    if let known = try? SmallFile.read(path, limit: 64), known.utf8.count == 36 { return known }
    let digits = Array(Identifier.random(digits: 32))
    var id = ""
    for (index, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(index) { id.append("-") }
      // Version 4, variant 1, as RFC 9562 marks random ones.
      id.append(index == 12 ? "4" : index == 16 ? "a" : digit)
    }
    do throws(Errno) {
      try DurableFile.write(FilePath(path), Array(id.utf8))
    } catch {
      throw Fault(.internal, "\(path) cannot be written", cause: [error.description])
    }
    return id
  }
}

/// A limit that a machine may offer, as Docker's info tells it.
struct MachineLimit {
  /// The field in info.
  let field: String
  /// The file of cgroup v1 that is there when it is; nil for what v1 never has.
  let legacyFile: String?
  /// The controller of cgroup v2; nil for what v2 always or never has.
  let controller: String?
  /// Whether v2 has it at all.
  var onUnified = true
  /// Docker's words when it is missing.
  let warning: String?

  static let all = [
    MachineLimit(
      field: "MemoryLimit", legacyFile: "memory/memory.limit_in_bytes", controller: "memory",
      warning: "No memory limit support"),
    MachineLimit(
      field: "SwapLimit", legacyFile: "memory/memory.memsw.limit_in_bytes", controller: "memory",
      warning: "No swap limit support"),
    MachineLimit(
      field: "KernelMemoryTCP", legacyFile: "memory/memory.kmem.tcp.limit_in_bytes", controller: nil, onUnified: false,
      warning: nil),
    MachineLimit(
      field: "OomKillDisable", legacyFile: "memory/memory.oom_control", controller: nil, onUnified: false, warning: nil),
    MachineLimit(
      field: "CpuCfsPeriod", legacyFile: "cpu/cpu.cfs_period_us", controller: "cpu",
      warning: "No cpu cfs period support"),
    MachineLimit(
      field: "CpuCfsQuota", legacyFile: "cpu/cpu.cfs_quota_us", controller: "cpu", warning: "No cpu cfs quota support"),
    MachineLimit(field: "CPUShares", legacyFile: "cpu/cpu.shares", controller: "cpu", warning: "No cpu shares support"),
    MachineLimit(field: "CPUSet", legacyFile: "cpuset/cpuset.cpus", controller: "cpuset", warning: "No cpuset support"),
    MachineLimit(field: "PidsLimit", legacyFile: "pids", controller: "pids", warning: "No pids limit support"),
  ]

  func isOffered(cgroupVersion: Int) -> Bool {
    if cgroupVersion == 1 { return legacyFile.map { Folders.exists("/sys/fs/cgroup/" + $0) } ?? false }
    guard onUnified else { return false }
    guard let controller else { return true }
    let offered = (try? SmallFile.read("/sys/fs/cgroup/cgroup.controllers", limit: 4096)) ?? ""
    return offered.split(whereSeparator: \.isWhitespace).contains { $0 == controller }
  }
}
