internal import JSONRPC
internal import OCI
internal import Protocol

/// `gantry push`: brings an image to its registry.
struct ImagePush: Command {
  static let about = About(
    usage: "[OPTIONS] NAME[:TAG]", summary: "Upload an image to a registry", arity: .exactly(1), completes: .image,
    discussion: """
      The name says where to: `host/name:tag`, Docker Hub without a host. What the registry has is not sent again,
      and what another of its repositories has is taken over there. Manifests stay byte for byte as they are.
      """,
    examples: [
      ("gantry tag busybox localhost:5000/busybox:1", "Give it the name that says where to"),
      ("gantry push localhost:5000/busybox:1", "Push one tag"),
      ("gantry push --all-tags localhost:5000/busybox", "Push every tag of a repository"),
    ])
  static let flags: [Flag<ImagePush>] = [
    .toggle("all-tags", "a", "Push all tags of an image to the repository") { $0.allTags = $1 },
    .toggle("quiet", "q", "Suppress verbose output") { $0.quiet = $1 },
    .value("platform", nil, "string", "Push only an image for the given platform: os/architecture[/variant]") {
      $0.platform = $1
    },
    .unbuilt("disable-content-trust", nil, .trust),
  ]

  var allTags = false
  var quiet = false
  var platform: String?
  var image = ""

  mutating func take(operands: [String]) throws { image = operands[0] }

  func run(in session: Session) throws -> Int32 {
    var name = try Reference(parsing: image)
    if allTags, !name.isNameOnly { throw CommandFailure("tag can't be used with --all-tags/-a") }
    if !allTags, name.isNameOnly {
      name = name.withDefaultTag
      if !quiet { Output.write("Using default tag: \(Reference.defaultTag)\n") }
    }
    let display = quiet ? nil : PushDisplay()
    if !quiet { Output.write("The push refers to repository [\(name.name)]\n") }
    _ = try session.gateway().call(
      GatewayAPI.Method.imagePush,
      .init(
        reference: name.canonical, allTags: allTags ? true : nil, platform: platform,
        auth: session.registryAuth(domain: name.domain)),
      progress: display.map { shown in { shown.take($0) } })
    if quiet { Output.write("\(name.canonical)\n") }
    return 0
  }
}
