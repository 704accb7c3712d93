public import Faults
internal import Glibc
public import JSONRPC
internal import Linux
public import Protocol
internal import ShimCore
internal import SystemPackage

extension TaskManager {
  /// Writes the processes of a container into a folder with CRIU.
  public func checkpoint(
    _ params: TaskAPI.CheckpointParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.CheckpointResult {
    throw Fault(.unsupported, "later")
  }
}
