import Faults
import OCI
import Protocol

extension Engine {
  /// Runs a further process in a running container.
  func exec(
    _ container: Container, config: GatewayAPI.ExecConfig, attach: AttachStreams?
  ) async throws -> (exec: String, pid: Int, stream: StreamAddress?) {
    let definition = container.definition
    switch container.state {
    case .running: break
    case .paused:
      throw Fault(.conflict, "Container \(container.name) is paused, unpause the container before exec")
    case .restarting: throw ContainerState.isRestarting(container.name)
    default:
      throw Fault(.conflict, "container \(container.id) is not running")
    }
    let arguments = config.cmd
    guard let program = arguments.first, !program.isEmpty else {
      throw Fault(.invalidArgument, "Cmd: no exec command specified")
    }
    for text in arguments + (config.env ?? []) where text.utf8.contains(0) {
      throw Fault(.invalidArgument, "Cmd: an argument or variable holds a NUL byte")
    }
    let users = [config.user, definition.config.user, definition.userNamespace?.user]
    let user = users.compactMap { $0 }.first { !$0.isEmpty } ?? ""
    try UserText.check(user)
    let folder = [config.workingDir, definition.config.workingDir].compactMap { $0 }.first { !$0.isEmpty } ?? ""
    let privileged = config.privileged ?? false
    let host = definition.hostConfig
    let capabilities = try machine.capabilities.resolve(
      add: host.capAdd ?? [], drop: host.capDrop ?? [], privileged: privileged || host.privileged ?? false)
    let hostname = SpecBuilder.hostname(
      id: definition.id, config: definition.config, hostConfig: host, machine: machine)
    var environment = ImageMerge.environment(definition.config, hostname: hostname)
    if config.tty ?? false, !environment.contains(where: { $0.hasPrefix("TERM=") }) { environment.append("TERM=xterm") }
    environment = ImageMerge.overlay(environment, config.env ?? [])
    var process = SpecBuilder.process(
      arguments: arguments, environment: environment, user: user,
      workingDirectory: try ContainerPath.workingDirectory(folder), terminal: config.tty ?? false,
      capabilities: capabilities)
    let security = try SecurityOptions(host)
    if security.noNewPrivileges { process.noNewPrivileges = true }
    process.apparmorProfile = privileged ? nil : security.appArmor
    if let size = config.consoleSize, size.count == 2, size[0] > 0, size[1] > 0 {
      process.consoleSize = .init(height: UInt(clamping: size[0]), width: UInt(clamping: size[1]))
    }

    let id = Identifier.random()
    let command = arguments.joined(separator: " ")
    execs.insert(ExecRecord(id: id, container: container.id, config: config))
    publish("exec_create: \(command)", container, ["execID": id])
    do {
      let result = try await tasks.exec(
        .init(
          id: container.id, exec: id, process: process, stdin: config.attachStdin ?? false, attach: attach,
          hold: attach == nil ? nil : true, endsWithClient: attach == nil ? nil : true))
      let name = container.name
      let early = execs.started(id, pid: Int(result.pid)) {
        publish("exec_start: \(command)", definition, name: name, ["execID": id])
      }
      if let early { execEnded(id, in: container.id, code: early) }
      return (id, Int(result.pid), result.stream)
    } catch {
      switch error.code {
      case .commandNotFound: execs.failed(id, code: 127)
      case .commandNotExecutable: execs.failed(id, code: 126)
      default: execs.remove(id)
      }
      throw error
    }
  }

  /// Notes the end of an exec, from the task service.
  func execEnded(_ id: String, in container: String, code: Int) {
    guard let holder = directory.container(id: container) else { return }
    let name = holder.name
    execs.ended(id, code: code) {
      publish("exec_die", holder.definition, name: name, ["execID": id, "exitCode": String(code)])
    }
  }

  /// Streams of a running container.
  func attach(_ container: Container, streams: AttachStreams) async throws -> StreamAddress {
    if case .restarting = container.state { throw ContainerState.isRestarting(container.name) }
    guard container.state.running != nil else {
      throw Fault(
        .conflict, "You cannot attach to a stopped container, start it first: \(container.name) is not running")
    }
    if case .paused = container.state {
      throw Fault(.conflict, "You cannot attach to a paused container, unpause it first: \(container.name)")
    }
    let address = try await tasks.attach(
      .init(
        id: container.id, exec: nil, stdin: streams.stdin && container.definition.config.openStdin ?? false,
        stdout: streams.stdout, stderr: streams.stderr)
    ).stream
    publish("attach", container)
    return address
  }

  /// Lets an exec go on when the client of its stream goes away.
  func detachExec(_ reference: String) async throws {
    let record = try execs.find(reference)
    guard record.isRunning else { throw Fault(.conflict, "the exec \(record.id) is not running") }
    _ = try await tasks.detach(.init(id: record.container, exec: record.id))
    if let container = directory.container(id: record.container) {
      publish("exec_detach", container, ["execID": record.id])
    }
  }

  /// Signals an exec's process.
  func signalExec(_ reference: String, _ signal: String?) async throws {
    let record = try execs.find(reference)
    guard record.isRunning else { throw Fault(.conflict, "the exec \(record.id) is not running") }
    let number = try Signals.number(signal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGTERM")
    _ = try await tasks.signal(.init(id: record.container, exec: record.id, signal: Int64(number), all: nil))
  }
}
