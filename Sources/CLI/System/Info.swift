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

  /// The fields that people look for first, under Docker's titles; each only where the engine tells it.
  private static let lines: [(title: String, field: String)] = [
    ("Containers", "Containers"), (" Running", "ContainersRunning"), (" Paused", "ContainersPaused"),
    (" Stopped", "ContainersStopped"), ("Images", "Images"), ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"), ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"), ("Default Runtime", "DefaultRuntime"), ("Security Options", "SecurityOptions"),
    ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"), ("OSType", "OSType"),
    ("Architecture", "Architecture"), ("CPUs", "NCPU"), ("Total Memory", "MemTotal"), ("Name", "Name"), ("ID", "ID"),
    ("Gantry Root Dir", "DockerRootDir"),
  ]

  private static func text(_ info: JSONValue) -> String {
    var text = "Client:\n Version:  \(GantryVersion.current)\n\nServer:\n"
    for (title, field) in lines {
      guard let value = info[field], value != .null else { continue }
      switch (field, value) {
      case ("MemTotal", .int(let bytes)): text += " \(title): \(Human.binarySize(bytes))\n"
      case (_, .array(let items)): text += " \(title): \(items.map(\.text).joined(separator: " "))\n"
      default: text += " \(title): \(value.text)\n"
      }
    }
    for warning in info["Warnings"]?.arrayValue ?? [] { text += "WARNING: \(warning.text)\n" }
    return text
  }
}
