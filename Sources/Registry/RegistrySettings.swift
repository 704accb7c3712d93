/// Every bound of the registry client in one place.
public struct RegistrySettings: Sendable {
  /// The name that requests give.
  public var userAgent = "gantry"
  /// Milliseconds for a connection, with its TLS.
  public var connectMilliseconds = 20_000
  /// Milliseconds for a whole document: a manifest, a token, a list.
  public var documentMilliseconds = 60_000
  /// A transfer that stays below so many bytes a second …
  public var slowBytes = 1024
  /// … for so many seconds ends.
  public var slowSeconds = 30
  /// Bytes of one answer's head.
  public var headBytes = 64 << 10
  /// Bytes of a document, when the request asks for no other bound: manifests and indexes.
  public var documentBytes = 4 << 20
  /// Bytes of a token answer.
  public var tokenBytes = 1 << 20
  /// Bytes of a body that only explains a failure.
  public var explanationBytes = 64 << 10
  /// How many redirects are followed.
  public var redirects = 5
  /// How often one request is sent again after a failure that may pass.
  public var retries = 4
  /// The pause before the first repetition; doubled each time, and up to a half more or less by chance.
  public var backOffMilliseconds = 250
  /// The longest pause that a repetition waits, also when the registry asks for one: beyond it the caller is told.
  public var longestPauseMilliseconds = 10_000
  /// How long an endpoint that cannot be reached is asked last.
  public var avoidSeconds = 30
  /// Idle connections kept for the next request.
  public var idleConnections = 8
  /// How long they are kept.
  public var idleSeconds = 30
  /// Bytes that one transfer reads at a time.
  public var readBytes = 128 << 10

  /// The defaults.
  public init() {}
}
