internal import Faults
internal import JSONRPC
internal import Protocol

/// `gantry version`: the versions of this program and of the engine's services.
struct Version: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Show the Gantry version information",
    examples: [
      ("gantry version", "This program and every service"), ("gantry version --client", "This program alone"),
      ("gantry version --format '{{.Server.Version}}'", "One field"),
    ])
  static let flags: [Flag<Version>] = [
    .toggle("client", nil, "This program alone: the engine is not asked") { $0.clientOnly = $1 },
    .value("format", "f", "string", "Format output: 'json', or a Go template") { $0.format = $1 },
  ]

  var clientOnly = false
  var format: String?

  func run(in session: Session) throws -> Int32 {
    if let format { return try runFormatted(format, session) }
    Output.write("Client:\n Version:  \(GantryVersion.current)\n OS/Arch:  \(Self.platform)\n")
    if clientOnly { return 0 }
    let server = try session.call(GatewayAPI.Method.systemVersion, .init())
    var text = "\nServer:\n Version:  \(server.version)\n"
    if let commit = server.gitCommit { text += " Git commit:  \(commit)\n" }
    text += " OS/Arch:  \(server.os)/\(server.arch)\n Kernel:   \(server.kernelVersion)\n"
    for component in server.components {
      text += " \(component.name):\n  Version:  \(component.version)\n"
      if let pid = component.pid { text += "  Process:  \(pid)\n" }
      if let socket = component.socket { text += "  Socket:   \(socket)\n" }
    }
    Output.write(text)
    return 0
  }

  private func runFormatted(_ format: String, _ session: Session) throws -> Int32 {
    let template = format == "json" ? nil : try Template(ListOptions.unescaped(format))
    var value: JSONValue = .object([
      "Client": .object([
        "Version": .string(GantryVersion.current), "Os": .string("linux"), "Arch": .string(Self.architecture),
      ]),
      "Server": .null,
    ])
    var failure: Fault?
    if !clientOnly {
      do {
        value["Server"] = Self.json(try session.call(GatewayAPI.Method.systemVersion, .init()))
      } catch let fault as Fault {
        failure = fault
      }
    }
    if let failure, template != nil { throw failure }
    Output.write((try template?.text(for: value) ?? value.json) + "\n")
    if let failure { throw failure }
    return 0
  }

  private static func json(_ server: GatewayAPI.SystemVersionResult) -> JSONValue {
    let components: [JSONValue] = server.components.map { component in
      .object([
        "Name": .string(component.name), "Version": .string(component.version),
        "GitCommit": .string(component.gitCommit ?? ""), "Pid": component.pid.map { .int($0) } ?? .null,
        "Socket": .string(component.socket ?? ""),
      ])
    }
    return .object([
      "Version": .string(server.version), "GitCommit": .string(server.gitCommit ?? ""), "Os": .string(server.os),
      "Arch": .string(server.arch), "KernelVersion": .string(server.kernelVersion), "Components": .array(components),
    ])
  }

  private static let platform = "linux/" + architecture

  private static var architecture: String {
    #if arch(x86_64)
      "amd64"
    #elseif arch(arm64)
      "arm64"
    #else
      "unknown"
    #endif
  }
}
