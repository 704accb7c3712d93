internal import Faults

/// One request to a registry's API, before it is known which endpoint answers it.
public struct RegistryRequest: Sendable {
  /// Where it goes.
  public enum Target: Sendable {
    /// Beneath the endpoint's base: `/library/busybox/manifests/latest`; may have a query.
    case path(String)
    /// An address that the endpoint named (`Location` of an upload). Credentials go along only to the endpoint's own host.
    case address(WebAddress)
  }

  public var method: String
  public var target: Target
  public var fields: [HTTPField]
  public var body: HTTPRequest.Body
  /// What the request needs to be allowed to do; empty for the base of the API.
  public var scopes: [RegistryScope]
  /// Statuses besides 2xx that the caller wants to see as answers, such as 404 of a HEAD.
  public var accepts: Set<Int>
  /// What it is about, for messages: "the manifest of busybox:latest".
  public var what: String
  public var answerLimit: Int?
  public var milliseconds: Int?
  /// Whether it may be sent again when it is not known what became of it; by default GET and HEAD.
  public var isRepeatable: Bool
  /// Hears how many bytes of the body have gone; on the thread of the transport, must not wait.
  public var onSend: (@Sendable (Int64) -> Void)?

  public init(
    _ method: String = "GET", _ target: Target, what: String, scopes: [RegistryScope], fields: [HTTPField] = [],
    body: HTTPRequest.Body = .none, accepts: Set<Int> = [], answerLimit: Int? = nil, milliseconds: Int? = nil,
    isRepeatable: Bool? = nil
  ) {
    self.method = method
    self.target = target
    self.what = what
    self.scopes = scopes
    self.fields = fields
    self.body = body
    self.accepts = accepts
    self.answerLimit = answerLimit
    self.milliseconds = milliseconds
    self.isRepeatable = isRepeatable ?? (method == "GET" || method == "HEAD")
  }

  /// The address at `endpoint`.
  func address(at endpoint: RegistryEndpoint) -> WebAddress {
    switch target {
    case .address(let address): return address
    case .path(let path):
      let base = endpoint.base.target
      let joined = endpoint.base.with(target: (base.hasSuffix("/") ? String(base.dropLast()) : base) + path)
      return endpoint.namespace.map { joined.adding(query: "ns=\(Quoted.query($0))") } ?? joined
    }
  }
}

/// Why one endpoint did not answer as wanted.
struct EndpointFailure: Error {
  enum Cause {
    /// It cannot be reached, or not in the way that was tried.
    case unreached
    /// It does not speak as it should.
    case connection
    /// It answered, with a status that was not wanted.
    case status(Int)
    /// The caller wanted no more.
    case cancelled
    /// Trying elsewhere or again makes no difference.
    case final
  }

  var cause: Cause
  var fault: Fault
}
