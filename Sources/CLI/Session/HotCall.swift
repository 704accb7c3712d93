internal import Faults
internal import JSONRPC
internal import QuickJSON

/// A request of `run` and `exec` whose answer has not been taken yet.
///
/// These two commands have half a millisecond for their calls. A generic type whose parameters must be `Codable` costs as
/// much each time the runtime makes one of it (it searches every conformance of the program); this one has no such
/// parameter, and what uses it is specialised.
struct HotCall<Result> {
  /// What the answer will carry.
  let id: Int64
}

extension BlockingConnection {
  /// Sends a request.
  @inline(__always)
  func begin<Params: Encodable, Result>(
    _ method: RPCMethod<Params, Result>, _ params: Params
  ) throws(Fault) -> HotCall<Result> {
    HotCall(id: try send(method: method.name, params: try RPCCoding.encode(params)))
  }

  /// Waits for its answer.
  @inline(__always)
  func finish<Result: Decodable>(_ call: HotCall<Result>) throws(Fault) -> Result {
    let answer = try wait(id: call.id)
    // JSONDecoder's searches cost more than the call; it says what is wrong with an answer that the quick way does not take.
    if let value = try? QuickDecoder.decode(Result.self, from: Array(answer)) { return value }
    return try RPCCoding.decode(answer)
  }
}
