internal import Faults
internal import Linux

/// `delete`.
enum DeleteCommand {
  static let command = Command(
    usage: "ID", help: "remove what is left of a container",
    flags: [.toggle("force", "f", "end it first when it runs; a container that does not exist is no failure")]
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let force = arguments.isOn("force")
    let folder = try context.root.container(try arguments.id())
    do throws(Fault) {
      try delete(folder, context, force: force)
    } catch {
      guard force, error.code == .notFound else { throw error }
    }
    return 0
  }

  private static func delete(_ folder: StateFolder, _ context: Context, force: Bool) throws(Fault) {
    let lock = try folder.lock()
    defer { _ = lock.rawValue }
    let record = try folder.record()
    let status = folder.status(record)
    switch status {
    case .stopped: break
    case .created: break  // its program never ran
    case .running, .paused, .creating:
      guard force else {
        throw Fault(.conflict, "cannot delete container \(folder.id) that is not stopped: \(status.rawValue)")
      }
    }
    let deletion = Deletion(folder, context)
    try deletion.killAll(record)
    try deletion.removeEnded(record)
  }
}
