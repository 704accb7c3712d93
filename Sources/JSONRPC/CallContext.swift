public import FoundationEssentials
public import Linux

/// What surrounds a call besides its params, on either side.
///
/// A server makes one for each request; a handler that calls on passes it to the next client, so that deadline,
/// progress and trace travel along. A client's caller makes one to set them: `CallContext(deadline: .after(seconds: 5))`.
public struct CallContext: Sendable {
  /// When the call must be over; nil for the server's own limit.
  public var deadline: Deadline?
  /// Who calls, on a server; nil in process.
  public var peer: PeerCredentials?
  /// The connection that the request came on, for notifications; nil in process.
  public var connection: (any RPCConnection)?
  /// W3C trace context.
  public var traceparent: String?
  /// Takes progress as JSON: set by the caller on the client's side, by the server when the caller asked for progress.
  public var progressHandler: (@Sendable (Data) -> Void)?
  /// Set when the caller took the call back, its deadline passed or its connection ended.
  public var cancellation: Cancellation

  /// A context with what is given.
  public init(
    deadline: Deadline? = nil, peer: PeerCredentials? = nil, connection: (any RPCConnection)? = nil,
    traceparent: String? = nil, cancellation: Cancellation = Cancellation(),
    progress: (@Sendable (Data) -> Void)? = nil
  ) {
    self.deadline = deadline
    self.peer = peer
    self.connection = connection
    self.traceparent = traceparent
    self.cancellation = cancellation
    progressHandler = progress
  }

  /// Whether nobody waits for the result any more.
  public var isCancelled: Bool { cancellation.isCancelled }

  /// Whether anybody listens to progress: building a value can be saved otherwise.
  public var wantsProgress: Bool { progressHandler != nil }

  /// Tells the caller how far the call is; does nothing when it did not ask.
  public func progress(_ value: some Encodable) {
    guard let progressHandler, let text = try? RPCCoding.encode(value) else { return }
    progressHandler(text)
  }
}

/// One connection as a handler sees it.
public protocol RPCConnection: AnyObject, Sendable {
  /// Who is at the other end, as the kernel says.
  var peer: PeerCredentials? { get }

  /// Queues one line (JSON without its newline) after all earlier ones.
  ///
  /// - Returns: false when the connection has ended.
  @discardableResult
  func send(line: Data) -> Bool

  /// Runs `action` once when the connection has ended; at once when it already has.
  func onClose(_ action: @escaping @Sendable () -> Void)

  /// Returns when little enough waits to be written that more can be sent without end, or the connection has ended.
  func drained() async
}

extension RPCConnection {
  /// At once: for connections that take everything.
  public func drained() async {}

  /// Sends a notification.
  ///
  /// - Returns: false when the connection has ended.
  @discardableResult
  public func notify<Params>(_ notification: RPCNotification<Params>, _ params: Params) -> Bool {
    guard let line = try? MessageCodec.notification(notification.name, params: RPCCoding.encode(params)) else {
      return false
    }
    return send(line: line)
  }
}
