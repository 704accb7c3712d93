public import Faults
public import FoundationEssentials

/// Where a generated client's calls go: a socket, a connection in memory, a test's double.
public protocol RPCChannel: Sendable {
  /// Sends a request and waits for its answer.
  ///
  /// - Parameters:
  ///   - params: a JSON object.
  ///   - context: deadline, progress and trace travel with the request; a cancelled task takes the call back.
  /// - Returns: the result as JSON.
  func call(method: String, params: Data, context: CallContext) async throws(Fault) -> Data
}

extension RPCChannel {
  /// Calls a method with its types. Without a deadline in `context` the method's own counts, or 60 s; a method that is
  /// marked unbounded has none.
  public func call<Params, Result>(
    _ method: RPCMethod<Params, Result>, _ params: Params, _ context: CallContext = CallContext()
  ) async throws(Fault) -> Result {
    var context = context
    if context.deadline == nil { context.deadline = method.traits.usualDeadline }
    let result = try await call(method: method.name, params: try RPCCoding.encode(params), context: context)
    do throws(Fault) {
      return try RPCCoding.decode(result)
    } catch {
      throw Fault(.internal, "the answer to \(method.name) does not fit", cause: [error.message])
    }
  }
}
