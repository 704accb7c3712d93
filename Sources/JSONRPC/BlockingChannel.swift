public import Faults
public import FoundationEssentials
internal import Synchronization

/// Lets the generated async clients call through a blocking connection: one call at a time, on the caller's thread.
///
/// For tests and small tools; a service uses RPCService's client.
public final class BlockingChannel: RPCChannel {
  private struct Box: ~Copyable {
    let connection: BlockingConnection
  }

  private let box: Mutex<Box>

  /// Calls go through `connection`, which nobody else may use from now on.
  public init(_ connection: sending BlockingConnection) {
    box = Mutex(Box(connection: connection))
  }

  /// Sends a request and blocks until its answer.
  public func call(method: String, params: Data, context: CallContext) async throws(Fault) -> Data {
    let answer: Result<Data, Fault> = box.withLock { box in
      do throws(Fault) {
        let id = try box.connection.send(
          method: method, params: params, deadline: context.deadline, progress: context.progressHandler)
        return .success(try box.connection.wait(id: id, deadline: context.deadline))
      } catch {
        return .failure(error)
      }
    }
    return try answer.get()
  }
}
