internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry load`: images from an archive (docker save, OCI, also compressed), from standard input, or from a folder.
struct ImageLoad: Command {
  static let about = About(
    usage: "[OPTIONS] [PATH]", summary: "Load an image from a tar archive, an OCI layout folder or STDIN",
    arity: .atMost(1), completes: .file,
    discussion: """
      Takes what `docker save`, `podman save` and `skopeo copy` write: a docker-archive or an OCI layout, as a tar
      file that may be compressed with gzip, zstd, xz or bzip2; or the folder of an OCI layout.
      """,
    examples: [
      ("gantry load -i image.tar.gz", "From a file"), ("podman save debian | gantry load", "From a pipe"),
      ("gantry load ./layout", "From the folder of an OCI layout"),
    ])
  static let flags: [Flag<ImageLoad>] = [
    .value("input", "i", "string", "Read from tar archive file or OCI layout folder, instead of STDIN") {
      $0.input = $1
    },
    .value("platform", nil, "string", "Load only the given platform variant: os/architecture[/variant]") {
      $0.platform = $1
    },
    .toggle("quiet", "q", "Suppress the load output") { $0.quiet = $1 },
  ]

  var input: String?
  var platform: String?
  var quiet = false

  mutating func take(operands: [String]) throws {
    guard let path = operands.first else { return }
    guard input == nil else { throw CommandFailure("give the path once: either with -i or as an argument") }
    input = path
  }

  func run(in session: Session) throws -> Int32 {
    let progress = quiet ? nil : LoadProgress()
    let images: [ImageSummary]
    if let input {
      let path = AbsolutePath.join(WorkingFolder.path, input)
      guard let status = try? FileStatus(path, followLinks: true) else {
        throw CommandFailure(
          "\(input) cannot be read: \(access(path, F_OK) == 0 ? "permission denied" : "no such file")")
      }
      if status.kind == .directory {
        images = try session.gateway().call(
          GatewayAPI.Method.imageLoadPath, .init(path: path, platform: platform),
          progress: progress.map { shown in { shown.take($0) } }
        ).images
      } else {
        let file = try openat2(nil, path, [.readOnly])
        images = try send(file.rawValue, session, progress)
      }
    } else {
      if Terminal.isTerminal(STDIN_FILENO) {
        throw CommandFailure(
          "requested load from stdin, but stdin is empty: give a file with -i, or pipe an archive in")
      }
      images = try send(STDIN_FILENO, session, progress)
    }
    progress?.finish()
    for image in images {
      let names = image.repoTags.filter { !$0.hasPrefix("<none>") }
      if names.isEmpty { Output.write("Loaded image ID: \(image.id)\n") }
      for name in names { Output.write("Loaded image: \(name)\n") }
    }
    return 0
  }

  private func send(_ descriptor: Int32, _ session: Session, _ progress: LoadProgress?) throws -> [ImageSummary] {
    let opened = try session.call(GatewayAPI.Method.imageOpenLoad, .init(platform: platform))
    let upload = ArchiveUpload(session: session, name: opened.load, stream: opened.stream)
    return try upload.send(descriptor, GatewayAPI.Method.imageFinishLoad, .init(load: opened.load), progress).images
  }
}
