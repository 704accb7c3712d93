import FoundationEssentials
import JSONRPC
import Protocol

/// A container in the shape of Docker's `GET /containers/ID/json`.
struct Inspect {
  let definition: ContainerDefinition
  let published: Container.Published
  /// Ids of its execs that run.
  let execs: [String]
  /// The overlay's folders, when they are known.
  let graph: [String: String]
  /// The last word of its health check, when there was one.
  let health: HealthState?
  /// Bytes that the container wrote, when asked for.
  let sizes: (written: Int64, total: Int64)?
  let hostname: String

  func json() throws -> JSONValue {
    let arguments = ImageMerge.arguments(definition.config)
    var host = try Inspect.encode(definition.hostConfig)
    for (key, value) in Inspect.hostDefaults where host[key] == nil || host[key] == .null { host[key] = value }
    host["RestartPolicy"] = .object(try Inspect.encode(published.restarts.policy.wire))
    if host["NetworkMode"] == .string("") || host["NetworkMode"] == .string("default") {
      host["NetworkMode"] = .string("none")
    }
    if host["IpcMode"] == .string("") { host["IpcMode"] = .string("private") }
    if host["CgroupnsMode"] == .string("") { host["CgroupnsMode"] = .string("private") }
    if host["Runtime"] == .string("") { host["Runtime"] = .string("gantry") }
    if host["ShmSize"] == .int(0) { host["ShmSize"] = .int(SpecBuilder.shmSize) }
    if case .object(var log)? = host["LogConfig"] {
      if log["Type"] == nil || log["Type"] == .null || log["Type"] == .string("") { log["Type"] = .string("json-file") }
      if log["Config"] == nil || log["Config"] == .null { log["Config"] = .object([:]) }
      host["LogConfig"] = .object(log)
    }
    if definition.hostConfig.privileged ?? false {
      host["MaskedPaths"] = .null
      host["ReadonlyPaths"] = .null
    }
    var config = try Inspect.encode(definition.config)
    for (key, value) in Inspect.configDefaults where config[key] == nil { config[key] = value }
    config["Hostname"] = .string(hostname)

    var result: [String: JSONValue] = [
      "Id": .string(definition.id),
      "Created": .string(definition.created.text()),
      "Path": .string(arguments.first ?? ""),
      "Args": .array(arguments.dropFirst().map(JSONValue.string)),
      "State": .object(state()),
      "Image": .string(definition.imageID),
      "ResolvConfPath": .string(definition.files.resolvConf),
      "HostnamePath": .string(definition.files.hostname),
      "HostsPath": .string(definition.files.hosts),
      "LogPath": .string((try? LogSettings(definition.hostConfig).driver) == .jsonFile ? definition.files.log : ""),
      "Name": .string("/" + published.name),
      "RestartCount": .int(Int64(published.restarts.count)),
      "Driver": .string("overlay2"),
      "Platform": .string("linux"),
      "MountLabel": .string(""),
      "ProcessLabel": .string(""),
      "AppArmorProfile": .string((try? SecurityOptions(definition.hostConfig))?.appArmor ?? ""),
      "ExecIDs": execs.isEmpty ? .null : .array(execs.map(JSONValue.string)),
      "HostConfig": .object(host),
      "GraphDriver": .object([
        "Name": .string("overlay2"),
        "Data": graph.isEmpty
          ? .null : .object(graph.mapValues(JSONValue.string).merging(["ID": .string(definition.id)]) { own, _ in own })
          ,
      ]),
      "Mounts": .array(definition.mounts.map(Inspect.mountPoint)),
      "Config": .object(config),
      "NetworkSettings": networkSettings(),
    ]
    if let sizes {
      result["SizeRw"] = .int(sizes.written)
      result["SizeRootFs"] = .int(sizes.total)
    }
    return .object(result)
  }

  /// Docker's `State` with the health of a container that is looked after.
  private func state() -> [String: JSONValue] {
    var state = Inspect.state(published.state)
    guard let status = definition.health(published) else { return state }
    state["Health"] = .object([
      "Status": .string(published.state.running == nil ? status.rawValue : (health?.status ?? status).rawValue),
      "FailingStreak": .int(health?.failingStreak ?? 0),
      "Log": .array(
        (health?.log ?? []).map { result in
          .object([
            "Start": .string(result.start), "End": .string(result.end), "ExitCode": .int(result.exitCode),
            "Output": .string(result.output),
          ])
        }),
    ])
    return state
  }

  /// Docker's `State`.
  static func state(_ state: ContainerState) -> [String: JSONValue] {
    let running = state.running
    let last = state.last
    var paused = false
    if case .paused = state { paused = true }
    var restarting = false
    if case .restarting = state { restarting = true }
    var error = running == nil ? last?.error ?? "" : ""
    var dead = false
    if case .dead(let reason, _) = state {
      dead = true
      error = reason
    }
    return [
      "Status": .string(state.word),
      "Running": .bool(running != nil || restarting),
      "Paused": .bool(paused),
      "Restarting": .bool(restarting),
      "OOMKilled": .bool(running == nil && last?.oomKilled ?? false),
      "Dead": .bool(dead),
      "Pid": .int(Int64(running?.pid ?? 0)),
      "ExitCode": .int(Int64(running == nil ? last?.code ?? 0 : 0)),
      "Error": .string(error),
      "StartedAt": .string(running?.startedAt.text() ?? last?.startedAt?.text() ?? Timestamp.zeroText),
      "FinishedAt": .string(last?.finishedAt.text() ?? Timestamp.zeroText),
    ]
  }

