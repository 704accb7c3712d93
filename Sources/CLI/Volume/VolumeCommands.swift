internal import JSONRPC
internal import Protocol

/// `gantry volume create`: makes a volume.
struct VolumeCreate: Command {
  static let about = About(
    usage: "[OPTIONS] [VOLUME]", summary: "Create a volume", arity: .atMost(1),
    discussion: """
      The driver local takes the options type, device and o, as mount(8) knows them. What they name is mounted when a
      container with the volume starts, in that container alone. Without options a volume is a folder of the engine.
      """,
    examples: [
      ("gantry volume create data", "A volume with a name"),
      ("gantry volume create -o type=none -o o=bind -o device=/srv srv", "A folder of the host"),
      ("gantry volume create -o type=tmpfs -o device=tmpfs -o o=size=64m fast", "A file system in memory"),
      ("gantry volume create -o type=nfs -o o=addr=192.0.2.1,rw -o device=:/export share", "A network file system"),
    ])
  static let flags: [Flag<VolumeCreate>] = [
    .value("driver", "d", "string", "Specify volume driver name (default \"local\")") { $0.driver = $1 },
    .value("label", nil, "list", "Set metadata for a volume") { command, value in
      let (name, text) = try KeyValues.pair(value)
      command.labels[name] = text
    },
    .value("opt", "o", "map", "Set driver specific options") { command, value in
      let (name, text) = try KeyValues.strictPair(value)
      command.options[name] = text
    },
    .value("name", nil, "string", "Specify volume name") { $0.name = $1 },
    .unbuilt("availability", nil, value: "string", .clusters),
    .unbuilt("group", nil, value: "string", .clusters),
    .unbuilt("limit-bytes", nil, value: "bytes", .clusters),
    .unbuilt("required-bytes", nil, value: "bytes", .clusters),
    .unbuilt("scope", nil, value: "string", .clusters),
    .unbuilt("secret", nil, value: "map", .clusters),
    .unbuilt("sharing", nil, value: "string", .clusters),
    .unbuilt("topology-preferred", nil, value: "list", .clusters),
    .unbuilt("topology-required", nil, value: "list", .clusters),
    .unbuilt("type", nil, value: "string", .clusters),
  ]

  var name = ""
  var driver: String?
  var labels: [String: String] = [:]
  var options: [String: String] = [:]

  mutating func take(operands: [String]) throws {
    guard let operand = operands.first else { return }
    guard name.isEmpty else {
      throw CommandFailure(
        "conflicting options: cannot specify a volume-name through both --name and as a positional arg")
    }
    name = operand
  }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.volumeCreate,
      .init(
        name: name.isEmpty ? nil : name, driver: driver, options: options.isEmpty ? nil : options,
        labels: labels.isEmpty ? nil : labels))
    Output.write((answer.volume["Name"]?.text ?? "") + "\n")
    return 0
  }
}

/// `gantry volume inspect`: everything that is known of volumes.
struct VolumeInspect: Command {
  static let about = About(
    usage: "[OPTIONS] VOLUME [VOLUME...]", summary: "Display detailed information on one or more volumes",
    arity: .atLeast(1), completes: .volume,
    examples: [("gantry volume inspect -f '{{.Mountpoint}}' data", "Where its files are")])
  static let flags: [Flag<VolumeInspect>] = [
    .value("format", "f", "string", "Format output: 'json', or a Go template") { $0.printer.format = $1 }
  ]

  var printer = InspectPrinter()
  var names: [String] = []

  mutating func take(operands: [String]) throws { names = operands }

  func run(in session: Session) throws -> Int32 {
    try printer.run(names, session) { name in
      try session.call(GatewayAPI.Method.volumeInspect, .init(volume: name)).volume
    }
  }
}

/// `gantry volume rm`: removes volumes.
struct VolumeRemove: Command {
  static let about = About(
    usage: "[OPTIONS] VOLUME [VOLUME...]", summary: "Remove one or more volumes", arity: .atLeast(1),
    completes: .volume, discussion: "A volume that a container has cannot be removed.",
    examples: [("gantry volume rm data", "Remove a volume with all it holds")])
  static let flags: [Flag<VolumeRemove>] = [
    .toggle("force", "f", "Force the removal of one or more volumes: one that does not exist is no failure") {
      $0.force = $1
    }
  ]

  var force = false
  var names: [String] = []

  mutating func take(operands: [String]) throws { names = operands }

  func run(in session: Session) throws -> Int32 {
    session.each(names) { name in
      _ = try session.call(GatewayAPI.Method.volumeRemove, .init(volume: name, force: force ? true : nil))
      Output.write(name + "\n")
    }
  }
}

/// `gantry volume update`: Docker's command for volumes of a cluster, refused by name.
struct VolumeUpdate: Command {
  static let about = About(
    usage: "[OPTIONS] [VOLUME]", summary: "Update a volume (cluster volumes only, which Gantry does not have)",
    arity: .atMost(1), completes: .volume, hidden: true)
  static let flags: [Flag<VolumeUpdate>] = [.unbuilt("availability", nil, value: "string", .clusters)]

  func run(in session: Session) throws -> Int32 { throw CommandFailure.unbuilt("volume update", .clusters) }
}
