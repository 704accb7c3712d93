public import Faults
public import JSONRPC
public import Protocol

/// Checkpoints of containers.
extension Engine {
  /// Writes a container's processes to disk.
  public func checkpointCreate(
    _ params: GatewayAPI.CheckpointCreateParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.CheckpointCreateResult {
    try await shielded { [self] in
      try await checkpoint(
        directory.resolve(params.container), name: params.name, folder: params.folder,
        leaveRunning: params.leaveRunning ?? false)
      return .init()
    }
  }

  /// The checkpoints of a container.
  public func checkpointList(
    _ params: GatewayAPI.CheckpointListParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.CheckpointListResult {
    try await faulted {
      let names = try checkpoints(directory.resolve(params.container), folder: params.folder)
      return .init(checkpoints: names.map { .init(name: $0) })
    }
  }

  /// Deletes a checkpoint.
  public func checkpointRemove(
    _ params: GatewayAPI.CheckpointRemoveParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.CheckpointRemoveResult {
    try await shielded { [self] in
      try await removeCheckpoint(directory.resolve(params.container), name: params.name, folder: params.folder)
      return .init()
    }
  }
}
