internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry import`: a file system's archive as an image of one layer.
struct ImageImport: Command {
  static let about = About(
    usage: "[OPTIONS] file|- [REPOSITORY[:TAG]]",
    summary: "Import the contents from a tarball to create a filesystem image", arity: .between(1, 2), completes: .file,
    discussion: """
      Takes what `gantry export` and `tar` write, plain or compressed with gzip, zstd, xz or bzip2. Prints the image's id.
      """,
    examples: [
      ("gantry export web | gantry import - web:flat", "A container's files as one layer"),
      ("gantry import -c 'CMD [\"sh\"]' -m 'from a tarball' root.tar root:1", "With a command and a comment"),
    ])
  static let flags: [Flag<ImageImport>] = [
    .value("change", "c", "list", "Apply Dockerfile instruction to the created image") { $0.changes.append($1) },
    .value("message", "m", "string", "Set commit message for imported image") { $0.message = $1 },
    .value("platform", nil, "string", "Set platform if server is multi-platform capable") { $0.platform = $1 },
  ]

  var changes: [String] = []
  var message: String?
  var platform: String?
  var source = ""
  var reference: String?

  mutating func take(operands: [String]) throws {
    source = operands[0]
    reference = operands.count > 1 ? operands[1] : nil
  }

  func run(in session: Session) throws -> Int32 {
    if source == "-" {
      guard !Terminal.isTerminal(STDIN_FILENO) else {
        throw CommandFailure("requested import from stdin, but stdin is a terminal: pipe an archive in")
      }
      return try send(STDIN_FILENO, session)
    }
    guard !source.hasPrefix("http://"), !source.hasPrefix("https://") else {
      throw CommandFailure(
        "import from a URL is not built yet: fetch it and pipe it in, as with `curl -fL \(source) | gantry import -`")
    }
    let path = AbsolutePath.join(WorkingFolder.path, source)
    guard let status = try? FileStatus(path, followLinks: true) else {
      throw CommandFailure(
        "\(source) cannot be read: \(access(path, F_OK) == 0 ? "permission denied" : "no such file")")
    }
    guard status.kind != .directory else { throw CommandFailure("\(source) is a folder: import takes a tar archive") }
    let file = try openat2(nil, path, [.readOnly])
    return try send(file.rawValue, session)
  }

  private func send(_ descriptor: Int32, _ session: Session) throws -> Int32 {
    let opened = try session.call(
      GatewayAPI.Method.imageOpenImport,
      .init(
        reference: reference, changes: changes.isEmpty ? nil : changes, comment: message ?? "Imported from \(source)",
        platform: platform))
    let upload = ArchiveUpload(session: session, name: opened.import, stream: opened.stream)
    let answer = try upload.send(descriptor, GatewayAPI.Method.imageFinishImport, .init(import: opened.import), nil)
    Output.write(answer.id + "\n")
    return 0
  }
}