  /// Docker's `MountPoint`.
  static func mountPoint(_ mount: PlannedMount) -> JSONValue {
    var point: [String: JSONValue] = [
      "Type": .string(mount.kind.rawValue),
      "Source": .string(mount.source),
      "Destination": .string(mount.destination),
      "Mode": .string(mount.mode),
      "RW": .bool(!mount.readOnly),
      "Propagation": .string(mount.kind == .bind ? (mount.propagation.isEmpty ? "rprivate" : mount.propagation) : ""),
    ]
    if let volume = mount.volume {
      point["Name"] = .string(volume)
      point["Driver"] = .string("local")
    }
    return .object(point)
  }

  private func networkSettings() -> JSONValue {
    let mode = definition.hostConfig.networkMode == "host" ? "host" : "none"
    let endpoint: [String: JSONValue] = [
      "IPAMConfig": .null, "Links": .null, "Aliases": .null, "MacAddress": .string(""), "DriverOpts": .null,
      "GwPriority": .int(0), "NetworkID": .string(""), "EndpointID": .string(""), "Gateway": .string(""),
      "IPAddress": .string(""), "IPPrefixLen": .int(0), "IPv6Gateway": .string(""), "GlobalIPv6Address": .string(""),
      "GlobalIPv6PrefixLen": .int(0), "DNSNames": .null,
    ]
    let pid = published.state.running?.pid ?? 0
    return .object([
      "Bridge": .string(""), "SandboxID": .string(""),
      "SandboxKey": .string(pid > 0 ? "/proc/\(pid)/ns/net" : ""),
      "Ports": .object([:]), "HairpinMode": .bool(false), "LinkLocalIPv6Address": .string(""),
      "LinkLocalIPv6PrefixLen": .int(0), "SecondaryIPAddresses": .null, "SecondaryIPv6Addresses": .null,
      "EndpointID": .string(""), "Gateway": .string(""), "GlobalIPv6Address": .string(""),
      "GlobalIPv6PrefixLen": .int(0), "IPAddress": .string(""), "IPPrefixLen": .int(0), "IPv6Gateway": .string(""),
      "MacAddress": .string(""), "Networks": .object([mode: .object(endpoint)]),
    ])
  }

  /// A value as a JSON object.
  static func encode(_ value: some Encodable) throws -> [String: JSONValue] {
    let data = try JSONEncoder().encode(value)
    guard case .object(let object) = try JSONDecoder().decode(JSONValue.self, from: data) else { return [:] }
    return object
  }

  private static let configDefaults: [String: JSONValue] = [
    "Domainname": .string(""), "User": .string(""), "AttachStdin": .bool(false), "AttachStdout": .bool(false),
    "AttachStderr": .bool(false), "Tty": .bool(false), "OpenStdin": .bool(false), "StdinOnce": .bool(false),
    "Env": .array([]), "Cmd": .null, "Image": .string(""), "Volumes": .null, "WorkingDir": .string(""),
    "Entrypoint": .null, "OnBuild": .null, "Labels": .object([:]),
  ]

  private static let hostDefaults: [String: JSONValue] = [
    "Binds": .null, "ContainerIDFile": .string(""),
    "LogConfig": .object(["Type": .string("json-file"), "Config": .object([:])]),
    "NetworkMode": .string("none"), "PortBindings": .object([:]),
    "RestartPolicy": .object(["Name": .string("no"), "MaximumRetryCount": .int(0)]),
    "AutoRemove": .bool(false), "VolumeDriver": .string(""), "VolumesFrom": .null,
    "ConsoleSize": .array([.int(0), .int(0)]),
    "CapAdd": .null, "CapDrop": .null, "CgroupnsMode": .string("private"), "Dns": .array([]), "DnsOptions": .array([]),
    "DnsSearch": .array([]), "ExtraHosts": .null, "GroupAdd": .null, "IpcMode": .string("private"),
    "Cgroup": .string(""), "Links": .null, "OomScoreAdj": .int(0), "PidMode": .string(""), "Privileged": .bool(false),
    "PublishAllPorts": .bool(false), "ReadonlyRootfs": .bool(false), "SecurityOpt": .null, "UTSMode": .string(""),
    "UsernsMode": .string(""), "ShmSize": .int(SpecBuilder.shmSize), "Runtime": .string("gantry"),
    "Isolation": .string(""), "CpuShares": .int(0), "Memory": .int(0), "NanoCpus": .int(0), "CgroupParent": .string(""),
    "BlkioWeight": .int(0), "BlkioWeightDevice": .array([]), "BlkioDeviceReadBps": .array([]),
    "BlkioDeviceWriteBps": .array([]), "BlkioDeviceReadIOps": .array([]), "BlkioDeviceWriteIOps": .array([]),
    "CpuPeriod": .int(0), "CpuQuota": .int(0), "CpuRealtimePeriod": .int(0), "CpuRealtimeRuntime": .int(0),
    "CpusetCpus": .string(""), "CpusetMems": .string(""), "Devices": .array([]), "DeviceCgroupRules": .null,
    "DeviceRequests": .null, "MemoryReservation": .int(0), "MemorySwap": .int(0), "MemorySwappiness": .null,
    "OomKillDisable": .bool(false), "PidsLimit": .null, "Ulimits": .array([]), "CpuCount": .int(0),
    "CpuPercent": .int(0), "IOMaximumIOps": .int(0), "IOMaximumBandwidth": .int(0),
    "MaskedPaths": .array(SpecBuilder.maskedPaths.map(JSONValue.string)),
    "ReadonlyPaths": .array(SpecBuilder.readonlyPaths.map(JSONValue.string)),
  ]
}
