internal import JSONRPC
internal import Protocol

/// `gantry image inspect`: everything that is known of images.
struct ImageInspect: Command {
  static let about = About(
    usage: "[OPTIONS] IMAGE [IMAGE...]", summary: "Display detailed information on one or more images",
    arity: .atLeast(1), completes: .image,
    examples: [("gantry image inspect -f '{{json .Config.Cmd}}' busybox", "What it runs by default")])
  static let flags: [Flag<ImageInspect>] = [
    .value("format", "f", "string", "Format output: 'json', or a Go template") { $0.printer.format = $1 },
    .value("platform", nil, "string", "Inspect a specific platform of the image: os[/arch[/variant]]") {
      $0.platform = $1
    },
  ]

  var printer = InspectPrinter()
  var platform: String?
  var names: [String] = []

  mutating func take(operands: [String]) throws { names = operands }

  func run(in session: Session) throws -> Int32 {
    let platform = platform
    return try printer.run(names, session) { name in
      try session.call(GatewayAPI.Method.imageInspect, .init(image: name, platform: platform)).image
    }
  }
}

/// `gantry rmi`: removes names, and images that no name leads to any more.
struct ImageRemove: Command {
  static let about = About(
    usage: "[OPTIONS] IMAGE [IMAGE...]", summary: "Remove one or more images", arity: .atLeast(1), completes: .image,
    examples: [("gantry rmi busybox", "Remove a name; the image goes with its last one")])
  static let flags: [Flag<ImageRemove>] = [
    .toggle("force", "f", "Force removal of the image") { $0.force = $1 },
    .toggle("no-prune", nil, "Do not delete untagged parents") { $0.withoutPruning = $1 },
    .unbuilt("platform", nil, value: "strings", .terminalOnly),
  ]

  var force = false
  var withoutPruning = false
  var images: [String] = []

  mutating func take(operands: [String]) throws { images = operands }

  func run(in session: Session) throws -> Int32 {
    session.each(images) { name in
      let answer = try session.call(
        GatewayAPI.Method.imageRemove,
        .init(image: name, force: force ? true : nil, noPrune: withoutPruning ? true : nil))
      for reference in answer.untagged { Output.write("Untagged: \(reference)\n") }
      for digest in answer.deleted { Output.write("Deleted: \(digest)\n") }
    }
  }
}

/// `gantry tag`: one more name for an image.
struct ImageTag: Command {
  static let about = About(
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", arity: .exactly(2), completes: .image,
    examples: [("gantry tag gantry/busybox box:1", "Both names lead to the same image")])

  var source = ""
  var target = ""

  mutating func take(operands: [String]) throws {
    source = operands[0]
    target = operands[1]
  }

  func run(in session: Session) throws -> Int32 {
    _ = try session.call(GatewayAPI.Method.imageTag, .init(source: source, target: target))
    return 0
  }
}
