internal import JSONRPC
internal import Protocol

/// `gantry checkpoint create`: writes a container's processes to disk.
struct CheckpointCreate: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER CHECKPOINT", summary: "Create a checkpoint from a running container",
    arity: .exactly(2), completes: .container,
    discussion: """
      The container ends, unless it is left running; `gantry start --checkpoint` lets its processes go on where they were.
      This needs CRIU on the host. Files are not part of a checkpoint: they stay in the container.
      """,
    examples: [
      ("gantry checkpoint create web one", "Write it and end the container"),
      ("gantry checkpoint create --leave-running web two", "Write it and let the container go on"),
    ])
  static let flags: [Flag<CheckpointCreate>] = [
    .value("checkpoint-dir", nil, "string", "Use a custom checkpoint storage directory") { $0.folder = $1 },
    .toggle("leave-running", nil, "Leave the container running after checkpoint") { $0.leavesRunning = $1 },
  ]

  var folder: String?
  var leavesRunning = false
  var container = ""
  var name = ""

  mutating func take(operands: [String]) throws { (container, name) = (operands[0], operands[1]) }

  func run(in session: Session) throws -> Int32 {
    _ = try session.call(
      GatewayAPI.Method.checkpointCreate,
      .init(
        container: container, name: name, folder: folder.map(WorkingFolder.absolute),
        leaveRunning: leavesRunning ? true : nil))
    Output.write(name + "\n")
    return 0
  }
}

/// `gantry checkpoint ls`: the checkpoints of a container.
struct CheckpointList: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER", summary: "List checkpoints for a container", arity: .exactly(1),
    completes: .container, examples: [("gantry checkpoint ls web", "Their names")])
  static let flags: [Flag<CheckpointList>] = [
    .value("checkpoint-dir", nil, "string", "Use a custom checkpoint storage directory") { $0.folder = $1 }
  ]

  var folder: String?
  var container = ""

  mutating func take(operands: [String]) throws { container = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.checkpointList, .init(container: container, folder: folder.map(WorkingFolder.absolute)))
    Output.write(Table.aligned("CHECKPOINT NAME\n" + answer.checkpoints.map { $0.name + "\n" }.joined()))
    return 0
  }
}

/// `gantry checkpoint rm`: deletes a checkpoint.
struct CheckpointRemove: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER CHECKPOINT", summary: "Remove a checkpoint", arity: .exactly(2), completes: .container,
    examples: [("gantry checkpoint rm web one", "Delete it")])
  static let flags: [Flag<CheckpointRemove>] = [
    .value("checkpoint-dir", nil, "string", "Use a custom checkpoint storage directory") { $0.folder = $1 }
  ]

  var folder: String?
  var container = ""
  var name = ""

  mutating func take(operands: [String]) throws { (container, name) = (operands[0], operands[1]) }

  func run(in session: Session) throws -> Int32 {
    _ = try session.call(
      GatewayAPI.Method.checkpointRemove,
      .init(container: container, name: name, folder: folder.map(WorkingFolder.absolute)))
    return 0
  }
}
