internal import Faults
internal import FoundationEssentials
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
          GatewayAPI.Method.imageLoadPath, .init(path: path, platform: platform), progress: progress?.handler
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
      GatewayAPI.Method.imageFinishLoad, .init(load: opened.load), progress: progress?.handler)
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
      var sent = 0
      while sent < count {
        let rest = UnsafeRawBufferPointer(rebasing: buffer[sent..<count])
        guard let more = try? UnixSocket.send(stream.rawValue, rest) else { break }
        sent += more
      }
      // A service that stopped reading has an answer that says why.
      if sent < count { break }
      try gateway.receiveAvailable()
    }
    UnixSocket.shutdownWriting(stream.rawValue)
    return try gateway.wait(pending).images
  }
}

/// Shows how far a load is: a line for each blob that moves on a terminal, one plain line for each that is done elsewhere.
final class LoadProgress {
  private var order: [String] = []
  private var states: [String: ImportProgress] = [:]
  private var shown = 0
  private var lastDrawn: Int64 = 0
  private let moves = Output.isTerminal(STDERR_FILENO) && EnvironmentVariables.get("TERM") != "dumb"

  /// Takes the progress of a call.
  var handler: (Data) -> Void {
    { [self] data in
      guard let progress = try? RPCCoding.decode(data) as ImportProgress else { return }
      take(progress)
    }
  }

  private func take(_ progress: ImportProgress) {
    guard !progress.id.isEmpty else { return }
    let before = states[progress.id]
    if before == nil { order.append(progress.id) }
    states[progress.id] = progress
    if moves {
      let now = Clock.milliseconds
      if now - lastDrawn >= 80 || progress.stage == "done" {
        lastDrawn = now
        draw()
      }
    } else if before?.stage != progress.stage, progress.stage == "unpack" || progress.stage == "done" {
      Output.note("\(Human.shortID(progress.id)): \(Self.words(progress.stage))\n")
    }
  }

  /// Draws the last state and leaves it standing.
  func finish() {
    if moves, !order.isEmpty { draw() }
  }

  private func draw() {
    var text = shown > 0 ? "\u{1B}[\(shown)A" : ""
    let visible = order.suffix(20)
    for id in visible {
      guard let state = states[id] else { continue }
      text += "\r\u{1B}[K" + Self.line(state) + "\n"
    }
    shown = visible.count
    Output.note(text)
  }

  /// One line: short id, what is done, a bar where the size is known.
  static func line(_ progress: ImportProgress) -> String {
    var line = "\(Human.shortID(progress.id)): \(words(progress.stage))"
    guard progress.stage != "done", let total = progress.total, total > 0 else { return line }
    let share = min(max(Double(progress.current) / Double(total), 0), 1)
    let filled = Int(share * 30)
    line += " [" + String(repeating: "=", count: filled) + (filled < 30 ? ">" : "")
    line += String(repeating: " ", count: max(29 - filled, 0)) + "] "
    return line + "\(Human.size(progress.current))/\(Human.size(total))"
  }

  private static func words(_ stage: String) -> String {
    switch stage {
    case "read": "Reading"
    case "check": "Verifying"
    case "write": "Writing"
    case "unpack": "Unpacking"
    case "done": "Loaded"
    default: stage
    }
  }
}
