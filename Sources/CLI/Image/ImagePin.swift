internal import JSONRPC
internal import Protocol

/// `gantry image pin`: images that `max-disk` never removes.
struct ImagePin: Command {
  static let about = About(
    usage: "IMAGE [IMAGE...]", summary: "Keep images from being removed to make room (max-disk)", arity: .atLeast(1),
    completes: .image,
    discussion: "A pin goes with its image: rmi and prune remove pinned images as any others.",
    examples: [("gantry image pin busybox", "It stays, however long it is not used")])

  var images: [String] = []

  mutating func take(operands: [String]) throws { images = operands }

  func run(in session: Session) throws -> Int32 { session.pin(images, true) }
}

/// `gantry image unpin`: takes a pin back.
struct ImageUnpin: Command {
  static let about = About(
    usage: "IMAGE [IMAGE...]", summary: "Allow images to be removed to make room again", arity: .atLeast(1),
    completes: .image, examples: [("gantry image unpin busybox", "It may go when it was not used for the longest time")]
  )

  var images: [String] = []

  mutating func take(operands: [String]) throws { images = operands }

  func run(in session: Session) throws -> Int32 { session.pin(images, false) }
}

extension Session {
  fileprivate func pin(_ images: [String], _ pinned: Bool) -> Int32 {
    each(images) { name in
      _ = try call(GatewayAPI.Method.imagePin, .init(image: name, pinned: pinned))
      Output.write(name + "\n")
    }
  }
}
