public import Faults
public import FoundationEssentials

/// One line of the wire, taken apart; params and results stay the bytes they came as.
public enum Message: Sendable {
  /// Wants an answer.
  case request(id: RPCID, method: String, params: Data, meta: RequestMeta)
  /// Wants none.
  case notification(method: String, params: Data)
  /// An answer that went well.
  case result(id: RPCID, result: Data)
  /// An answer that did not; the id is missing when the request could not be read.
  case failure(id: RPCID?, Fault)
  /// JSON that is no JSON-RPC message; to be answered with the fault.
  case invalid(id: RPCID?, Fault)
}

/// What travels with a request in `params._meta`.
public struct RequestMeta: Sendable, Equatable {
  /// Milliseconds that the caller waits.
  public var deadlineMilliseconds: Int?
  /// The caller wants `$/progress` with this token (JSON: a string or a number).
  public var progressToken: Data?
  /// W3C trace context.
  public var traceparent: String?

  /// Takes what is given.
  public init(deadlineMilliseconds: Int? = nil, progressToken: Data? = nil, traceparent: String? = nil) {
    self.deadlineMilliseconds = deadlineMilliseconds
    self.progressToken = progressToken
    self.traceparent = traceparent
  }

  /// Nothing travels.
  public var isEmpty: Bool { deadlineMilliseconds == nil && progressToken == nil && traceparent == nil }
}

/// Names of the messages that belong to the wire itself.
public enum WireMethod {
  /// Takes a request back: `{id}`.
  public static let cancel = "$/cancel"
  /// Tells how far a request is: `{token, value}`.
  public static let progress = "$/progress"
  /// Asks for the OpenRPC document.
  public static let discover = "rpc.discover"
}

/// Sizes that both sides keep.
public enum WireLimit {
  /// Bytes of one line, its newline not counted.
  public static let line = 16 << 20
}
