public import Faults
public import JSONRPC
public import Protocol

/// What gantry.sock answers about the files of containers.
extension Engine {
  /// One file of a container.
  public func containerPathStat(
    _ params: GatewayAPI.ContainerPathStatParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerPathStatResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      try checkReachable(container, params.path)
      return .init(
        stat: try await withTree(container) { try await snapshots.fileStat(.init(tree: $0, path: params.path)).stat })
    }
  }

  /// An archive of a file or folder.
  public func containerArchive(
    _ params: GatewayAPI.ContainerArchiveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerArchiveResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      try checkReachable(container, params.path)
      let made = try await withTree(container) { try await snapshots.archive(.init(tree: $0, path: params.path)) }
      publish("archive-path", container, ["path": params.path])
      return .init(copy: made.copy, stat: made.stat, stream: made.stream)
    }
  }

  /// A stream into a folder.
  public func containerExtract(
    _ params: GatewayAPI.ContainerExtractParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerExtractResult {
    try await faulted {
      let opened = try await extract(directory.resolve(params.container), params)
      return .init(copy: opened.copy, stream: opened.stream)
    }
  }

  /// An archive of everything but volumes.
  public func containerExport(
    _ params: GatewayAPI.ContainerExportParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerExportResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      let made = try await withTree(container, mounts: false) {
        try await snapshots.archive(.init(tree: $0, path: "/", contents: true))
      }
      publish("export", container)
      return .init(copy: made.copy, stream: made.stream)
    }
  }

  /// What a container changed of its image.
  public func containerChanges(
    _ params: GatewayAPI.ContainerChangesParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerChangesResult {
    try await faulted {
      let container = try directory.resolve(params.container)
      let made = try await withTree(container, mounts: false) {
        try await snapshots.changes(.init(tree: $0, mountPoints: Engine.ownMountPoints))
      }
      return .init(copy: made.copy, stream: made.stream)
    }
  }

  /// The end of a transfer.
  public func containerFinishCopy(
    _ params: GatewayAPI.ContainerFinishCopyParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerFinishCopyResult {
    try await faulted { .init(bytes: try await finishCopy(params.copy)) }
  }
}
