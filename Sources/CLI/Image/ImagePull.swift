internal import Faults
internal import Glibc
internal import JSONRPC
internal import OCI
internal import Protocol

/// `gantry pull`: an image from its registry.
struct ImagePull: Command {
  static let about = About(
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]", summary: "Download an image from a registry", arity: .exactly(1),
    completes: .image,
    discussion: """
      Layers are unpacked while they come. A pull that was interrupted goes on where it stopped when it is run again.
      """,
    examples: [
      ("gantry pull busybox", "The newest busybox of Docker Hub"),
      (
        "gantry pull --platform linux/arm64 registry.example:5000/app:1.2", "For another machine, from another registry"
      ),
    ])
  static let flags: [Flag<ImagePull>] = [
    .toggle("all-tags", "a", "Download all tagged images in the repository") { $0.allTags = $1 },
    .value("platform", nil, "string", "Set platform if server is multi-platform capable") { $0.platform = $1 },
    .toggle("quiet", "q", "Suppress verbose output") { $0.quiet = $1 },
    .toggle("disable-content-trust", nil, "Skip image verification (default true)") { command, value in
      guard value else {
        throw CommandFailure(
          "Docker Content Trust (notary) is not supported: have images verified by a policy of signatures instead")
      }
    },
  ]

  var allTags = false
  var platform: String?
  var quiet = false
  var name = ""

  mutating func take(operands: [String]) throws { name = operands[0] }

  func run(in session: Session) throws -> Int32 {
    try ImagePulling(name: name, platform: platform, allTags: allTags, quiet: quiet).run(session, output: STDOUT_FILENO)
    return 0
  }
}

/// A pull with what it prints; `run` and `create` pull missing images with it.
struct ImagePulling {
  var name: String
  var platform: String?
  var allTags = false
  var quiet = false

  /// Pulls; the lines that tell of it go to `output`, progress to the terminal or there too.
  func run(_ session: Session, output: Int32) throws {
    func say(_ text: String) { if output == STDERR_FILENO { Output.note(text) } else { Output.write(text) } }
    let reference = try Reference(parsing: name)
    if !quiet, !allTags { say(Self.opening(reference)) }
    let progress = quiet ? nil : PullDisplay(output: output)
    let images = try session.gateway().call(
      GatewayAPI.Method.imagePull,
      .init(
        image: name, platform: platform, allTags: allTags ? true : nil,
        auth: session.registryAuth(domain: reference.domain)),
      progress: progress.map { shown in { shown.take($0) } }
    ).images
    progress?.finish()
    for image in images {
      if quiet {
        say(image.name + "\n")
        continue
      }
      say("Digest: \(image.digest)\n")
      say("Status: \(image.new ? "Downloaded newer image" : "Image is up to date") for \(image.name)\n")
    }
    if !quiet { say((allTags ? reference.name : reference.withDefaultTag.canonical) + "\n") }
  }

  /// Docker's first lines: the tag that was not written, and where the image comes from.
  private static func opening(_ name: Reference) -> String {
    let tag = name.withDefaultTag
    return (name.isNameOnly ? "Using default tag: \(Reference.defaultTag)\n" : "")
      + "\(tag.digest?.rawValue ?? tag.tag ?? ""): Pulling from \(name.path)\n"
  }
}
