import Faults
import OCI

/// Dockerfile instructions that change only what a container of an image runs (`commit -c`, `import -c`), applied by
/// Docker's rules.
enum ImageChanges {
  /// `execution` after the instructions in `lines`, each of which may hold several, one a line.
  ///
  /// Throws `invalidArgument` for what is no such instruction.
  static func apply(_ lines: [String], to execution: ImageConfig.Execution) throws(Fault) -> ImageConfig.Execution {
    var changed = execution
    var hasCommand = false
    for line in lines.flatMap({ Instruction.logicalLines($0) }) {
      let instruction = Instruction(line)
      try apply(instruction, &changed)
      if instruction.name == "CMD" { hasCommand = true }
      // A command that was meant for another entry point makes no sense with this one.
      if instruction.name == "ENTRYPOINT", !hasCommand { changed.cmd = nil }
    }
    return changed
  }

  private static func apply(
    _ instruction: Instruction, _ config: inout ImageConfig.Execution
  ) throws(Fault) {
    let rest = instruction.rest
    func required() throws(Fault) -> String {
      guard !rest.isEmpty else { throw refusal(instruction, "it needs an argument") }
      return rest
    }
    switch instruction.name {
    case "CMD": config.cmd = try instruction.command(shell: config.shell)
    case "ENTRYPOINT": config.entrypoint = try instruction.command(shell: config.shell)
    case "ENV":
      for (name, value) in try instruction.pairs(config.env ?? []) {
        var variables = config.env ?? []
        if let known = variables.firstIndex(where: { $0.hasPrefix(name + "=") || $0 == name }) {
          variables[known] = "\(name)=\(value)"
        } else {
          variables.append("\(name)=\(value)")
        }
        config.env = variables
      }
    case "EXPOSE":
      for word in try instruction.words(config.env ?? []) {
        for port in try ports(word, instruction) { config.exposedPorts = (config.exposedPorts ?? [:]).adding(port) }
      }
    case "LABEL":
      for (name, value) in try instruction.pairs(config.env ?? []) {
        config.labels = (config.labels ?? [:]).merging([name: value]) { $1 }
      }
    case "ONBUILD":
      let trigger = Instruction(try required())
      guard !["ONBUILD", "FROM", "MAINTAINER"].contains(trigger.name) else {
        throw refusal(instruction, "\(trigger.name) is not allowed as a trigger")
      }
      config.onBuild = (config.onBuild ?? []) + [rest]
    case "USER": config.user = try one(instruction, config)
    case "VOLUME":
      let paths: [String]
      if let list = instruction.list() { paths = list } else { paths = try instruction.words(config.env ?? []) }
      guard !paths.isEmpty, !paths.contains("") else { throw refusal(instruction, "it needs a path") }
      for path in paths { config.volumes = (config.volumes ?? [:]).adding(path) }
    case "WORKDIR":
      let path = try one(instruction, config)
      config.workingDir = ContainerPath.clean(path.hasPrefix("/") ? path : (config.workingDir ?? "/") + "/" + path)
    case "STOPSIGNAL":
      let signal = try one(instruction, config)
      guard (try? Signals.number(signal)) != nil else { throw refusal(instruction, "there is no signal \(signal)") }
      config.stopSignal = signal
    case "HEALTHCHECK": config.healthcheck = try HealthInstruction.parse(instruction)
    default:
      throw Fault(.invalidArgument, "\(instruction.name.prefix(40)) is not a valid change command")
    }
  }

  private static func one(
    _ instruction: Instruction, _ config: ImageConfig.Execution
  ) throws(Fault) -> String {
    let words = try instruction.words(config.env ?? [])
    guard words.count == 1, !words[0].isEmpty else { throw refusal(instruction, "it takes exactly one argument") }
    return words[0]
  }

  /// `80`, `80/udp`, `8000-8003/tcp`.
  private static func ports(_ text: String, _ instruction: Instruction) throws(Fault) -> [String] {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
    let kind = parts.count > 1 ? parts[1].lowercased() : "tcp"
    guard parts.count <= 2, (1...2).contains(ends.count), ["tcp", "udp", "sctp"].contains(kind),
      let first = UInt16(ends[0]), let last = UInt16(ends[ends.count - 1]), first > 0, first <= last
    else { throw refusal(instruction, "\(text) is no port: it is PORT[-PORT][/tcp|udp|sctp]") }
    return (first...last).map { "\($0)/\(kind)" }
  }

  static func refusal(_ instruction: Instruction, _ why: String) -> Fault {
    Fault(.invalidArgument, "the change \"\(instruction.name) \(instruction.rest.prefix(100))\" is not valid: \(why)")
  }
}

extension [String: ImageConfig.EmptyObject] {
  fileprivate func adding(_ name: String) -> Self { merging([name: .init()]) { $1 } }
}
