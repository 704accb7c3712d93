internal import OCI

/// `gantry manifest rm`: forgets lists that have not been pushed, or are no longer wanted here.
struct ManifestRemove: Command {
  static let about = About(
    usage: "MANIFEST_LIST [MANIFEST_LIST...]", summary: "Delete one or more manifest lists from local storage",
    arity: .atLeast(1), examples: [("gantry manifest rm localhost:5000/box:1", "The registry's own stays")])

  var lists: [String] = []

  mutating func take(operands: [String]) throws { lists = operands }

  func run(in session: Session) throws -> Int32 {
    let store = try session.manifestStore()
    return session.each(lists) { list in
      let target = try Reference(parsing: list).withDefaultTag
      guard try store.remove(target) else { throw CommandFailure("No such manifest: \(target.familiar)") }
    }
  }
}
