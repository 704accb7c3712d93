internal import Cgroups
internal import Faults

/// `pause` and `resume`.
enum PauseCommand {
  static let pause = Command(
    usage: "ID", help: "freeze all processes of a container", flags: []
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let folder = try context.root.container(try arguments.id())
    let record = try folder.existing()
    let status = folder.status(record)
    guard status == .running || status == .created else {
      throw Fault(.conflict, "container not running: it is \(status.rawValue)")
    }
    try Cgroup.open(path: record.cgroup).freeze()
    return 0
  }

  static let resume = Command(
    usage: "ID", help: "let the processes of a paused container go on", flags: []
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let folder = try context.root.container(try arguments.id())
    let record = try folder.existing()
    let cgroup = try Cgroup.open(path: record.cgroup)
    guard cgroup.isFrozen else {
      throw Fault(.conflict, "container not paused: it is \(folder.status(record).rawValue)")
    }
    try cgroup.thaw()
    return 0
  }
}
