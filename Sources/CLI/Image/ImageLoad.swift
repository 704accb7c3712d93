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

  /// Sends the bytes of `descriptor` while the answer is awaited on the same thread.
  private func send(_ descriptor: Int32, _ session: Session, _ progress: LoadProgress?) throws -> [ImageSummary] {
    let gateway = try session.gateway()
    let opened = try gateway.call(GatewayAPI.Method.imageOpenLoad, .init(platform: platform))
    let stream = try session.open(opened.stream)
    let pending = try gateway.send(
      GatewayAPI.Method.imageFinishLoad, .init(load: opened.load),
      progress: progress.map { shown in { shown.take($0) } })
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count: Int
      do {
        count = try Descriptors.read(descriptor, into: buffer)
      } catch {
        _ = try? gateway.call(GatewayAPI.Method.imageCancelLoad, .init(load: opened.load))
        throw CommandFailure("reading the archive failed: \(error)")
      }
      if count == 0 { break }
      var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      while !rest.isEmpty {
        var fds = [
          pollfd(fd: stream.rawValue, events: Int16(POLLOUT), revents: 0),
          pollfd(fd: gateway.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        poll(&fds, 2, -1)
        if fds[1].revents != 0 {
          try gateway.receiveAvailable()
          // An answer before the end is a refusal, or an archive that says that it is complete.
          if let answer = try gateway.answer(pending) { return answer.images }
        }
        guard fds[0].revents != 0 else { continue }
        guard let sent = try? UnixSocket.send(stream.rawValue, rest, nonBlocking: true) else {
          // A service that stopped reading has an answer that says why.
          return try gateway.wait(pending).images
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[sent...])
      }
    }
    UnixSocket.shutdownWriting(stream.rawValue)
    return try gateway.wait(pending).images
  }
}
