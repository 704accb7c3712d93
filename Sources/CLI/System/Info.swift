internal import Faults
internal import JSONRPC
internal import Protocol

/// `gantry info`: what the engine is, what it has and what it runs on.
struct Info: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Display system-wide information",
    examples: [
      ("gantry info", "Everything"), ("gantry info --format '{{.Driver}} {{.NCPU}}'", "Chosen fields"),
    ])
  static let flags: [Flag<Info>] = [
    .value("format", "f", "string", "Format output: 'json', or a Go template") { $0.format = $1 }
  ]

  var format: String?

  func run(in session: Session) throws -> Int32 {
    let template = try format.flatMap { $0 == "json" || $0.isEmpty ? nil : try Template(ListOptions.unescaped($0)) }
    let info = try session.call(GatewayAPI.Method.systemInfo, .init()).info
    if let template {
      Output.write(try template.text(for: info) + "\n")
    } else if format == "json" {
      Output.write(info.json + "\n")
    } else {
      Output.write(Self.text(info))
    }
    return 0
  }

  /// The fields under Docker's titles, in its order; each only where the engine tells it.
  private static let before: [(title: String, field: String)] = [
    ("Containers", "Containers"), (" Running", "ContainersRunning"), (" Paused", "ContainersPaused"),
    (" Stopped", "ContainersStopped"), ("Images", "Images"), ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"),
  ]
  private static let cgroups: [(title: String, field: String)] = [
    ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"), ("Cgroup Version", "CgroupVersion"),
  ]
  private static let after: [(title: String, field: String)] = [
    ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"), ("OSType", "OSType"),
    ("Architecture", "Architecture"), ("CPUs", "NCPU"), ("Total Memory", "MemTotal"), ("Name", "Name"), ("ID", "ID"),
    ("Gantry Root Dir", "DockerRootDir"), ("Debug Mode", "Debug"), ("Experimental", "ExperimentalBuild"),
    ("Live Restore Enabled", "LiveRestoreEnabled"),
  ]

  /// What people read, and the engine's warnings after it.
  static func text(_ info: JSONValue) -> String {
    var text = "Client:\n Version:  \(GantryVersion.current)\n\nServer:\n"
    text += lines(before, info)
    for pair in info["DriverStatus"]?.arrayValue ?? [] {
      guard let pair = pair.arrayValue, pair.count == 2 else { continue }
      text += "  \(pair[0].text): \(pair[1].text)\n"
    }
    text += lines(cgroups, info)
    if let plugins = info["Plugins"] {
      text += " Plugins:\n"
      for kind in ["Volume", "Network", "Authorization", "Log"] {
        let names = (plugins[kind]?.arrayValue ?? []).map(\.text)
        if !names.isEmpty { text += "  \(kind): \(names.joined(separator: " "))\n" }
      }
    }
    if let folders = info["CDISpecDirs"]?.arrayValue, !folders.isEmpty {
      text += " CDI spec directories:\n" + folders.map { "  \($0.text)\n" }.joined()
    }
    if let state = info["Swarm"]?["LocalNodeState"] { text += " Swarm: \(state.text)\n" }
    if let runtimes = info["Runtimes"]?.objectValue, !runtimes.isEmpty {
      text += " Runtimes: \(runtimes.keys.sorted().joined(separator: " "))\n"
    }
    text += lines([("Default Runtime", "DefaultRuntime"), ("Init Binary", "InitBinary")], info)
    text += security(info["SecurityOptions"]?.arrayValue ?? [])
    text += lines(after, info)
    for warning in info["Warnings"]?.arrayValue ?? [] { text += warning.text + "\n" }
    return text
  }

  private static func lines(_ list: [(title: String, field: String)], _ info: JSONValue) -> String {
    var text = ""
    for (title, field) in list {
      guard let value = info[field], value != .null else { continue }
      let shown = if field == "MemTotal", case .int(let bytes) = value { Human.binarySize(bytes) } else { value.text }
      text += " \(title): \(shown)\n"
    }
    return text
  }

  /// `name=seccomp,profile=builtin` as a name with its settings below.
  private static func security(_ options: [JSONValue]) -> String {
    guard !options.isEmpty else { return "" }
    var text = " Security Options:\n"
    for option in options {
      let parts = option.text.split(separator: ",").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
      for part in parts where part.count == 2 {
        let isName = part[0] == "name"
        text += isName ? "  \(part[1])\n" : "   \(part[0].prefix(1).uppercased() + part[0].dropFirst()): \(part[1])\n"
      }
    }
    return text
  }
}
