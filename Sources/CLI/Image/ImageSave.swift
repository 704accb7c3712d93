internal import Faults
internal import Glibc
internal import JSONRPC
internal import Protocol

/// `gantry save`: images as one archive.
struct ImageSave: Command {
  static let about = About(
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Save one or more images to a tar archive (streamed to STDOUT by default)", arity: .atLeast(1),
    completes: .image,
    discussion: """
      The archive is an OCI image layout and a docker-archive in one: `gantry load`, `docker load`, `podman load` and
      `skopeo copy` take it. Layers that several of the images have are in it once. A name without a tag means all tags
      of its repository.
      """,
    examples: [
      ("gantry save -o box.tar gantry/busybox", "Into a file"),
      ("gantry save gantry/busybox | gzip >box.tar.gz", "Into a pipe"),
    ])
  static let flags: [Flag<ImageSave>] = [
    .value("output", "o", "string", "Write to a file, instead of STDOUT") { $0.output = $1 },
    .value("platform", nil, "string", "Save only the given platform variant: os/architecture[/variant]") {
      $0.platform = $1
    },
  ]

  var output = ""
  var platform: String?
  var images: [String] = []

  mutating func take(operands: [String]) throws { images = operands }

  func run(in session: Session) throws -> Int32 {
    try ArchiveOutput.write(to: output, failing: "failed to save image") { descriptor in
      let opened = try session.call(
        GatewayAPI.Method.imageOpenSave, .init(images: images, platform: platform))
      let stream = try session.open(opened.stream)
      func finish() throws { _ = try session.call(GatewayAPI.Method.imageFinishSave, .init(save: opened.save)) }
      do {
        try Transfer.pump(stream.rawValue, descriptor)
      } catch {
        // The other side sees its stream break.
        shutdown(stream.rawValue, Int32(SHUT_RDWR))
        _ = try? finish()
        throw error
      }
      try finish()
    }
    return 0
  }
}
