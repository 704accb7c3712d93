public import Faults
public import JSONRPC
public import Protocol

/// What gantry.sock answers about containers: each method finds its container and calls the engine.
extension Engine: GatewayService {
  /// Makes a container.
  public func containerCreate(
    _ params: GatewayAPI.ContainerCreateParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerCreateResult {
    try await shielded { [self] in
      let made = try await create(
        name: params.name, config: params.config, hostConfig: params.hostConfig, platform: params.platform,
        caller: Caller(context))
      return .init(id: made.id, warnings: made.warnings)
    }
  }

  /// Makes and starts a container.
  public func containerRun(
    _ params: GatewayAPI.ContainerRunParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerRunResult {
    try await shielded { [self] in
      let made = try await run(
        name: params.name, config: params.config, hostConfig: params.hostConfig, platform: params.platform,
        attach: params.attach, caller: Caller(context))
      return .init(id: made.id, warnings: made.warnings, stream: made.stream)
    }
  }

  /// Starts a container.
  public func containerStart(
    _ params: GatewayAPI.ContainerStartParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerStartResult {
    try await shielded { [self] in
      let checkpoint = params.checkpoint.map { (name: $0, folder: params.checkpointFolder) }
      guard checkpoint != nil || params.checkpointFolder == nil else {
        throw Fault(.invalidArgument, "checkpointFolder: without checkpoint there is nothing to look for in it")
      }
      let container = try directory.resolve(params.container)
      return .init(stream: try await start(container, attach: params.attach, checkpoint: checkpoint))
    }
  }

  /// Stops a container.
  public func containerStop(
    _ params: GatewayAPI.ContainerStopParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerStopResult {
    try await shielded { [self] in
      try await stop(
        directory.resolve(params.container), signal: params.signal, timeout: params.timeoutSeconds.map { Int($0) })
      return .init()
    }
  }

  /// Sends a signal to a container.
  public func containerKill(
    _ params: GatewayAPI.ContainerKillParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerKillResult {
    try await shielded { [self] in
      try await kill(directory.resolve(params.container), signal: params.signal)
      return .init()
    }
  }

  /// Stops and starts a container.
  public func containerRestart(
    _ params: GatewayAPI.ContainerRestartParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerRestartResult {
    try await shielded { [self] in
      try await restart(
        directory.resolve(params.container), signal: params.signal, timeout: params.timeoutSeconds.map { Int($0) })
      return .init()
    }
  }

  /// Removes a container.
  public func containerRemove(
    _ params: GatewayAPI.ContainerRemoveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerRemoveResult {
    try await shielded { [self] in
      let container = try directory.resolve(params.container)
      let volumes = params.volumes ?? false || container.definition.autoRemove
      try await remove(container, force: params.force ?? false, volumes: volumes)
      return .init()
    }
  }

  /// Gives a container another name.
  public func containerRename(
    _ params: GatewayAPI.ContainerRenameParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerRenameResult {
    try await shielded { [self] in
      try await rename(directory.resolve(params.container), to: params.name)
      return .init()
    }
  }

  /// Changes a container's limits.
  public func containerUpdate(
    _ params: GatewayAPI.ContainerUpdateParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerUpdateResult {
    try await shielded { [self] in
      .init(warnings: try await update(directory.resolve(params.container), params.update))
    }
  }

  /// Freezes a container.
  public func containerPause(
    _ params: GatewayAPI.ContainerPauseParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerPauseResult {
    try await shielded { [self] in
      try await pause(directory.resolve(params.container))
      return .init()
    }
  }

  /// Thaws a container.
  public func containerUnpause(
    _ params: GatewayAPI.ContainerUnpauseParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerUnpauseResult {
    try await shielded { [self] in
      try await unpause(directory.resolve(params.container))
      return .init()
    }
  }

  /// Waits for a container's end, or its removal.
  public func containerWait(
    _ params: GatewayAPI.ContainerWaitParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerWaitResult {
    try await faulted {
      let condition: Container.Condition
      switch params.condition?.rawValue ?? "" {
      case "", "not-running": condition = .notRunning
      case "next-exit": condition = .nextExit
      case "removed": condition = .removed
      case let other:
        throw Fault(.invalidArgument, "condition: \"\(other)\" is none of not-running, next-exit, removed")
      }
      let result = try await wait(params.container, condition: condition)
      return .init(exitCode: Int64(result.code), error: result.error.isEmpty ? nil : result.error)
    }
  }

  /// Streams of a running container.
  public func containerAttach(
    _ params: GatewayAPI.ContainerAttachParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerAttachResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      if params.logs ?? false {
        throw Fault(
          .unsupported, "logs: attaching with what was written before is not built yet: ask for the logs first")
      }
      let stream = try await attach(
        container, streams: AttachStreams(stdin: params.stdin, stdout: params.stdout, stderr: params.stderr))
      return .init(stream: stream, tty: container.definition.terminal)
    }
  }

  /// A client has let go of a container's or an exec's streams.
  public func containerDetach(
    _ params: GatewayAPI.ContainerDetachParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerDetachResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      if let exec = params.exec {
        publish("exec_detach", container, ["execID": try execs.find(exec).id])
      } else {
        publish("detach", container)
      }
      return .init()
    }
  }

  /// Gives a container's terminal another size.
  public func containerResize(
    _ params: GatewayAPI.ContainerResizeParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerResizeResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      guard container.state.running != nil else {
        throw Fault(.conflict, "cannot resize a stopped container: \(container.name)")
      }
      _ = try await tasks.resize(
        .init(id: container.id, exec: nil, width: params.width, height: params.height))
      publish("resize", container, ["height": String(params.height), "width": String(params.width)])
      return .init()
    }
  }

  /// Lists containers.
  public func containerList(
    _ params: GatewayAPI.ContainerListParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerListResult {
    try await faulted {
      .init(
        containers: try await list(
          all: params.all ?? false, limit: Int(params.limit ?? 0), filters: Filters(params.filters ?? [:]),
          sizes: params.size ?? false))
    }
  }

  /// Everything about a container.
  public func containerInspect(
    _ params: GatewayAPI.ContainerInspectParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerInspectResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      return .init(container: try await inspect(container, sizes: params.size ?? false).json())
    }
  }

  /// A container's output as a stream.
  public func containerLogs(
    _ params: GatewayAPI.ContainerLogsParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerLogsResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      return .init(stream: try logs(container, params), tty: container.definition.terminal)
    }
  }

  /// Runs a further process in a container.
  public func containerExec(
    _ params: GatewayAPI.ContainerExecParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerExecResult {
    try await shielded { [self] in
      let made = try await exec(directory.resolve(params.container), config: params.config, attach: params.attach)
      return .init(exec: made.exec, pid: Int64(made.pid), stream: made.stream)
    }
  }

  /// Waits for an exec's end.
  public func execWait(
    _ params: GatewayAPI.ExecWaitParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ExecWaitResult {
    try await faulted { .init(exitCode: Int64(try await execs.wait(params.exec))) }
  }

  /// Gives an exec's terminal another size.
  public func execResize(
    _ params: GatewayAPI.ExecResizeParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ExecResizeResult {
    try await faulted {
      let record = try execs.find(params.exec)
      guard record.isRunning else { throw Fault(.conflict, "the exec \(record.id) is not running") }
      _ = try await tasks.resize(
        .init(id: record.container, exec: record.id, width: params.width, height: params.height))
      return .init()
    }
  }

  /// Everything about an exec.
  public func execInspect(
    _ params: GatewayAPI.ExecInspectParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ExecInspectResult {
    try await faulted {
      let record = try execs.find(params.exec)
      return .init(
        exec: .init(
          exec: record.id, container: record.container, pid: Int64(record.pid ?? 0), running: record.isRunning,
          exitCode: record.exit.map { Int64($0) }, config: record.config))
    }
  }

  /// Lets an exec go on without its client.
  public func execDetach(
    _ params: GatewayAPI.ExecDetachParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ExecDetachResult {
    try await faulted {
      try await detachExec(params.exec)
      return .init()
    }
  }

  /// Sends a signal to an exec.
  public func execSignal(
    _ params: GatewayAPI.ExecSignalParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ExecSignalResult {
    try await faulted {
      try await signalExec(params.exec, params.signal)
      return .init()
    }
  }
}
