internal import Faults
internal import Glibc
internal import Protocol
internal import Runtime

extension Shim {
  /// Looks after the container's health from now on, when it was asked for.
  func beginHealth() {
    guard let check = options.health, health == nil else { return }
    let monitor: HealthMonitor
    do throws(Fault) {
      monitor = HealthMonitor(check, loop: loop, begin: try prober(check))
    } catch {
      // taskd has looked at it before; a container without a verdict is better than none.
      return Diagnostics.say("container \(options.id): \(error)")
    }
    monitor.onChange = { [unowned self, unowned monitor] in
      peers.tell(.health, id: options.id, health: monitor.state)
    }
    health = monitor
    monitor.start()
  }

  /// What begins one probe of `check`.
  private func prober(_ check: HealthCheck) throws(Fault) -> HealthMonitor.Begin {
    if let process = check.process {
      return { [unowned self] done throws(Fault) in
        try ProcessProbe(
          loop: loop,
          { io throws(Fault) in
            try started(
              ExecRequest(
                process: process, containerPID: self.process.pid, namespaces: spec.linux?.namespaces ?? [],
                seccompFilter: filter, seccompFlags: options.filterFlags, cgroup: cgroup, io: io))
          }, done: done)
      }
    }
    switch try HealthProbe(check.probe ?? "") {
    case .tcp(let host, let port): return connecting(host, port, request: nil)
    case .http(let host, let port, let path):
      return connecting(host, port, request: ConnectionProbe.request(host: host, port: port, path: path))
    case .file(let path):
      return { [unowned self] done throws(Fault) in
        try FileProbe.begin(path, container: process.pid, done: done)
      }
    }
  }

  private func connecting(_ host: String, _ port: UInt16, request: [UInt8]?) -> HealthMonitor.Begin {
    var sockets: NamespaceSockets?
    return { [unowned self] done throws(Fault) in
      if sockets == nil { sockets = try NamespaceSockets(pid: process.pid) }
      guard let socket = try sockets?.stream(host.contains(":") ? AF_INET6 : AF_INET) else { return nil }
      return ConnectionProbe(loop: loop, socket: socket, host: host, port: port, request: request, done: done)
    }
  }
}
