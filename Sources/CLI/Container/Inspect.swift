internal import Faults
internal import JSONRPC
internal import Protocol

/// What `inspect` prints: the values as one JSON list, or each through a template.
struct InspectPrinter {
  /// `--format`; nil is the JSON list.
  var format: String?

  /// Looks everything up; what is not there is told after what is.
  func run(_ names: [String], _ session: Session, _ look: (String) throws -> JSONValue) throws -> Int32 {
    let template = try format.flatMap { $0 == "json" || $0.isEmpty ? nil : try Template(ListOptions.unescaped($0)) }
    var values: [JSONValue] = []
    var failure: Int32 = 0
    for name in names {
      let code = session.each([name]) { name in
        let value = try look(name)
        if let template {
          Output.write(try template.text(for: value) + "\n")
        } else if format == "json" {
          Output.write(value.json + "\n")
        } else {
          values.append(value)
        }
      }
      failure = max(failure, code)
    }
    if template == nil, format != "json" { Output.write(JSONValue.array(values).indentedJSON + "\n") }
    return failure
  }
}

/// `gantry inspect`: everything that is known of containers, images or volumes.
struct Inspect: Command {
  static let about = About(
    usage: "[OPTIONS] NAME|ID [NAME|ID...]", summary: "Return low-level information on containers, images and volumes",
    arity: .atLeast(1), completes: .container,
    examples: [
      ("gantry inspect web", "Everything, as JSON"), ("gantry inspect -f '{{.State.Pid}}' web", "One field"),
      ("gantry inspect -f '{{json .Config.Env}}' web", "A part as JSON"),
      ("gantry inspect --type image busybox", "An image, also when a container has that name"),
    ])
  static let flags: [Flag<Inspect>] = [
    .value("format", "f", "string", "Format output: 'json', or a Go template") { $0.printer.format = $1 },
    .toggle("size", "s", "Display total file sizes if the type is container") { $0.size = $1 },
    .value("type", nil, "string", "Only inspect objects of the given type (container, image or volume)") {
      inspect, value in
      switch value {
      case "container", "image", "volume", "": inspect.type = value
      case "network": throw CommandFailure.unbuilt("--type network", .network)
      default: throw CommandFailure("it is \"container\", \"image\" or \"volume\"")
      }
    },
  ]

  var printer = InspectPrinter()
  var size = false
  var type = ""
  var names: [String] = []

  mutating func take(operands: [String]) throws { names = operands }

  func run(in session: Session) throws -> Int32 {
    try printer.run(names, session) { name in
      if type.isEmpty || type == "container" {
        do {
          return try session.call(
            GatewayAPI.Method.containerInspect, .init(container: name, size: size ? true : nil)
          ).container
        } catch let fault as Fault where fault.code == .notFound && type.isEmpty {
          // It may be an image.
        }
      }
      if type != "volume" {
        do {
          return try session.call(GatewayAPI.Method.imageInspect, .init(image: name)).image
        } catch let fault as Fault where (fault.code == .notFound || fault.code == .invalidArgument) && type.isEmpty {
          // It may be a volume.
        }
      }
      do {
        return try session.call(GatewayAPI.Method.volumeInspect, .init(volume: name)).volume
      } catch let fault as Fault where fault.code == .notFound && type.isEmpty {
        throw Fault(.notFound, "No such object: \(name)")
      }
    }
  }
}

/// `gantry container inspect`: everything that is known of containers.
struct ContainerInspect: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Display detailed information on one or more containers",
    arity: .atLeast(1), completes: .container, examples: [("gantry container inspect web", "Everything, as JSON")])
  static let flags: [Flag<ContainerInspect>] = [
    .value("format", "f", "string", "Format output: 'json', or a Go template") { $0.printer.format = $1 },
    .toggle("size", "s", "Display total file sizes") { $0.size = $1 },
  ]

  var printer = InspectPrinter()
  var size = false
  var names: [String] = []

  mutating func take(operands: [String]) throws { names = operands }

  func run(in session: Session) throws -> Int32 {
    try printer.run(names, session) { name in
      try session.call(GatewayAPI.Method.containerInspect, .init(container: name, size: size ? true : nil)).container
    }
  }
}
