import GatewayDaemon
import ImageDaemon
import Linux
import SnapshotDaemon
import TaskDaemon

// One executable for all services: four processes run from one file and share its pages, which would take 60 MB more
// between them. Which service it is, is the name it is called by; its own name is the gateway's.
//
// `prepare` reads the command line and gives up rights, while there is one thread: threads inherit them and are not
// changed afterwards.

let path = CommandLine.arguments.first ?? ""
let name = path.split(separator: "/").last.map(String.init) ?? path
ProcessName.set(name)

let serve: @Sendable () async -> Void =
  switch name {
  case "gantry-imaged": ImageDaemon.prepare()
  case "gantry-snapshotd": SnapshotDaemon.prepare()
  case "gantry-taskd": TaskDaemon.prepare()
  default: GatewayDaemon.prepare()
  }
await serve()
