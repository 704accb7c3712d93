internal import Faults
internal import Linux
internal import Runtime

/// `start`.
enum StartCommand {
  static let command = Command(
    usage: "ID", help: "run the program of a created container", flags: []
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let folder = try context.root.container(try arguments.id())
    let record = try folder.existing()
    guard let process = record.process() else {
      throw Fault(.conflict, "cannot start a container that has stopped")
    }
    guard (try? FileStatus(folder.startSocket.string)) != nil else {
      throw Fault(.conflict, "cannot start an already running container")
    }
    var description = try folder.description()
    try description.completeSupervisor(filterFlags: record.filterFlags)
    let warnings = try ContainerGate.start(
      folder.startSocket, process: process, pid: record.pid, spec: description.spec,
      identity: ContainerIdentity(id: record.id, bundle: record.bundle), filterFlags: record.filterFlags)
    try? Files.unlink(folder.startSocket.string)
    for warning in warnings { context.log.warning("\(warning)") }
    return 0
  }
}
