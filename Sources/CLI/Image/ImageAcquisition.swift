internal import Faults
internal import Glibc

/// How `run` and `create` get their image (`--pull`).
struct ImageAcquisition {
  /// When it is pulled.
  enum Policy: String {
    case always, missing, never
  }

  var policy = Policy.missing
  var isQuiet = false

  /// Runs `body`, which needs `image`: pulled before it, or when the engine says that there is none. What the pull prints
  /// goes to standard error, as standard output is the container's.
  @inline(__always)
  func with<Result>(
    _ image: String, platform: String?, _ session: Session, _ body: () throws -> Result
  ) throws -> Result {
    if policy == .always { try pull(image, platform, session) }
    do {
      return try body()
    } catch let fault as Fault where policy == .missing && fault.isMissingImage && !Self.isID(image) {
      Output.note("Unable to find image '\(fault.message.dropFirst(Fault.missingImage.count))' locally\n")
      try pull(image, platform, session)
      return try body()
    }
  }

  /// The id of an image, or the beginning of one, is no name that a registry knows.
  private static func isID(_ image: String) -> Bool { image.hasPrefix("sha256:") }

  private func pull(_ image: String, _ platform: String?, _ session: Session) throws {
    try ImagePulling(name: image, platform: platform, quiet: isQuiet).run(session, output: STDERR_FILENO)
  }
}

extension Fault {
  /// How the engine's message about a missing image begins.
  fileprivate static let missingImage = "No such image: "

  /// Whether the engine has not the image that a container is to be made of.
  fileprivate var isMissingImage: Bool { code == .notFound && message.hasPrefix(Self.missingImage) }
}
