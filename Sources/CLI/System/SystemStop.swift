internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol
internal import SystemPackage

/// `gantry system stop`: stops the services; containers go on unless `--containers` is given.
struct SystemStop: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Stop the engine's services (containers go on)",
    discussion: "Containers go on, and the next `gantry system start` finds them. Their logs stay whole.",
    examples: [
      ("gantry system stop", "Stop the services, leave the containers running"),
      ("gantry system stop --containers", "Stop the containers first"),
    ])
  static let flags: [Flag<SystemStop>] = [
    .toggle("containers", nil, "Stop the running containers first") { $0.containers = $1 },
    .value("timeout", "t", "seconds", "How long to wait until the services have stopped") {
      $0.timeout = try Quantity.integer($1)
    },
  ]

  var containers = false
  var timeout: Int64 = 70

  func run(in session: Session) throws -> Int32 {
    let places = EnginePlaces(session.options)
    guard geteuid() == 0 else { throw CommandFailure("the services run as root: run `sudo gantry system stop`") }
    if containers { try stopContainers(session) }
    if Systemd.manages(session.options), places.runningSupervisor() == nil {
      try Systemd.run("stop")
      return 0
    }
    guard let pid = places.runningSupervisor() else {
      if let service = EngineService.all.first(where: { ServiceProbe.answers(places.socket($0), milliseconds: 500) }) {
        throw CommandFailure(
          "\(service.program) runs, but no supervisor of ours started it: stop it the way it was started")
      }
      Output.write("The services do not run.\n")
      return 0
    }
    do {
      let supervisor = try PidFD(pid: pid)
      try supervisor.signal(SIGTERM)
      var fd = pollfd(fd: supervisor.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      let deadline = Clock.milliseconds + timeout * 1000
      while poll(&fd, 1, Int32(max(deadline - Clock.milliseconds, 0))) < 0 {}
      guard fd.revents != 0 else {
        throw CommandFailure("the supervisor (process \(pid)) did not stop within \(timeout) s")
      }
    } catch Errno.noSuchProcess {
      // It has ended by itself meanwhile.
    } catch Errno.notPermitted {
      throw CommandFailure("the supervisor (process \(pid)) is not yours to stop: run `sudo gantry system stop`")
    }
    return 0
  }

  private func stopContainers(_ session: Session) throws {
    let running = try session.call(GatewayAPI.Method.containerList, .init()).containers
    for container in running {
      _ = try session.call(GatewayAPI.Method.containerStop, .init(container: container.id))
      Output.write("\(Human.shortID(container.id)) stopped\n")
    }
  }
}
